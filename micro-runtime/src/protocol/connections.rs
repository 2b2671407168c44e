//! How many connections a channel has, for a person who looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The connections of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connections {
    /// What frames calls on them.
    pub protocol: &'static str,
    /// How many are open.
    pub open: usize,
    /// How many of them wait for a call; `None` where calls share connections.
    pub idle: Option<usize>,
}

impl Connections {
    /// `open` connections that calls share.
    pub const fn shared(protocol: &'static str, open: usize) -> Self {
        Self {
            protocol,
            open,
            idle: None,
        }
    }

    /// `open` connections, `idle` of which wait for a call.
    pub const fn pooled(protocol: &'static str, open: usize, idle: usize) -> Self {
        Self {
            protocol,
            open,
            idle: Some(idle),
        }
    }
}

/// Counts a connection as long as it lives.
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    pub(super) fn count(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
