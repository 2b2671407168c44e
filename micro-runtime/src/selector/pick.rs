//! What a choice is told of the call that it is for.

use std::sync::Arc;

use crate::metadata::{Metadata, Text};
use crate::registry::NodeEntry;

/// A call that a node is chosen for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Pick<'a> {
    /// The time on the directory's clock ([`View::millis`](crate::registry::View::millis)).
    pub now: u64,
    /// The nodes of earlier tries of the same call.
    pub tried: &'a [Arc<NodeEntry>],
    /// The call's metadata, for strategies that go by a pair of it.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> Pick<'a> {
    /// A call's first try, at `now`.
    pub fn at(now: u64) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// After tries of these nodes.
    pub fn after(mut self, tried: &'a [Arc<NodeEntry>]) -> Self {
        self.tried = tried;
        self
    }

    /// Of a call with this metadata.
    pub fn metadata(mut self, metadata: &'a Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    pub(super) fn has_tried(&self, entry: &NodeEntry) -> bool {
        self.tried.iter().any(|tried| tried.is_same(entry))
    }
}

/// What keeps a call with a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// The call's [key](crate::client::Call::key).
    #[default]
    Key,
    /// The value that the call's metadata has under this key.
    Metadata(Text),
    /// The client that makes the call: all its calls to a service go together. Its number is new with
    /// every process, so after a restart they may go elsewhere.
    Caller,
}
