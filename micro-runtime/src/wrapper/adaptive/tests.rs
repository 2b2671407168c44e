//! The limit on a simulated server: so many workers, and a queue before them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::gradient::{AdaptiveSettings, Gradient, Took};
use crate::seeds::with_seeds;

/// How long a call takes once a worker has it.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Always(f64),
    /// Exponentially distributed.
    About(f64),
}

impl Takes {
    fn mean(self) -> f64 {
        match self {
            Self::Always(seconds) | Self::About(seconds) => seconds,
        }
    }

    fn one(self, random: &mut fastrand::Rng) -> f64 {
        match self {
            Self::Always(seconds) => seconds,
            Self::About(seconds) => exponential(random, seconds),
        }
    }
}

fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -mean * (1.0 - random.f64()).ln()
}

/// A server behind the limit. Times are seconds from its start.
struct Simulated {
    settings: AdaptiveSettings,
    gradient: Gradient,
    start: Instant,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<u64>>,
    /// When each call that runs ends, and when it began.
    running: BinaryHeap<Reverse<(u64, u64)>>,
    now: f64,
}

/// What was seen in a time.
#[derive(Debug, Default)]
struct Seen {
    limits: Vec<f64>,
    done: u32,
    refused: u32,
    seconds: f64,
}

impl Seen {
    fn limit(&self) -> f64 {
        self.limits.iter().sum::<f64>() / self.limits.len() as f64
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

impl Simulated {
    fn new(workers: u32) -> Self {
        let (settings, start) = (AdaptiveSettings::default(), Instant::now());
        Self {
            settings,
            gradient: Gradient::new(&settings, start),
            start,
            workers: (0..workers).map(|_| Reverse(0)).collect(),
            running: BinaryHeap::new(),
            now: 0.0,
        }
    }

    /// Calls come at random, `load` times as many as the workers can do, for so many seconds.
    fn run(&mut self, random: &mut fastrand::Rng, takes: Takes, load: f64, seconds: f64) -> Seen {
        let pause = takes.mean() / self.workers.len() as f64 / load;
        let mut seen = Seen::default();
        let until = self.now + seconds;
        while self.now < until {
            self.now += exponential(random, pause);
            let now = nanos(self.now);
            while let Some(Reverse((ended, began))) = self.running.peek().copied()
                && ended <= now
            {
                let running = self.running.len() as u32;
                self.running.pop();
                let at = |nanos| self.start + Duration::from_nanos(nanos);
                self.gradient.note(
                    &self.settings,
                    at(ended),
                    (at(began), Took::SoLong),
                    running,
                );
                seen.done += 1;
            }
            seen.limits.push(f64::from(self.gradient.limit()));
            if self.running.len() as u32 >= self.gradient.limit() {
                seen.refused += 1;
                continue;
            }
            let Reverse(free) = self.workers.pop().unwrap();
            let ends = free.max(now) + nanos(takes.one(random));
            self.workers.push(Reverse(ends));
            self.running.push(Reverse((ends, now)));
        }
        seen.seconds = seconds;
        seen
    }
}

/// The limit is between the knee and twice that, and the workers have work nine tenths of the time.
fn assert_near_the_knee(seen: &Seen, workers: u32, takes: Takes, what: &str) {
    let (limit, knee) = (seen.limit(), f64::from(workers));
    assert!(
        (knee..=2.0 * knee).contains(&limit),
        "{what}: {limit} for {workers} workers, {takes:?}"
    );
    let share = f64::from(seen.done) / seen.seconds * takes.mean() / knee;
    assert!(
        share > 0.95,
        "{what}: {share} of {workers} workers, {takes:?}"
    );
}

#[test]
fn the_limit_comes_near_the_knee_whatever_the_load_and_comes_back_after_a_slow_time() {
    with_seeds(5, |random| {
        let workers = random.u32(16..=100);
        let mean = 0.005 + 0.045 * random.f64();
        let takes = match random.bool() {
            true => Takes::Always(mean),
            false => Takes::About(mean),
        };
        let load = 1.2 + 2.0 * random.f64();
        let mut server = Simulated::new(workers);
        server.run(random, takes, load, 40.0);
        let seen = server.run(random, takes, load, 60.0);
        assert_near_the_knee(&seen, workers, takes, "under load");

        // Everything takes four times as long for a while.
        let slow = match takes {
            Takes::Always(mean) => Takes::Always(4.0 * mean),
            Takes::About(mean) => Takes::About(4.0 * mean),
        };
        server.run(random, slow, load, 60.0);
        let seen = server.run(random, slow, load, 60.0);
        assert_near_the_knee(&seen, workers, slow, "slow");
        server.run(random, takes, load, 40.0);
        let seen = server.run(random, takes, load, 60.0);
        assert_near_the_knee(&seen, workers, takes, "quick again");
    });
}

#[test]
fn a_server_with_little_to_do_refuses_nothing() {
    with_seeds(4, |random| {
        let workers = random.u32(30..=200);
        let takes = Takes::About(0.02);
        let mut server = Simulated::new(workers);
        // Few enough that the limit which it begins with does.
        let seen = server.run(random, takes, 4.0 / f64::from(workers), 60.0);
        assert_eq!(seen.refused, 0, "{:?}", server.gradient);
        // More, step by step: it grows in time.
        let mut load = 0.2;
        while load < 0.7 {
            server.run(random, takes, load, 20.0);
            load += 0.1;
        }
        let seen = server.run(random, takes, 0.7, 100.0);
        let share = f64::from(seen.refused) / f64::from(seen.refused + seen.done);
        assert!(share < 0.01, "{share} refused with {workers} workers");
    });
}

#[test]
fn it_begins_with_as_many_as_it_is_told_and_measures_once_there_is_load() {
    let (settings, start) = (AdaptiveSettings::default(), Instant::now());
    let mut gradient = Gradient::new(&settings, start);
    assert_eq!((gradient.limit(), gradient.baseline()), (20, None));
    let time = Duration::from_millis(10);
    let note = |gradient: &mut Gradient, number: u32, running| {
        let began = start + time * number;
        let took = (began, Took::SoLong);
        gradient.note(&settings, began + time, took, running);
    };
    for number in 0..60 {
        note(&mut gradient, number, 20);
    }
    assert_eq!((gradient.limit(), gradient.baseline()), (10, None));
    // No quicker with half as many: there was no queue.
    for number in 60..200 {
        note(&mut gradient, number, 10);
    }
    assert!(gradient.limit() >= 20, "{gradient:?}");
    assert_eq!(gradient.baseline(), Some(time));
}

#[test]
fn calls_that_are_given_up_count_only_where_they_took_longer_than_others_do() {
    let (settings, start) = (AdaptiveSettings::default(), Instant::now());
    let given_up_after = |given_up: Duration| {
        let mut gradient = Gradient::new(&settings, start);
        let time = Duration::from_millis(10);
        let mut now = start;
        for number in 0..2_000_u32 {
            // Three of four are given up, once it is known what calls take.
            let (took, how) = match number < 200 || number.is_multiple_of(4) {
                true => (time, Took::SoLong),
                false => (given_up, Took::AtLeast),
            };
            let began = now;
            now += took;
            let running = gradient.limit();
            gradient.note(&settings, now, (began, how), running);
        }
        (gradient.baseline().unwrap(), gradient.limit())
    };
    let (baseline, limit) = given_up_after(Duration::from_millis(1));
    assert_eq!(baseline, Duration::from_millis(10));
    assert!(limit > 20, "{limit}");
    // Everything is slower, as far as anybody lives to see it.
    let (baseline, _) = given_up_after(Duration::from_millis(100));
    assert!(baseline > Duration::from_millis(50), "{baseline:?}");
}
