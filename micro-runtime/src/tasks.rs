//! Every spawn, the random source and wall time, owned in one place and handed in everywhere.
//!
//! A service's tasks end with it: [`abort_all`](Tasks::abort_all) stops what was spawned, which a
//! handle that is only dropped does not. With a seed, and on tokio's paused clock, what a service
//! does can be replayed.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Spawns tasks and gives randomness and wall time; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    random: Arc<Mutex<fastrand::Rng>>,
    /// Wall time at `started`; later times follow tokio's clock, so that a paused clock pauses both.
    epoch: SystemTime,
    started: Instant,
    running: AtomicUsize,
    idle: Notify,
    stop: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Tasks with a random seed of the operating system and its wall time.
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the machine for a seed and the time"
        )]
        Self::with(
            Arc::new(Mutex::new(fastrand::Rng::new())),
            SystemTime::now(),
            Instant::now(),
        )
    }

    /// Tasks whose random numbers follow from `seed` and whose wall time begins at `epoch`.
    pub fn seeded(seed: u64, epoch: SystemTime) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self::with(random, epoch, Instant::now())
    }

    /// A group of its own, aborted and awaited apart, with the same random source and wall time.
    #[must_use]
    pub fn group(&self) -> Self {
        Self::with(self.0.random.clone(), self.0.epoch, self.0.started)
    }

    fn with(random: Arc<Mutex<fastrand::Rng>>, epoch: SystemTime, started: Instant) -> Self {
        Self(Arc::new(Inner {
            random,
            epoch,
            started,
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            stop: watch::Sender::new(false),
        }))
    }

    /// Runs `future` as a task of its own, until it ends or all tasks are aborted.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> AbortHandle {
        let running = Running::new(self.0.clone());
        let mut stop = self.0.stop.subscribe();
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        let task = tokio::spawn(async move {
            let _running = running;
            if *stop.borrow() {
                return;
            }
            tokio::select! {
                biased;
                () = future => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
        task.abort_handle()
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }

    /// Waits until no task runs. Cancel safe.
    pub async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.0.idle.notified());
            idle.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Stops all tasks at their next await, and those spawned from now on at once.
    pub fn abort_all(&self) {
        self.0.stop.send_replace(true);
    }

    /// A random number below `bound`; 0 for 0.
    pub fn below(&self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            self.random().usize(..bound)
        }
    }

    /// A random time up to `limit`.
    pub fn up_to(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.random().f64())
    }

    /// A random number.
    pub fn number(&self) -> u64 {
        self.random().u64(..)
    }

    /// A random id in the form of a UUID, version 4 (RFC 9562 section 5.4): what Go Micro uses.
    pub fn uuid(&self) -> String {
        let bits = self.random().u128(..);
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        let bits = bits & !(0x3 << 62) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    /// The wall time.
    pub fn now(&self) -> SystemTime {
        self.0.epoch + self.0.started.elapsed()
    }

    fn random(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.0.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// The instant `limit` from now; for a limit that no clock can reach, one that never comes.
pub(crate) fn after(limit: Duration) -> Instant {
    later(Instant::now(), limit)
}

/// As [`after`], where it is known what time it is.
pub(crate) fn later(now: Instant, limit: Duration) -> Instant {
    now.checked_add(limit).unwrap_or(now + NEVER)
}

/// Whether `instant` is so far away that it bounds nothing, as those are that [`later`] makes of a limit
/// beyond the clock.
pub(crate) fn is_never(now: Instant, instant: Instant) -> bool {
    instant.saturating_duration_since(now) >= NEVER - FAR
}

/// How much of [`NEVER`] may have passed.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// Thirty years: later instants are more than some clocks can hold.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Counts a task as long as it lives, however it ends.
struct Running(Arc<Inner>);

impl Running {
    fn new(inner: Arc<Inner>) -> Self {
        inner.running.fetch_add(1, Ordering::AcqRel);
        Self(inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn abort_all_stops_tasks_and_idle_sees_it() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        assert_eq!(tasks.running(), 1);
        tasks.abort_all();
        tasks.idle().await;
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn nothing_begins_after_abort_all() {
        let tasks = Tasks::new();
        tasks.abort_all();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        tasks.spawn(async move {
            count.fetch_add(1, Ordering::SeqCst);
        });
        tasks.idle().await;
        assert_eq!(begun.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_limit_without_end_never_comes() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(after(Duration::MAX) > Instant::now() + 365 * day);
        assert!(after(day) <= Instant::now() + day);
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_ids() {
        let ids = || Tasks::seeded(7, SystemTime::UNIX_EPOCH).uuid();
        assert_eq!(ids(), ids());
        let id = ids();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
