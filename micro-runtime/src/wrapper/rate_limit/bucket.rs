//! When the next call may go: both kinds of bucket, in one number.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How often calls may go. Times are nanoseconds from an origin of the limit's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one call to the next.
    pub(super) period: i64,
    /// So much of the time in which nobody called may be made up for.
    pub(super) slack: i64,
    /// Whether the time before the first call is such time.
    pub(super) begins_full: bool,
}

impl Pace {
    /// `rate` calls `per` time, of which `at_once` go at once where nobody has called for long.
    pub(super) fn new(rate: u32, per: Duration, at_once: u32, begins_full: bool) -> Self {
        let period = (nanos(per) / i64::from(rate.max(1))).max(1);
        Self {
            period,
            slack: period.saturating_mul(i64::from(at_once.max(1)) - 1),
            begins_full,
        }
    }
}

/// The time of the last call that went, or is to go.
///
/// A bucket that fills with tokens has as many as periods fit between that time and now, up to the
/// slack and one; one that leaks drips at that time and each period after it. So both are this
/// number, changed without a lock. It is known as GCRA, the generic cell rate algorithm. No crate is
/// used for it, since those read a clock of their own, and tests replay with tokio's.
#[derive(Debug)]
pub(super) struct Bucket(AtomicI64);

impl Default for Bucket {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

/// Nobody has called.
const NEVER: i64 = i64::MIN;

impl Bucket {
    /// Takes the next place, where that is no more than `longest` from `now`; gives how far it is.
    ///
    /// # Errors
    /// How far it would have been.
    pub(super) fn take(&self, pace: Pace, now: i64, longest: i64) -> Result<i64, i64> {
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let earliest = now.saturating_sub(pace.slack);
            let place = match last {
                NEVER if pace.begins_full => earliest,
                NEVER => now,
                last => last.saturating_add(pace.period).max(earliest),
            };
            let wait = place.saturating_sub(now).max(0);
            if wait > longest {
                return Err(wait);
            }
            match self
                .0
                .compare_exchange_weak(last, place, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(wait),
                Err(other) => last = other,
            }
        }
    }
}

impl Bucket {
    /// Frees the place that was taken last, unless another was taken since.
    pub(super) fn give_back(&self, place: i64, period: i64) {
        let before = place.saturating_sub(period);
        let _ = self
            .0
            .compare_exchange(place, before, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A time in nanoseconds; three hundred years are enough.
pub(super) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::with_seeds;

    const FOR_EVER: i64 = i64::MAX;

    /// Tokens as everybody knows them, in nanoseconds of filling.
    struct Tokens {
        pace: Pace,
        filled: i64,
        at: i64,
    }

    impl Tokens {
        fn take(&mut self, now: i64) -> bool {
            let room = self.pace.slack + self.pace.period;
            self.filled = (self.filled + now - self.at).min(room);
            self.at = now;
            let is_there = self.filled >= self.pace.period;
            self.filled -= if is_there { self.pace.period } else { 0 };
            is_there
        }
    }

    #[test]
    fn a_place_that_is_given_back_is_the_next_ones_unless_another_has_come() {
        let pace = Pace::new(10, Duration::from_secs(1), 1, false);
        let bucket = Bucket::default();
        let take = |now| bucket.take(pace, now, FOR_EVER).unwrap();
        assert_eq!((take(0), take(0)), (0, pace.period));
        bucket.give_back(pace.period, pace.period);
        assert_eq!((take(0), take(0)), (pace.period, 2 * pace.period));
        bucket.give_back(pace.period, pace.period);
        assert_eq!(take(0), 3 * pace.period, "it is not the last any more");
    }

    #[test]
    fn a_token_bucket_lets_through_what_its_model_does() {
        with_seeds(50, |random| {
            let burst = random.u32(1..20);
            let pace = Pace::new(random.u32(1..2_000), Duration::from_secs(1), burst, true);
            let bucket = Bucket::default();
            let mut tokens = Tokens {
                pace,
                filled: pace.slack + pace.period,
                at: 0,
            };
            let (mut now, mut passed) = (0, Vec::new());
            for _ in 0..1_000 {
                let step = match random.u32(0..10) {
                    0 => random.i64(0..pace.slack + 2 * pace.period),
                    1 => pace.period,
                    _ => random.i64(0..pace.period),
                };
                now += step;
                let ours = bucket.take(pace, now, 0);
                assert_eq!(ours.is_ok(), tokens.take(now), "at {now}: {ours:?}");
                if let Err(wait) = ours {
                    // What is told of the wait is true, to the nanosecond.
                    assert!(wait > 0 && tokens.filled + wait == pace.period, "{wait}");
                } else {
                    passed.push(now);
                }
            }
            // No window of any length has more than the burst and what its length allows.
            for (first, from) in passed.iter().enumerate() {
                for (many, to) in passed[first..].iter().enumerate() {
                    let most = i64::from(burst) + (to - from) / pace.period;
                    assert!(i64::try_from(many).unwrap() < most, "{from}..{to}: {many}");
                }
            }
        });
    }

    #[test]
    fn a_leaky_bucket_gives_the_places_that_ubers_does() {
        with_seeds(200, |random| {
            let slack = random.u32(0..12);
            let pace = Pace::new(
                random.u32(1..2_000),
                Duration::from_secs(1),
                slack + 1,
                false,
            );
            let bucket = Bucket::default();
            // uber's: it sleeps for what is left of a period since the last call, less what earlier
            // calls came too late, of which it remembers the slack.
            let (mut now, mut sleeps, mut last) = (1_000, 0, None);
            for _ in 0..1_000 {
                now += match random.u32(0..10) {
                    0 => random.i64(0..20 * pace.period),
                    _ => random.i64(0..pace.period),
                };
                let expected = match last {
                    None => 0,
                    Some(last) => {
                        sleeps += pace.period - (now - last);
                        sleeps = sleeps.max(-pace.slack);
                        sleeps.max(0)
                    }
                };
                let wait = bucket.take(pace, now, FOR_EVER).unwrap();
                assert_eq!(wait, expected, "at {now}");
                // The caller sleeps, and calls when it has.
                now += wait;
                sleeps -= wait;
                last = Some(now);
            }
        });
    }

    #[test]
    fn a_place_that_is_too_far_is_not_taken() {
        let pace = Pace::new(10, Duration::from_secs(1), 1, true);
        let bucket = Bucket::default();
        assert_eq!(bucket.take(pace, 0, 0), Ok(0));
        assert_eq!(bucket.take(pace, 0, 99_999_999), Err(100_000_000));
        assert_eq!(bucket.take(pace, 0, 100_000_000), Ok(100_000_000));
        assert_eq!(bucket.take(pace, 0, FOR_EVER), Ok(200_000_000));
    }

    #[test]
    fn what_many_threads_take_is_no_more_than_there_is() {
        let pace = Pace::new(1, Duration::from_secs(1), 1_000, true);
        let bucket = Bucket::default();
        let taken: usize = std::thread::scope(|threads| {
            let take = || {
                (0..1_000)
                    .filter(|_| bucket.take(pace, 0, 0).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| threads.spawn(take)).collect();
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            taken.sum()
        });
        assert_eq!(taken, 1_000);
    }
}
