//! Finds out when a node that could not be reached can be again, so that no call has to: a host
//! that is gone swallows what is sent to it, and would cost a call seconds each time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::registry::NodeEntry;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// How often a node is tried, which takes some minutes: after that a call tries it, should there be
/// one. Registries have forgotten it by then as a rule.
const TRIES: u32 = 10;
/// How long connecting may take: the default limit of calls.
const LIMIT: Duration = Duration::from_secs(5);
/// How long before its time the node is tried, so that no call comes before.
const LEAD: Duration = Duration::from_millis(100);

/// Tries a node that has just been ejected, whenever it was left alone long enough, until it can be
/// reached, is forgotten, or was tried often. `now` is the time on the directory's clock.
pub(super) fn begin(
    entry: &Arc<NodeEntry>,
    now: u64,
    transport: Arc<dyn Transport>,
    tasks: &Tasks,
) {
    // Addresses given by hand are kept long after their last call.
    if entry.is_by_hand() {
        return;
    }
    let clock = Clock {
        began: Instant::now(),
        at: now,
    };
    tasks.spawn(probe(Arc::downgrade(entry), clock, transport));
}

/// The directory's clock.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: Instant,
    at: u64,
}

impl Clock {
    fn now(self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.saturating_add(since)
    }
}

async fn probe(entry: Weak<NodeEntry>, clock: Clock, transport: Arc<dyn Transport>) {
    for _ in 0..TRIES {
        let Some(until) = entry.upgrade().and_then(|entry| entry.ejected_until()) else {
            return;
        };
        let pause = Duration::from_millis(until.saturating_sub(clock.now()));
        sleep(pause.saturating_sub(LEAD)).await;
        let Some(entry) = entry.upgrade() else { return };
        // It has answered meanwhile, or another try has ejected it anew and begun another task.
        if entry.ejected_until() != Some(until) {
            return;
        }
        entry.begin_probe(clock.now());
        let dialled = timeout(LIMIT, transport.dial(entry.address())).await;
        let reached = matches!(dialled, Ok(Ok(_)));
        tracing::debug!(node = entry.id(), reached, "tried whether it is back");
        entry.end_probe(until, clock.now(), reached);
        if reached {
            return;
        }
    }
}
