//! When a call is also sent to a second node, before the first has failed.

use std::time::Duration;

/// A call that also goes to another node when the first has not answered after a while: the first
/// good answer counts, and the other call is given up.
///
/// It cuts off the slowest calls at the price of some calls more, which the
/// [budget](crate::client::RetryBudget) bounds as it bounds retries. Only for methods that do no harm
/// when they run twice.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::call::Hedge;
///
/// let hedge = Hedge::after(Duration::from_millis(50)).at_once(3);
/// assert_eq!((hedge.after.as_millis(), hedge.at_once), (50, 3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hedge {
    /// How long the last try is waited for alone. What most calls take is a good value, as the time
    /// that 95 of 100 stay below.
    pub after: Duration,
    /// How many tries run at once, at most. 2.
    pub at_once: u32,
}

impl Hedge {
    /// Another node is asked, too, when none has answered for so long.
    pub const fn after(after: Duration) -> Self {
        Self { after, at_once: 2 }
    }

    /// At most so many tries at once; 1 is no hedging.
    #[must_use]
    pub const fn at_once(mut self, tries: u32) -> Self {
        self.at_once = tries;
        self
    }
}

impl From<Duration> for Hedge {
    fn from(after: Duration) -> Self {
        Self::after(after)
    }
}
