//! A mix of handlers: most are quick, some wait, and a few compute for long.

use std::time::{Duration, Instant};

/// What a call asks of its handler, by the first byte of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burden {
    /// To send back what it gets.
    None,
    /// To wait for 10 ms first.
    Wait,
    /// To compute for 5 ms first.
    Compute,
}

impl Burden {
    /// What a payload asks for.
    pub fn of(payload: &[u8]) -> Self {
        match payload.first() {
            Some(1) => Self::Wait,
            Some(2) => Self::Compute,
            _ => Self::None,
        }
    }

    /// The first byte that asks for it.
    pub fn byte(self) -> u8 {
        match self {
            Self::None => 7,
            Self::Wait => 1,
            Self::Compute => 2,
        }
    }

    /// Bears it: what every framework's handler does before it answers.
    pub async fn bear(self) {
        match self {
            Self::None => {}
            Self::Wait => tokio::time::sleep(Duration::from_millis(10)).await,
            Self::Compute => {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(5) {
                    std::hint::spin_loop();
                }
            }
        }
    }
}

/// What one worker's calls ask for in turn: of a hundred, ten to wait and one to compute.
///
/// The same for every framework, and not in step between workers.
#[derive(Clone, Copy, Debug)]
pub struct Mix(u64);

impl Mix {
    /// That of worker `number`.
    pub fn new(number: usize) -> Self {
        Self(number as u64 + 1)
    }

    /// The next call's.
    pub fn draw(&mut self) -> Burden {
        // A linear congruential generator (Knuth's MMIX), whose upper bits are good enough here.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (self.0 >> 33) % 100 {
            0 => Burden::Compute,
            1..=10 => Burden::Wait,
            _ => Burden::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_a_hundred_computes_and_ten_wait() {
        let mut counts = [0; 3];
        for worker in 0..64 {
            let mut mix = Mix::new(worker);
            for _ in 0..1_000 {
                counts[mix.draw() as usize] += 1;
            }
        }
        let [none, wait, compute] = counts;
        assert!((56_000..58_000).contains(&none), "{counts:?}");
        assert!((6_000..6_800).contains(&wait), "{counts:?}");
        assert!((540..740).contains(&compute), "{counts:?}");
    }
}
