//! How long a method's handlers take: a quantile of the latest.

use std::time::Duration;

use tokio::time::Instant;

/// Times of one method, of the last window that had enough and of the one that is being filled.
#[derive(Debug)]
pub(super) struct Estimate {
    quantile: f64,
    last: Histogram,
    current: Histogram,
    since: Instant,
    /// How many were ever noted.
    seen: u32,
    told: Option<Duration>,
    /// When a call was let through that would have been refused.
    tried: Option<Instant>,
}

impl Estimate {
    pub(super) fn new(quantile: f64, now: Instant) -> Self {
        Self {
            quantile: quantile.clamp(0.0, 1.0),
            last: Histogram::default(),
            current: Histogram::default(),
            since: now,
            seen: 0,
            told: None,
            tried: None,
        }
    }

    /// Whether a call that has `left` is let through.
    ///
    /// # Errors
    /// What it would take.
    pub(super) fn admit(&mut self, now: Instant, left: Duration) -> Result<(), Duration> {
        let Some(told) = self.told.filter(|told| left < *told) else {
            return Ok(());
        };
        let is_due = self
            .tried
            .is_none_or(|tried| now.saturating_duration_since(tried) >= TRY_EVERY);
        if !is_due {
            return Err(told);
        }
        // Else nobody would find out that handlers have become quicker.
        self.tried = Some(now);
        Ok(())
    }

    /// Notes that a handler took so long.
    pub(super) fn note(&mut self, now: Instant, took: Duration) {
        self.current.add(took);
        self.seen = self.seen.saturating_add(1);
        let enough = self.current.count >= ENOUGH;
        if now.saturating_duration_since(self.since) >= WINDOW && enough {
            self.last = std::mem::take(&mut self.current);
            self.since = now;
        } else if !self.current.count.is_multiple_of(RECKON_EVERY) {
            return;
        }
        if self.seen >= FIRST {
            self.told = Some(self.last.quantile(&self.current, self.quantile));
        }
    }

    /// Notes that a handler was given up when it had run so long: it takes longer.
    pub(super) fn note_more_than(&mut self, now: Instant, ran: Duration) {
        // Where that is less than what is thought, it is nothing new.
        if self.told.is_none_or(|told| ran > told) {
            self.note(now, ran);
        }
    }

    pub(super) fn told(&self) -> Option<Duration> {
        self.told
    }
}

/// Before so many were seen, nothing is refused.
const FIRST: u32 = 20;
/// So many are enough to forget those before them.
const ENOUGH: u32 = 5;
/// How long they count; twice that at most, where there are enough.
const WINDOW: Duration = Duration::from_secs(5);
/// Reckoning takes a look at every bar.
const RECKON_EVERY: u32 = 10;
/// How often one is let through that would be refused.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Eight bars for each doubling, from a microsecond to more than an hour: a time is known to an
/// eighth.
const BARS: usize = 8 * 32;

#[derive(Debug)]
struct Histogram {
    bars: Box<[u32; BARS]>,
    count: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            bars: Box::new([0; BARS]),
            count: 0,
        }
    }
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        if let Some(bar) = self.bars.get_mut(bar_of(time)) {
            *bar = bar.saturating_add(1);
            self.count = self.count.saturating_add(1);
        }
    }

    /// The time that so large a share of both take no longer than, and no more than it.
    fn quantile(&self, other: &Self, share: f64) -> Duration {
        let all = f64::from(self.count) + f64::from(other.count);
        // The largest has nothing above it.
        let mut rest = (all * share).floor().min(all - 1.0);
        for (bar, (one, two)) in self.bars.iter().zip(other.bars.iter()).enumerate() {
            let here = f64::from(*one) + f64::from(*two);
            if here > rest {
                return least_of(bar);
            }
            rest -= here;
        }
        Duration::ZERO
    }
}

/// The bar of a time.
fn bar_of(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if micros < 8 {
        return micros as usize;
    }
    let doublings = micros.ilog2();
    let eighth = (micros >> (doublings - 3)) & 7;
    (8 * (doublings as usize - 2) + eighth as usize).min(BARS - 1)
}

/// The least time of a bar.
fn least_of(bar: usize) -> Duration {
    if bar < 8 {
        return Duration::from_micros(bar as u64);
    }
    Duration::from_micros((8 + bar as u64 % 8) << (bar / 8 - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::with_seeds;

    #[test]
    fn a_bar_has_the_times_from_its_least_to_the_next() {
        for bar in 0..BARS - 1 {
            let (least, next) = (least_of(bar), least_of(bar + 1));
            assert!(next > least);
            assert_eq!(bar_of(least), bar);
            assert_eq!(bar_of(next - Duration::from_nanos(1)), bar);
            assert!(bar < 8 || next - least <= least / 8, "{bar}");
        }
        assert_eq!(bar_of(Duration::MAX), BARS - 1);
    }

    #[test]
    fn the_quantile_is_that_of_the_sorted_times_to_an_eighth() {
        with_seeds(200, |random| {
            let share = f64::from(random.u32(0..=100)) / 100.0;
            let (mut one, mut other) = (Histogram::default(), Histogram::default());
            let mut all: Vec<_> = (0..random.usize(1..300))
                .map(|_| Duration::from_micros(1 << random.u32(0..24)).mul_f64(random.f64()))
                .collect();
            for time in &all {
                let to = if random.bool() { &mut one } else { &mut other };
                to.add(*time);
            }
            all.sort_unstable();
            let at = (all.len() as f64 * share) as usize;
            let exact = all[at.min(all.len() - 1)];
            let told = one.quantile(&other, share);
            assert!(told <= exact, "{told:?} {exact:?}");
            assert!(exact <= told.mul_f64(1.126) + Duration::from_micros(1));
        });
    }

    #[test]
    fn what_can_make_its_deadline_is_never_refused_and_what_cannot_but_once_a_second() {
        with_seeds(100, |random| {
            let mut now = Instant::now();
            let (least, most) = (random.u64(1_000..50_000), random.u64(1..100_000));
            let mut estimate = Estimate::new(0.1, now);
            let took =
                |random: &mut fastrand::Rng| Duration::from_micros(least + random.u64(0..most));
            for _ in 0..200 {
                now += Duration::from_millis(10);
                estimate.note(now, took(random));
            }
            let mut let_through = 0;
            let began = now;
            for _ in 0..1_000 {
                now += Duration::from_millis(5);
                // Nobody was quicker than the least: this one cannot be.
                let hopeless = Duration::from_micros(least).mul_f64(0.8 * random.f64());
                let_through += u32::from(estimate.admit(now, hopeless).is_ok());
                // A fifth and more are quicker than this.
                let hopeful = Duration::from_micros(least + most / 3 + 1);
                assert_eq!(estimate.admit(now, hopeful), Ok(()));
                if random.bool() {
                    estimate.note(now, took(random));
                }
            }
            let seconds = (now - began).as_secs() as u32;
            assert!(let_through <= seconds + 1, "{let_through} in {seconds} s");
        });
    }

    #[test]
    fn a_method_that_is_called_once_a_second_is_known_after_twenty_calls() {
        let mut now = Instant::now();
        let mut estimate = Estimate::new(0.1, now);
        let takes = Duration::from_millis(100);
        for number in 1..=200 {
            now += Duration::from_secs(1);
            estimate.note(now, takes);
            assert!(number >= 20 || estimate.told().is_none());
            if number >= 30 {
                let told = estimate.told().unwrap();
                assert!(told <= takes && takes <= told.mul_f64(1.126), "{told:?}");
            }
        }
    }

    #[test]
    fn handlers_that_become_quicker_or_slower_are_known_soon() {
        let mut now = Instant::now();
        let mut estimate = Estimate::new(0.1, now);
        let (slow, quick) = (Duration::from_millis(800), Duration::from_millis(10));
        let left = Duration::from_millis(100);
        for _ in 0..1_000 {
            now += Duration::from_millis(10);
            estimate.note(now, slow);
        }
        // Quicker now; those that are let through tell.
        let since = now;
        while estimate.told().unwrap() > left {
            now += Duration::from_millis(10);
            if estimate.admit(now, left).is_ok() {
                estimate.note(now, quick);
            }
        }
        let took = now - since;
        assert!(took < Duration::from_secs(8), "{took:?}");

        // Slower, and all are given up when their time is over.
        let since = now;
        while estimate.told().is_none_or(|told| told < left) {
            now += Duration::from_millis(10);
            estimate.note_more_than(now, left + Duration::from_millis(30));
        }
        let took = now - since;
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
}
