use super::*;
use crate::seeds::{Told, seeds};

/// The same in plain numbers.
#[derive(Debug, Default)]
struct Model {
    row: u64,
    good: u64,
    bad: u64,
    opened: u64,
}

impl Model {
    fn is_over(&self, now: u64) -> bool {
        let ticks = (now / TICK).saturating_sub(self.opened / TICK);
        self.bad == 0 || ticks >= (2 * WINDOW).div_ceil(TICK)
    }

    fn failed(&mut self, now: u64, in_row: bool) {
        if self.is_over(now) {
            (self.good, self.bad, self.opened) = (0, 0, now);
        }
        self.row = (self.row + u64::from(in_row)).min(127);
        self.bad += 1;
    }

    fn answered(&mut self, now: u64) {
        self.row = 0;
        if self.is_over(now) {
            (self.good, self.bad, self.opened) = (0, 0, 0);
        } else {
            self.good += 1;
        }
    }
}

#[test]
fn one_word_tells_the_story_that_plain_numbers_tell() {
    for seed in seeds(200) {
        let _told = Told(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut tally, mut model, mut now) = (Tally::default(), Model::default(), seed * 1_000);
        for step in 0..2_000 {
            let pauses = [0, 1, 10, 300, 3_000, 20_000];
            let longest = pauses[random.usize(..pauses.len())];
            now += random.u64(0..=longest);
            // A call that is answered has begun earlier, and threads read the clock at other times.
            let earlier = [0, 0, 1, 100, 300, 5_000];
            let longest = earlier[random.usize(..earlier.len())];
            let at = now.saturating_sub(random.u64(0..=longest));
            if random.u32(..3) == 0 {
                tally = tally.answered(at);
                model.answered(at);
            } else {
                let in_row = random.bool();
                tally = tally.failed(at, in_row);
                model.failed(at, in_row);
            }
            let (good, bad) = tally.answers();
            let told = (tally.row().into(), good.into(), bad.into());
            assert_eq!(
                told,
                (model.row, model.good, model.bad),
                "seed {seed}, step {step}, at {at}"
            );
            assert!(!tally.is_out());
        }
    }
}

#[test]
fn an_answer_whose_call_began_before_the_window_counts_in_it() {
    let tally = Tally::default().failed(10_000, false).answered(9_700);
    assert_eq!(tally.answers(), (1, 1));
    assert_eq!(tally.failed(9_900, false).answers(), (1, 2));
    assert_eq!(tally.said(9_900, 2), None, "it is young");
}

#[test]
fn an_answer_leaves_nothing_of_failures_that_are_long_past() {
    let tally = Tally::default().failed(1_000, true).failed(1_001, true);
    assert_eq!(tally.answered(1_002).row(), 0);
    assert_ne!(
        tally.answered(1_002),
        Tally::default(),
        "its window is open"
    );
    assert_eq!(tally.answered(1_000 + 2 * WINDOW + TICK), Tally::default());
}

#[test]
fn a_window_that_outgrows_its_place_keeps_the_share_of_good_answers() {
    let mut tally = Tally::default();
    for number in 0..200_000_u64 {
        tally = match number % 4 {
            0 => tally.failed(5, false),
            _ => tally.answered(5),
        };
    }
    let (good, bad) = tally.answers();
    let share = f64::from(good) / f64::from(good + bad);
    assert!((0.74..0.76).contains(&share), "{tally:?}");
    assert_eq!(tally.said(5, 100), None, "it is young");
    assert_eq!(tally.said(5 + WINDOW + TICK, 100), Some((good, bad)));
    let asked = tally.asked(5 + WINDOW + TICK);
    assert_eq!(asked.answers(), (good / 2, bad / 2));
    assert_eq!(asked.said(5 + 2 * WINDOW, 100), None, "it is young again");
}

#[test]
fn times_may_run_over_what_the_word_holds() {
    // Half a year on: the word's time has begun anew in the middle of the window.
    let now = (OPENED.mask + 1) * TICK - 10;
    let tally = Tally::default().failed(now, true).failed(now + 20, true);
    assert_eq!(tally.answers(), (0, 2));
    assert!(tally.said(now + WINDOW + 2 * TICK, 2).is_some());
}
