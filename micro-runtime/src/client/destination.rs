//! One service as a client knows it.

use std::sync::Arc;

use super::budget::Budget;
use super::outlier::Share;
use crate::registry::View;

/// Where calls to one name go, and what they have learned that is not of one node.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) view: Arc<View>,
    /// The same for all who call the name.
    pub(super) state: Arc<State>,
}

/// What calls to one name share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// How many of its nodes are left alone for how calls went.
    pub(super) share: Share,
    /// How many further tries they have.
    pub(super) budget: Budget,
}

impl Destination {
    pub(super) fn new(view: Arc<View>) -> Self {
        let state = view
            .slot(Arc::<State>::default)
            .cloned()
            .unwrap_or_default();
        Self { view, state }
    }
}
