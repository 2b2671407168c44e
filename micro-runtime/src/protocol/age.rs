//! How old a connection becomes.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::tasks::{Tasks, after};

/// When a connection is old enough to be made anew. Give or take a tenth: not all of those that were
/// made together end together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age(Option<Instant>);

impl Age {
    /// That of a connection that is made now; never old for `None`.
    pub(super) fn new(age: Option<Duration>, tasks: &Tasks) -> Self {
        Self(age.map(|age| {
            let tenth = age / 10;
            after((age - tenth).saturating_add(tasks.up_to(tenth * 2)))
        }))
    }

    /// Whether the connection is old at `now`.
    #[cfg(feature = "grpc")]
    pub(super) fn is_over(self, now: Instant) -> bool {
        self.0.is_some_and(|until| until <= now)
    }

    /// Ready once the connection is old. Cancel safe.
    pub(super) async fn over(self) {
        match self.0 {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ages_differ_by_a_tenth_either_way() {
        let tasks = Tasks::seeded(7, std::time::SystemTime::UNIX_EPOCH);
        let start = Instant::now();
        let ages: Vec<_> = (0..50)
            .map(|_| Age::new(Some(Duration::from_secs(100)), &tasks))
            .collect();
        let is_over = |age: &Age, seconds| {
            age.0
                .is_some_and(|until| until <= start + Duration::from_secs(seconds))
        };
        for age in &ages {
            assert!(!is_over(age, 89) && is_over(age, 110));
        }
        let old = ages.iter().filter(|age| is_over(age, 95)).count();
        assert!((1..50).contains(&old), "{old}");
        ages[0].over().await;
        assert!(start.elapsed() >= Duration::from_secs(90));
        assert!(!is_over(&Age::new(None, &tasks), 1 << 30));
    }
}
