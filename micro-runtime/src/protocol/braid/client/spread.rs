//! The connections to one node: one, and more only where one cannot carry what comes.
//!
//! One connection is the best for as long as it keeps up: the more calls share it, the more frames
//! share a write. It is too narrow where its reader, which is one task and so one processor at most, does
//! not keep up with what the peer sends. That shows by itself: of so many reads in a row each one fills
//! all the room that there is, so that the system's buffer was never empty. Then the next call makes
//! another connection, as long as there are processors for them, and calls take turns. Where none was
//! too narrow for a while, one is let go of again.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Opens;
use crate::protocol::kept::Kept;
use crate::protocol::{Destination, Environment};

/// How many reads in a row fill all their room where a reader does not keep up.
const NARROW: u32 = 256;
/// How soon after another one a connection may be made.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one that is not needed is kept.
const KEPT: Duration = Duration::from_secs(60);
/// How many calls pass between two looks at the clock.
const LOOKS: usize = 1024;

/// Whether a connection's reader keeps up.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    full: AtomicU32,
    narrow: AtomicBool,
}

impl Pressure {
    /// Notes a read, of its reader alone.
    pub(super) fn read(&self, all: bool) {
        let full = self.full.load(Ordering::Relaxed);
        if !all {
            if full != 0 {
                self.full.store(0, Ordering::Relaxed);
            }
            return;
        }
        self.full.store(full + 1, Ordering::Relaxed);
        if full + 1 >= NARROW {
            self.full.store(0, Ordering::Relaxed);
            self.narrow.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it did not keep up since this was asked.
    pub(super) fn take(&self) -> bool {
        self.narrow.load(Ordering::Relaxed) && self.narrow.swap(false, Ordering::Relaxed)
    }
}

/// The connections of one channel.
pub(super) struct Spread {
    first: Kept<Opens>,
    /// How many there are, and how many calls were made while there were several.
    count: AtomicUsize,
    calls: AtomicUsize,
    more: Mutex<More>,
    most: usize,
    opens: Opens,
    node: Destination,
    environment: Environment,
}

#[derive(Default)]
struct More {
    kept: Vec<Arc<Kept<Opens>>>,
    /// When one was too narrow last.
    needed: Option<Instant>,
    closed: bool,
}

impl Spread {
    /// At most as many as `most`; no connection yet.
    pub(super) fn new(
        opens: Opens,
        most: usize,
        node: Destination,
        environment: &Environment,
    ) -> Self {
        Self {
            first: Kept::new(opens.clone(), node.clone(), environment),
            count: AtomicUsize::new(1),
            calls: AtomicUsize::new(0),
            more: Mutex::default(),
            most,
            opens,
            node,
            environment: environment.clone(),
        }
    }

    pub(super) fn node(&self) -> &Destination {
        &self.node
    }

    /// The connection that is always there.
    pub(super) fn first(&self) -> &Kept<Opens> {
        &self.first
    }

    /// The connection for a call; `None` for the first.
    pub(super) fn other(&self) -> Option<Arc<Kept<Opens>>> {
        if self.count.load(Ordering::Relaxed) == 1 {
            return None;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut more = self.lock();
        let unneeded = call.is_multiple_of(LOOKS)
            && more.needed.is_some_and(|needed| needed.elapsed() >= KEPT);
        if unneeded && let Some(last) = more.kept.pop() {
            more.needed = Some(Instant::now());
            self.count.store(1 + more.kept.len(), Ordering::Relaxed);
            // Its calls go on.
            last.close();
        }
        let at = call % (1 + more.kept.len());
        at.checked_sub(1).and_then(|at| more.kept.get(at)).cloned()
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        let more = self.lock();
        let others = more.kept.iter().filter(|kept| kept.open().is_some());
        usize::from(self.first.open().is_some()) + others.count()
    }

    /// Makes room for another connection: one was too narrow.
    pub(super) fn widen(&self) {
        let mut more = self.lock();
        let now = Instant::now();
        let soon = more
            .needed
            .is_some_and(|needed| now.saturating_duration_since(needed) < PAUSE);
        if more.closed || soon {
            return;
        }
        more.needed = Some(now);
        if 1 + more.kept.len() < self.most {
            let kept = Kept::new(self.opens.clone(), self.node.clone(), &self.environment);
            more.kept.push(Arc::new(kept));
            self.count.store(1 + more.kept.len(), Ordering::Relaxed);
        }
    }

    /// Takes no more calls; those in flight go on.
    pub(super) fn close(&self) {
        self.first.close();
        let kept = {
            let mut more = self.lock();
            more.closed = true;
            std::mem::take(&mut more.kept)
        };
        self.count.store(1, Ordering::Relaxed);
        kept.iter().for_each(|kept| kept.close());
    }

    fn lock(&self) -> MutexGuard<'_, More> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
