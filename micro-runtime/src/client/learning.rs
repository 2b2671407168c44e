//! What calls tell about the nodes that they went to.

use std::sync::Arc;

use tokio::time::Instant;

use super::attempts::Attempts;
use super::probe::Probe;
use crate::error::{Error, id};
use crate::registry::NodeEntry;

impl Attempts {
    /// Tells the node's entry that a try that began at `tried_at` was answered: that it has answered
    /// since the try began is all that is noted.
    pub(super) fn answered(&self, entry: &NodeEntry, tried_at: Instant) {
        entry.restore(self.directory.millis(tried_at));
    }

    /// Tells the node's entry what the failure of a try that began at `tried_at` says about it.
    pub(super) fn failed(&self, entry: &Arc<NodeEntry>, error: &Error, tried_at: Instant) {
        let ours = [id::CLIENT, id::CLIENT_TRANSPORT, id::CLIENT_CODEC].contains(&error.id());
        if !ours {
            // An answer, whatever it says, proves it alive. The watch tells the rest.
            entry.restore(self.now());
            return;
        }
        if error.id() != id::CLIENT {
            return;
        }
        let Ok(transport) = self.channels.transport(entry) else {
            return;
        };
        let probe = || Probe::new(entry, self.now(), transport.clone(), &self.tasks);
        if error.is_timeout() {
            // A caller's time says nothing against the node, unless nobody can reach it: a host that
            // is gone swallows what is sent to it, and shows in no other way to calls in a hurry.
            if !entry.answers(self.directory.millis(tried_at)) && entry.suspect() {
                probe().check();
            }
        } else if error.is_unprocessed() && entry.eject(self.now()) {
            probe().begin();
        }
    }

    fn now(&self) -> u64 {
        self.directory.millis(Instant::now())
    }
}
