//! Seeds of random tests: that of one which fails is told, and `MICRO_TEST_SEED` plays it again.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::ops::Range;

/// The seeds to play: that of `MICRO_TEST_SEED`, or so many.
pub fn seeds(count: u64) -> Range<u64> {
    given().map_or(1..count + 1, |seed| seed..seed + 1)
}

/// The seed of a test that has another each time, told in any case: that of `MICRO_TEST_SEED`, or
/// `drawn`.
pub fn told(drawn: u64) -> u64 {
    let seed = given().unwrap_or(drawn);
    eprintln!("MICRO_TEST_SEED={seed}");
    seed
}

/// Runs `test` with a random source of each of `count` [`seeds`].
pub fn with_seeds(count: u64, test: impl Fn(&mut fastrand::Rng)) {
    for seed in seeds(count) {
        let _told = Told(seed);
        test(&mut fastrand::Rng::with_seed(seed));
    }
}

/// Tells the seed of a test that fails while this lives.
pub struct Told(pub u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("MICRO_TEST_SEED={} plays it again", self.0);
        }
    }
}

fn given() -> Option<u64> {
    let given = std::env::var("MICRO_TEST_SEED").ok()?;
    Some(given.parse().expect("MICRO_TEST_SEED is a number"))
}
