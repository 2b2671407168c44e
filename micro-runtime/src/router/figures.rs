//! What is counted of the calls of one method, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::watch::End;

/// Counts of one method.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    started: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
    times: Times,
}

/// Counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) started: u64,
    pub(crate) running: u64,
    pub(crate) failed: u64,
    pub(crate) given_up: u64,
    pub(crate) latency: Latency,
}

/// How long the calls took that ended in the last one to two minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Figures {
    pub(super) fn begun(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that took `took` and ended at `clock`.
    pub(super) fn ended(&self, end: End, took: Duration, clock: Duration) {
        let count = match end {
            End::Answered => &self.answered,
            End::Failed => &self.failed,
            End::GivenUp => &self.given_up,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if end != End::GivenUp {
            self.times.add(took, clock);
        }
    }

    /// What was counted until `clock`.
    pub(crate) fn counted(&self, clock: Duration) -> Counted {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (answered, failed) = (get(&self.answered), get(&self.failed));
        let given_up = get(&self.given_up);
        let started = get(&self.started);
        Counted {
            started,
            running: started.saturating_sub(answered + failed + given_up),
            failed,
            given_up,
            latency: self.times.latency(clock),
        }
    }
}

/// A minute and the one before it. What is counted just when a minute begins may be lost: nobody
/// waits for anybody here.
#[derive(Debug, Default)]
struct Times {
    minutes: [Minute; 2],
    /// The minute that was counted in last.
    minute: AtomicU64,
}

/// How many calls took how long: each bucket is at most an eighth wider than the one before.
#[derive(Debug)]
struct Minute([AtomicU64; BUCKETS]);

/// Up to this many microseconds each one has its bucket.
const EXACT: u64 = 16;
/// So many buckets to each power of two above.
const STEPS: u32 = 8;
/// Calls of 2³⁵ µs, ten hours, and longer are counted as one.
const LONGEST: u32 = 35;
const BUCKETS: usize = EXACT as usize + ((LONGEST - 4) * STEPS) as usize;

impl Default for Minute {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Minute {
    fn clear(&self) {
        for bucket in &self.0 {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

impl Times {
    fn add(&self, took: Duration, clock: Duration) {
        let minute = clock.as_secs() / 60;
        let last = self.minute.load(Ordering::Relaxed);
        if last < minute
            && self
                .minute
                .compare_exchange(last, minute, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            for (minutes, stale) in self.minutes.iter().zip([0, 1]) {
                if minute % 2 == stale || minute - last > 1 {
                    minutes.clear();
                }
            }
        }
        let bucket = bucket(took);
        let own = usize::try_from(minute % 2).unwrap_or_default();
        if let Some(count) = self
            .minutes
            .get(own)
            .and_then(|minute| minute.0.get(bucket))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn latency(&self, clock: Duration) -> Latency {
        let last = self.minute.load(Ordering::Relaxed);
        let age = (clock.as_secs() / 60).saturating_sub(last);
        let mut counts = [0_u64; BUCKETS];
        for (minute, number) in self.minutes.iter().zip([0, 1]) {
            // The other one is of the minute before the last.
            let age = age + u64::from(last % 2 != number);
            if age > 1 {
                continue;
            }
            for (sum, count) in counts.iter_mut().zip(&minute.0) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        let count: u64 = counts.iter().sum();
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            found.map_or(Duration::ZERO, most)
        };
        Latency {
            count,
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }
}

/// The bucket of calls that take so long.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < EXACT {
        return usize::try_from(micros).unwrap_or_default();
    }
    let power = micros.ilog2().min(LONGEST - 1);
    let step = (micros >> (power - 3)).min(15) & 7;
    let below = EXACT + u64::from((power - 4) * STEPS);
    usize::try_from(below + step).unwrap_or_default()
}

/// The longest time that a bucket counts.
fn most(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return Duration::from_micros(bucket);
    }
    let (power, step) = ((bucket - EXACT) / 8 + 4, (bucket - EXACT) % 8);
    Duration::from_micros(((8 + step + 1) << (power - 3)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_at_most_an_eighth_too_long() {
        let mut micros = 0_u64;
        while micros < 1 << LONGEST {
            let took = Duration::from_micros(micros);
            let told = most(bucket(took));
            assert!(told >= took && told <= took + took / 8, "{took:?} {told:?}");
            micros += 1 + micros / 50;
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn times_are_those_of_the_last_minutes() {
        let times = Times::default();
        let at = Duration::from_secs;
        for took in 1..=100 {
            times.add(Duration::from_micros(took), at(10));
        }
        let latency = times.latency(at(10));
        assert_eq!(latency.count, 100);
        assert!(latency.p50 >= Duration::from_micros(50), "{latency:?}");
        assert!(latency.p50 <= Duration::from_micros(56), "{latency:?}");
        assert!(latency.max >= Duration::from_micros(100), "{latency:?}");
        assert_eq!(times.latency(at(119)).count, 100);
        assert_eq!(times.latency(at(121)).count, 0);

        times.add(Duration::ZERO, at(70));
        assert_eq!(times.latency(at(70)).count, 101);
        times.add(Duration::ZERO, at(130));
        assert_eq!(times.latency(at(130)).count, 2);
        times.add(Duration::ZERO, at(600));
        assert_eq!(times.latency(at(600)).count, 1);
        assert_eq!(times.latency(at(600)).p99, Duration::ZERO);
    }
}
