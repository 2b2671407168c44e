//! The better of two goes round nodes that are slow, silent or broken, and comes back to them.

use std::cell::Cell;

use micro_runtime::registry::NodeEntry;
use micro_runtime::selector::Strategy;

use crate::fleet::{Answer, Fleet, Load, NODES};

/// One node in a hundred.
fn is_odd(entry: &NodeEntry) -> bool {
    entry.id().ends_with("00")
}

async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, Strategy::PowerOfTwo, |_, _| {}).await
}

/// What the odd nodes get of their even share after `warm` milliseconds, in ten seconds.
async fn odd_share(odd: Answer, warm: u64) -> f64 {
    let fleet = fleet(NODES).await;
    let answer = |entry: &NodeEntry, _| match is_odd(entry) {
        true => odd,
        false => Answer::Well(10),
    };
    let mut load = Load::new(&fleet, answer);
    load.run(warm, 20, is_odd);
    let (odd, all) = load.run(10_000, 20, is_odd);
    odd as f64 / all as f64 * 100.0
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_ten_times_slower_gets_a_tenth_of_its_share_at_most() {
    let share = odd_share(Answer::Well(100), 5_000).await;
    assert!(share < 0.1, "{share}");
    assert!(share > 0.0, "it is never tried again");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_fast_attracts_no_calls() {
    let share = odd_share(Answer::Error(1), 10_000).await;
    assert!(share < 0.25, "{share}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_answers_attracts_no_calls() {
    let share = odd_share(Answer::Never(5_000), 5_000).await;
    assert!(share < 0.05, "{share}");
}

#[tokio::test(start_paused = true)]
async fn calls_leave_a_node_that_becomes_slow_within_a_second() {
    let fleet = fleet(100).await;
    let slow_from = Cell::new(u64::MAX);
    let answer = |entry: &NodeEntry, now| match is_odd(entry) && now >= slow_from.get() {
        true => Answer::Well(2_000),
        false => Answer::Well(10),
    };
    let mut load = Load::new(&fleet, answer);
    let (before, all) = load.run(2_000, 10, is_odd);
    let share = before as f64 / all as f64;
    assert!((0.005..0.02).contains(&share), "{share}");
    slow_from.set(3_000);
    let (during, _) = load.run(1_000, 10, is_odd);
    assert!(during < 30, "{during} calls in the first second");
    let (after, _) = load.run(1_000, 10, is_odd);
    assert!(after < 10, "{after} calls in the second after");
}

#[tokio::test(start_paused = true)]
async fn calls_come_back_to_a_node_that_is_well_again() {
    let fleet = fleet(100).await;
    let well_from = Cell::new(u64::MAX);
    let answer = |entry: &NodeEntry, now| match is_odd(entry) && now < well_from.get() {
        true => Answer::Well(500),
        false => Answer::Well(10),
    };
    let mut load = Load::new(&fleet, answer);
    load.run(5_000, 2, is_odd);
    well_from.set(6_000);
    load.run(30_000, 2, is_odd);
    let (back, all) = load.run(10_000, 2, is_odd);
    let share = back as f64 / all as f64 * 100.0;
    assert!(
        share > 0.5,
        "half a minute later it has {share} of its share"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nobody_has_measured_attracts_no_more_calls_than_others() {
    let fleet = fleet(100).await;
    // Its first answer is far off.
    let answer = |entry: &NodeEntry, _| match is_odd(entry) {
        true => Answer::Well(60_000),
        false => Answer::Well(10),
    };
    let mut load = Load::new(&fleet, answer);
    let (odd, all) = load.run(1_000, 10, is_odd);
    let share = odd as f64 / all as f64 * 100.0;
    assert!(share < 1.0, "{share} of an even share");
}

#[tokio::test(start_paused = true)]
async fn slow_answers_of_a_busy_node_count_though_fast_ones_end_before_them() {
    let fleet = fleet(2).await;
    let is_odd = |entry: &NodeEntry| entry.id().ends_with('1');
    // Of ten calls that begin together one takes long.
    let answer = |entry: &NodeEntry, now: u64| match is_odd(entry) {
        true if now.is_multiple_of(10) => Answer::Well(200),
        true => Answer::Well(1),
        false => Answer::Well(10),
    };
    let mut load = Load::new(&fleet, answer);
    load.run(1_000, 10, is_odd);
    let (odd, all) = load.run(5_000, 10, is_odd);
    let share = odd as f64 / all as f64;
    assert!(share < 0.2, "{share} of the calls");
}
