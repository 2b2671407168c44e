//! Latencies, counted in steps of at most 1.6 %: 64 for each doubling of nanoseconds.

use std::time::Duration;

const STEPS: u64 = 64;
const STEPS_LOG2: u64 = STEPS.ilog2() as u64;

/// How many operations took how long.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; (STEPS * (64 - STEPS_LOG2 + 1)) as usize],
            total: 0,
            max: 0,
        }
    }
}

fn index(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = u64::from(nanos.ilog2()) - STEPS_LOG2;
    ((shift + 1) * STEPS + ((nanos >> shift) & (STEPS - 1))) as usize
}

/// The least that is counted at `index`.
fn value(index: u64) -> u64 {
    if index < STEPS {
        return index;
    }
    (STEPS + index % STEPS) << (index / STEPS - 1)
}

impl Histogram {
    /// Counts one.
    #[inline]
    pub fn add(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.counts[index(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The time that `part` of all stayed within; zero where nothing was counted.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(value(index as u64));
            }
        }
        Duration::ZERO
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_counted_within_two_per_cent_of_itself() {
        for nanos in [
            0,
            1,
            63,
            64,
            65,
            127,
            128,
            1_000,
            123_456,
            9_999_999_999,
            u64::MAX,
        ] {
            let counted = value(index(nanos) as u64);
            assert!(
                counted <= nanos && (nanos - counted) as f64 <= nanos as f64 * 0.016,
                "{nanos} as {counted}"
            );
        }
    }

    #[test]
    fn the_median_of_a_hundred_times_is_the_fiftieth() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|micros| histogram.add(Duration::from_nanos(micros)));
        let (median, most) = (histogram.quantile(0.5), histogram.quantile(1.0));
        assert_eq!((median.as_nanos(), most.as_nanos()), (50, 100));
    }
}
