//! How long this thread has computed: on a machine that does other things, too, the wall tells more
//! about those.

use std::time::{Duration, Instant};

/// A stopwatch of this thread.
pub(crate) struct Clock {
    started: Instant,
    computed: Option<Duration>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            computed: computed(),
        }
    }

    /// Time computed since the start, or time passed where the system does not tell.
    pub(crate) fn read(&self) -> Duration {
        let computed = computed().zip(self.computed);
        computed.map_or_else(|| self.started.elapsed(), |(now, then)| now - then)
    }
}

fn computed() -> Option<Duration> {
    // Asking the scheduler makes it count up to now.
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = told.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
