//! Which handlers run where their call arrives, and which in tasks of their own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Where a unary handler runs until its first wait: braid's and gRPC's choice for each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inline {
    /// In the task of its connection, as [`Always`](Inline::Always), but for methods that were seen
    /// to compute for longer than 100 µs there: these have tasks of their own for as long as they do.
    #[default]
    Auto,
    /// In the task of its connection: the cheapest, and a handler that computes for long holds up
    /// the other calls of its caller.
    Always,
    /// In a task of its own.
    Never,
}

/// A handler that computes for longer holds up the others on its connection.
const LONG: Duration = Duration::from_micros(100);
/// What a long poll counts, of which a short one takes one away: one in two hundred may be long. On a
/// busy machine some always are, since the system takes the processor away.
const WEIGHT: u32 = 200;
/// From here on a method's handlers are spawned: after two long polls that were close together.
const SPAWNED: u32 = 2 * WEIGHT - WEIGHT / 2;
/// The most that is counted, so that a method is tried again where its handlers have become short.
const MOST: u32 = 20 * WEIGHT;

/// How long the handlers of one method have computed at a time.
#[derive(Debug)]
pub(crate) struct Pace {
    rule: Inline,
    score: AtomicU32,
}

impl Pace {
    pub(super) fn new(rule: Inline) -> Self {
        Self {
            rule,
            score: AtomicU32::new(0),
        }
    }

    /// Whether the next handler is polled by its connection's task.
    pub(crate) fn is_inline(&self) -> bool {
        match self.rule {
            Inline::Auto => self.score.load(Ordering::Relaxed) < SPAWNED,
            Inline::Always => true,
            Inline::Never => false,
        }
    }

    /// Notes that a handler was polled since `start`; gives the time where it was asked for.
    pub(crate) fn note(&self, start: Instant) -> Option<Instant> {
        if self.rule != Inline::Auto {
            return None;
        }
        let now = Instant::now();
        // A count that is lost to another connection's does not matter, and what does not change is
        // not written: other processors keep their copies.
        let score = self.score.load(Ordering::Relaxed);
        if now.saturating_duration_since(start) > LONG {
            self.score
                .store((score + WEIGHT).min(MOST), Ordering::Relaxed);
        } else if score > 0 {
            self.score.store(score - 1, Ordering::Relaxed);
        }
        Some(now)
    }

    /// Runs `call`, in whose task this is, and notes how long its first poll took.
    pub(crate) async fn run<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        if self.rule != Inline::Auto {
            return call.await;
        }
        let start = Instant::now();
        let first = poll_fn(|task| Poll::Ready(call.as_mut().poll(task))).await;
        self.note(start);
        match first {
            Poll::Ready(output) => output,
            Poll::Pending => call.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(pace: &Pace, took: Duration, times: u32) {
        for _ in 0..times {
            pace.note(Instant::now() - took);
        }
    }

    #[test]
    fn a_method_that_computes_for_long_twice_is_spawned_until_it_no_longer_does() {
        let pace = Pace::new(Inline::Auto);
        notes(&pace, Duration::from_millis(5), 1);
        assert!(pace.is_inline());
        // Not close together.
        notes(&pace, Duration::ZERO, WEIGHT);
        notes(&pace, Duration::from_millis(5), 1);
        assert!(pace.is_inline());
        notes(&pace, Duration::ZERO, 100);
        notes(&pace, Duration::from_millis(5), 1);
        assert!(!pace.is_inline());
        notes(&pace, Duration::from_millis(5), 100);
        notes(&pace, Duration::ZERO, MOST);
        assert!(pace.is_inline());
    }

    #[test]
    fn one_long_handler_in_a_hundred_is_enough() {
        let pace = Pace::new(Inline::Auto);
        for _ in 0..20 {
            notes(&pace, Duration::ZERO, 99);
            notes(&pace, Duration::from_millis(5), 1);
        }
        notes(&pace, Duration::ZERO, 1_000);
        assert!(!pace.is_inline());
    }

    #[test]
    fn a_rule_that_was_given_stands() {
        for (rule, inline) in [(Inline::Always, true), (Inline::Never, false)] {
            let pace = Pace::new(rule);
            notes(&pace, Duration::from_millis(5), 3);
            assert_eq!(pace.is_inline(), inline);
        }
    }

    #[tokio::test]
    async fn a_task_of_its_own_counts_its_first_poll() {
        let pace = Pace::new(Inline::Auto);
        for _ in 0..3 {
            let took = pace.run(async {
                let start = Instant::now();
                while start.elapsed() < 2 * LONG {}
                tokio::task::yield_now().await;
                7
            });
            assert_eq!(took.await, 7);
        }
        assert!(!pace.is_inline());
    }
}
