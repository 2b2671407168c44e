//! Seeds of random tests: printed, so that one that failed can be run again.

/// Runs `test` with a random source of each of `many` seeds, or of `MICRO_TEST_SEED` alone.
pub(super) fn with_seeds(many: u64, test: impl Fn(&mut fastrand::Rng)) {
    let given = std::env::var("MICRO_TEST_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let seeds = match given {
        Some(seed) => seed..seed + 1,
        None => 0..many,
    };
    for seed in seeds {
        let told = Told(seed);
        test(&mut fastrand::Rng::with_seed(seed));
        drop(told);
    }
}

struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with MICRO_TEST_SEED={}", self.0);
        }
    }
}
