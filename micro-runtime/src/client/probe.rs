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

/// What trying a node takes.
pub(super) struct Probe {
    entry: Weak<NodeEntry>,
    clock: Clock,
    transport: Arc<dyn Transport>,
    tasks: Tasks,
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

impl Probe {
    /// Of this node; `now` is the time on the directory's clock.
    pub(super) fn new(
        entry: &Arc<NodeEntry>,
        now: u64,
        transport: Arc<dyn Transport>,
        tasks: &Tasks,
    ) -> Self {
        // Addresses given by hand are kept long after their last call.
        let entry = match entry.is_by_hand() {
            true => Weak::new(),
            false => Arc::downgrade(entry),
        };
        Self {
            entry,
            clock: Clock {
                began: Instant::now(),
                at: now,
            },
            transport,
            tasks: tasks.clone(),
        }
    }

    /// Tries a node that has just been ejected, whenever it was left alone long enough, until it can
    /// be reached, is forgotten, or was tried often.
    pub(super) fn begin(self) {
        if self.entry.strong_count() > 0 {
            let tasks = self.tasks.clone();
            tasks.spawn(async move { self.until_back().await });
        }
    }

    /// Tries once a node that was [suspected](NodeEntry::suspect), and ejects it where it cannot be
    /// reached.
    pub(super) fn check(self) {
        let Some(entry) = self.entry.upgrade() else {
            return;
        };
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let reached = self.reaches(&entry).await;
            entry.acquit();
            if !reached && entry.eject(self.clock.now()) {
                drop(entry);
                self.until_back().await;
            }
        });
    }

    async fn until_back(&self) {
        for _ in 0..TRIES {
            let Some(until) = self.entry.upgrade().and_then(|entry| entry.ejected_until()) else {
                return;
            };
            let pause = Duration::from_millis(until.saturating_sub(self.clock.now()));
            sleep(pause.saturating_sub(LEAD)).await;
            let Some(entry) = self.entry.upgrade() else {
                return;
            };
            // It has answered meanwhile, or another try has ejected it anew and begun another task.
            if entry.ejected_until() != Some(until) {
                return;
            }
            entry.begin_probe(self.clock.now());
            let reached = self.reaches(&entry).await;
            entry.end_probe(until, self.clock.now(), reached);
            if reached {
                return;
            }
        }
    }

    async fn reaches(&self, entry: &NodeEntry) -> bool {
        let dialled = timeout(LIMIT, self.transport.dial(entry.address())).await;
        let reached = matches!(dialled, Ok(Ok(_)));
        tracing::debug!(
            node = entry.id(),
            reached,
            "tried whether it can be reached"
        );
        reached
    }
}
