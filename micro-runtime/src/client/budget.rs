//! What keeps retries from becoming a storm: a share of the calls to a service, and no more.
//!
//! Calls and further tries are counted by seconds, in a ring without a lock. Both sums are over the
//! same ten seconds, so that over any time the further tries are at most their share of the calls
//! (and the floor, of services that are called seldom).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::why::Refusal;

/// How many tries beyond the first all calls of a client to one service may make: by default one for
/// every five calls of the last ten seconds, and ten in ten seconds where there are fewer calls.
///
/// A try costs where one of the same call has reached a node before it: what certainly met nobody, as
/// a connection that was refused, is tried again at no cost. So the load on the nodes of a service
/// that fails rises by a fifth at most. What finds the budget used up gets the error of its last try.
///
/// ```
/// use micro_runtime::client::RetryBudget;
///
/// let budget = RetryBudget::percent(50).at_least(3);
/// assert_eq!((budget.percent, budget.at_least), (50, 3));
/// assert_eq!(RetryBudget::default(), RetryBudget::percent(20).at_least(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// How many tries beyond the first, in percent of the calls of the last ten seconds. 20.
    pub percent: u32,
    /// So many in ten seconds are made however few calls there are. 10.
    pub at_least: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::percent(20)
    }
}

impl RetryBudget {
    /// So many tries beyond the first for a hundred calls.
    pub const fn percent(percent: u32) -> Self {
        Self {
            percent,
            at_least: 10,
        }
    }

    /// The same, and so many in ten seconds however few calls there are.
    #[must_use]
    pub const fn at_least(mut self, tries: u32) -> Self {
        self.at_least = tries;
        self
    }

    fn allowed(self, calls: u64) -> u64 {
        let share = calls.saturating_mul(u64::from(self.percent)) / 100;
        share.max(u64::from(self.at_least))
    }
}

/// What a budget stands at, over the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BudgetFigures {
    /// Calls that were begun.
    pub(crate) calls: u64,
    /// Tries beyond their first that cost.
    pub(crate) retries: u64,
    /// How many of those were allowed.
    pub(crate) allowed: u64,
    /// How many were refused since the beginning, not of the last ten seconds alone.
    pub(crate) refused: u64,
}

impl BudgetFigures {
    /// For the call's decision log.
    pub(super) fn refusal(self) -> Refusal {
        let Self {
            calls,
            retries,
            allowed,
            ..
        } = self;
        let words = format!(
            "{retries} further tries were made in the last {WINDOW} s, of {allowed} that {calls} calls allow"
        );
        Refusal::new("budget", words)
    }
}

/// The counts of one destination, by any of its callers.
#[derive(Debug, Default)]
pub(super) struct Budget {
    calls: Ring,
    retries: Ring,
    refused: AtomicU64,
}

impl Budget {
    /// Counts a call that begins at `millis` of the directory's clock.
    pub(super) fn call(&self, millis: u64) {
        self.calls.add(second(millis));
    }

    /// Takes a try beyond a call's first.
    ///
    /// # Errors
    /// The figures, where there is none left.
    pub(super) fn take(&self, settings: RetryBudget, millis: u64) -> Result<(), BudgetFigures> {
        let now = second(millis);
        // Counted before it is asked for, so that calls that fail together cannot all take the last one.
        self.retries.add(now);
        let figures = self.figures(settings, millis);
        if figures.retries <= figures.allowed {
            return Ok(());
        }
        self.retries.take_back(now);
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(BudgetFigures {
            retries: figures.retries - 1,
            refused: figures.refused + 1,
            ..figures
        })
    }

    /// How it stands at `millis`.
    pub(super) fn figures(&self, settings: RetryBudget, millis: u64) -> BudgetFigures {
        let calls = self.calls.sum(second(millis));
        BudgetFigures {
            calls,
            retries: self.retries.sum(second(millis)),
            allowed: settings.allowed(calls),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

fn second(millis: u64) -> u32 {
    // Enough for a hundred and thirty years of one process.
    u32::try_from(millis / 1000).unwrap_or(u32::MAX)
}

/// Over how many seconds is counted, the current one included.
const WINDOW: u32 = 10;
/// More than the window, so that a second's place is not in the window any more when it is used anew.
const PLACES: usize = 16;

/// Counts by seconds. A place holds which second it is of, and that second's count: 32 bits each.
#[derive(Debug, Default)]
struct Ring([AtomicU64; PLACES]);

impl Ring {
    fn place(&self, second: u32) -> &AtomicU64 {
        &self.0[second as usize % PLACES]
    }

    fn add(&self, second: u32) {
        let place = self.place(second);
        let mut seen = place.load(Ordering::Relaxed);
        // Who is so late that the place has gone to a later second is counted there.
        while of(seen) < second {
            let begun = u64::from(second) << 32 | 1;
            match place.compare_exchange(seen, begun, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
        place.fetch_add(1, Ordering::Relaxed);
    }

    fn take_back(&self, second: u32) {
        let less = |seen| (count(seen) > 0).then(|| seen - 1);
        let _ = self
            .place(second)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn sum(&self, now: u32) -> u64 {
        let places = self.0.iter().map(|place| place.load(Ordering::Relaxed));
        places
            .filter(|seen| of(*seen) <= now && now - of(*seen) < WINDOW)
            .map(count)
            .sum()
    }
}

fn of(seen: u64) -> u32 {
    (seen >> 32) as u32
}

fn count(seen: u64) -> u64 {
    seen & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIFTH: RetryBudget = RetryBudget::percent(20).at_least(0);

    fn taken(budget: &Budget, settings: RetryBudget, millis: u64, tries: u32) -> u32 {
        let take = |_: &u32| budget.take(settings, millis).is_ok();
        (0..tries).filter(take).count() as u32
    }

    #[test]
    fn a_fifth_of_the_calls_may_be_tried_again() {
        let budget = Budget::default();
        for _ in 0..100 {
            budget.call(500);
        }
        assert_eq!(taken(&budget, FIFTH, 900, 50), 20);
        let refused = budget.take(FIFTH, 900).unwrap_err();
        assert_eq!(
            refused.refusal().words,
            "20 further tries were made in the last 10 s, of 20 that 100 calls allow"
        );
        assert_eq!(refused.refused, 31);
    }

    #[test]
    fn seldom_called_services_have_a_floor() {
        let budget = Budget::default();
        budget.call(0);
        assert_eq!(taken(&budget, RetryBudget::default(), 0, 50), 10);
    }

    #[test]
    fn what_was_ten_seconds_ago_counts_no_more() {
        let budget = Budget::default();
        for _ in 0..100 {
            budget.call(0);
        }
        assert_eq!(taken(&budget, FIFTH, 9_999, 5), 5);
        assert_eq!(taken(&budget, FIFTH, 10_000, 5), 0);
        assert_eq!(budget.figures(FIFTH, 10_000).retries, 5);
        assert_eq!(budget.figures(FIFTH, 19_000).retries, 0);
        // The places of seconds long gone are used again.
        budget.call(160_000);
        assert_eq!(budget.figures(FIFTH, 160_000).calls, 1);
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let budget = Budget::default();
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut taken = 0;
                        for _ in 0..10_000 {
                            budget.call(1_000);
                            taken += u32::from(budget.take(FIFTH, 1_000).is_ok());
                        }
                        taken
                    })
                })
                .collect();
            let taken = threads.into_iter().map(|thread| thread.join().unwrap_or(0));
            taken.sum::<u32>()
        });
        let figures = budget.figures(FIFTH, 1_000);
        assert_eq!((figures.calls, figures.retries), (40_000, u64::from(taken)));
        assert!(taken <= 8_000, "{taken}");
        assert!(taken > 7_000, "{taken} of 8000: they keep each other away");
    }
}
