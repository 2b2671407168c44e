//! One service as a client knows it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::budget::Budget;
use super::outlier::Share;
use super::schema::{Check, Checks};
use crate::method::ServiceDescriptor;
use crate::registry::View;

/// Where calls to one name go, and what they have learned that is not of one node.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) view: Arc<View>,
    /// The same for all who call the name.
    pub(super) state: Arc<State>,
    /// Which nodes a typed client's calls may go to.
    pub(super) check: Option<Arc<Check>>,
}

/// What calls to one name share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What typed clients know of its nodes' schemas.
    pub(super) checks: Checks,
    /// How many of its nodes are left alone for how calls went.
    pub(super) share: Share,
    /// Whether its nodes are asked from time to time whether they are well.
    pub(super) checked: AtomicBool,
    /// How many further tries they have.
    pub(super) budget: Budget,
}

impl Destination {
    pub(super) fn new(view: Arc<View>) -> Self {
        let state = view
            .slot(Arc::<State>::default)
            .cloned()
            .unwrap_or_default();
        Self {
            view,
            state,
            check: None,
        }
    }

    /// The same for calls of a client that knows the service by this descriptor.
    pub(super) fn minding(mut self, descriptor: &'static ServiceDescriptor) -> Self {
        self.check = self.state.checks.of(descriptor);
        self
    }
}
