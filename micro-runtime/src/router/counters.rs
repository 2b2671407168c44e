//! How many calls run, were started and failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::watch::{Running, Watch};

/// Counts calls of a server.
#[derive(Debug, Default)]
pub(crate) struct CallCounters {
    running: AtomicUsize,
    started: AtomicU64,
    failed: AtomicU64,
    /// Where calls are listed and timed, where somebody may look.
    pub(super) watch: Option<Arc<Watch>>,
}

impl CallCounters {
    /// Counters that also list the calls that run, and time them.
    pub(crate) fn watched() -> Self {
        Self {
            watch: Some(Arc::new(Watch::new())),
            ..Self::default()
        }
    }

    /// The calls that run, oldest first, and how many more there are; nothing where nobody looks.
    pub(crate) fn listed(&self) -> (Vec<Running>, u64) {
        let watch = self.watch.as_ref();
        watch.map(|watch| watch.running()).unwrap_or_default()
    }

    /// How many calls were started, and how many of them failed.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (
            self.started.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    /// Counts one more, and gives how many ran before.
    pub(crate) fn begun(&self) -> usize {
        self.running.fetch_add(1, Ordering::AcqRel)
    }

    /// Counts a call that runs as started.
    pub(crate) fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}
