//! Never too many nodes are left alone for how calls went.

use std::time::Duration;

use micro_runtime::error::why::Cause;
use micro_runtime::registry::Standing;

use crate::fleet::{Fleet, Mood, Told, idempotent, seeds};

/// Nodes whose moods change as chance has it, for half a minute; `check` looks every 10 ms.
async fn chaos(seed: u64, moods: fn(usize) -> &'static [Mood], check: impl Fn(&Fleet, usize)) {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.usize(2..40);
    let fleet = Fleet::new(count, seed).await;
    let most = (count / 2).max(1);
    for _ in 0..30 {
        for _ in 0..random.usize(..=count) {
            let node = random.usize(..count);
            let moods = moods(node);
            fleet.set(node, moods[random.usize(..moods.len())]);
        }
        let rate = random.u32(20..600);
        let time = Duration::from_millis(random.u64(100..2_000));
        let look = |fleet: &Fleet| check(fleet, most);
        fleet.load(rate, time, idempotent, look).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_nodes_do_no_more_than_the_share_is_left_alone() {
    let moods = |_| {
        &[
            Mood::Well,
            Mood::Loses,
            Mood::Silent,
            Mood::Slow,
            Mood::Busy,
            Mood::Cuts,
        ][..]
    };
    for seed in seeds(8) {
        let _told = Told(seed);
        chaos(seed, moods, |fleet, most| {
            let out = fleet.out();
            assert!(
                out <= most,
                "{out} of {} at {}",
                fleet.entries.len(),
                fleet.now()
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_cannot_be_reached_do_not_make_room_for_others() {
    // One that was unreachable and is silent now was never back.
    let moods = |node| match node % 3 {
        0 => &[Mood::Well, Mood::Refuses][..],
        _ => &[Mood::Well, Mood::Loses, Mood::Silent][..],
    };
    for seed in seeds(5) {
        let _told = Told(seed);
        chaos(seed, moods, |fleet, most| {
            let for_calls = |node: &usize| {
                let standing = fleet.standing(*node);
                matches!(standing, Standing::Ejected(_, cause, _) if cause != Cause::Unreachable)
            };
            let out = (0..fleet.entries.len()).filter(for_calls).count();
            assert!(out <= most, "{out} at {}", fleet.now());
        })
        .await;
    }
}
