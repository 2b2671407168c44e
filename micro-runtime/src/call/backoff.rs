//! How long to wait before something is tried again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tasks::Tasks;

/// How long to wait before a try.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Backoff {
    /// None before the first retry, then a random time up to 100 ms · 2ⁿ, at most 2 s.
    #[default]
    Jitter,
    /// As go-micro v4: 0, 100 ms, 600 ms, 1.9 s, 4.3 s, … to 2 min, without jitter.
    GoMicro,
    /// By a function of the number of the try, from 1.
    Custom(Arc<dyn Fn(u32) -> Duration + Send + Sync>),
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jitter => "Jitter",
            Self::GoMicro => "GoMicro",
            Self::Custom(_) => "Custom",
        })
    }
}

impl Backoff {
    /// The pause before try number `number`, from 1; its randomness is that of `tasks`.
    pub(crate) fn pause(&self, number: u32, tasks: &Tasks) -> Duration {
        match self {
            Self::Jitter if number <= 1 => Duration::ZERO,
            Self::Jitter => {
                let (first, longest) = JITTER;
                tasks.up_to(first.saturating_mul(1 << (number - 2).min(8)).min(longest))
            }
            Self::GoMicro => go_micro(number),
            Self::Custom(pause) => pause(number),
        }
    }
}

/// The first and the longest upper bound of a random pause.
const JITTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Go Micro's `backoff.Do`: the number of the try to the power of e, cut to a whole number, times
/// 100 ms; 2 minutes from the fourteenth on.
fn go_micro(number: u32) -> Duration {
    if number > 13 {
        return Duration::from_secs(120);
    }
    let units = f64::from(number).powf(std::f64::consts::E).trunc();
    Duration::from_millis(100).mul_f64(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_of_go_micro_is_go_micros() {
        let millis = |number| go_micro(number).as_millis();
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(millis),
            [0, 100, 600, 1900, 4300, 7900, 13_000, 19_800]
        );
        assert_eq!(millis(14), 120_000);
    }
}
