//! How much may be done in a while.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills at a steady rate and from which work takes.
#[derive(Debug)]
pub(super) struct Bucket {
    size: u64,
    a_second: u64,
    level: u64,
    at: Instant,
}

impl Bucket {
    /// A full one of `size`, that gets `a_second` each second.
    pub(super) fn new(size: u64, a_second: u64) -> Self {
        Self {
            size,
            a_second,
            level: size,
            at: Instant::now(),
        }
    }

    /// Takes `amount`, where there is as much.
    pub(super) fn take(&mut self, amount: usize) -> bool {
        let elapsed = self.at.elapsed().min(Duration::from_secs(3600)).as_micros();
        let new = u64::try_from(elapsed).unwrap_or(0) * self.a_second / 1_000_000;
        // Only whole ones are counted, so that frequent takers do not starve the bucket.
        if new > 0 {
            self.level = (self.level + new).min(self.size);
            self.at = Instant::now();
        }
        match self.level.checked_sub(amount as u64) {
            Some(left) => {
                self.level = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_what_it_has_and_fills_again() {
        let mut bucket = Bucket::new(100, 10);
        assert!(bucket.take(60));
        assert!(!bucket.take(60));
        assert!(bucket.take(40));
        tokio::time::advance(Duration::from_millis(150)).await;
        assert!(bucket.take(1));
        assert!(!bucket.take(1));
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(bucket.take(100));
        assert!(!bucket.take(1));
    }
}
