//! What counts as a node's failure, and how often.

use std::time::Duration;

use micro_runtime::client::{ClientOptions, Outliers};
use micro_runtime::error::why::{Cause, LeftOut, Reason, Step};
use micro_runtime::registry::Standing;
use tokio::task::JoinSet;

use crate::fleet::{Fleet, Mood, TRY, Told, idempotent, plain, seeds};

/// So many calls at once.
async fn burst(fleet: &Fleet, count: usize) {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        calls.spawn(plain(&fleet.setup));
    }
    calls.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn what_handlers_say_is_an_answer() {
    let fleet = Fleet::new(3, 1).await;
    fleet.set(0, Mood::Broken);
    let failed = fleet
        .load(300, Duration::from_secs(30), plain, |fleet| {
            assert_eq!(fleet.out(), 0);
        })
        .await;
    assert!(failed > 2_000, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_lost_with_their_connection_count_once() {
    let fleet = Fleet::new(2, 1).await;
    fleet.set(0, Mood::Cuts);
    for _ in 0..4 {
        burst(&fleet, 100).await;
        assert_eq!(fleet.standing(0), Standing::In);
        // Answers of the other node say nothing of this one.
    }
    burst(&fleet, 100).await;
    let standing = fleet.standing(0);
    assert!(
        matches!(standing, Standing::Ejected(_, Cause::Lost, 1)),
        "{standing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tries_that_run_out_together_eject_once() {
    let fleet = Fleet::with(2, 1, |options| {
        options.outliers.patience = None;
        options.outliers.first = Duration::from_secs(8);
        options.call.attempt_timeout = Duration::from_millis(200);
    })
    .await;
    fleet.set(0, Mood::Slow);
    burst(&fleet, 200).await;
    let standing = fleet.standing(0);
    assert!(
        matches!(standing, Standing::Ejected(_, Cause::Silent, 1)),
        "{standing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_say_nothing_against_a_node_that_others_wait_for() {
    for for_a_try in [false, true] {
        let fleet = Fleet::new(2, 1).await;
        fleet.set(0, Mood::Slow);
        let hurried = |setup: &crate::scripted::Setup| {
            let (call, time) = (setup.call(), Duration::from_millis(100));
            let call = match for_a_try {
                true => call.attempt_timeout(time),
                false => call.timeout(time),
            };
            async move { call.await.map(|_| ()) }
        };
        let failed = fleet
            .load(100, Duration::from_secs(10), hurried, |_| {})
            .await;
        assert!(failed > 300, "{failed}");
        assert_eq!(fleet.standing(0), Standing::In);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_worse_than_the_others_is_left_alone() {
    for (seed, mood) in seeds(5).flat_map(|seed| [(seed, Mood::Busy), (seed, Mood::Strained)]) {
        let _told = Told(seed);
        let fleet = Fleet::new(5, seed).await;
        fleet.set(2, mood);
        let mut first = None;
        let look = |fleet: &Fleet| {
            if let Standing::Ejected(_, cause, _) = fleet.standing(2) {
                first.get_or_insert((fleet.now(), cause));
            }
            assert!(fleet.out() <= 1);
        };
        fleet.load(250, Duration::from_secs(20), plain, look).await;
        let (at, cause) = first.unwrap_or_else(|| panic!("{mood:?}: never"));
        assert_eq!(cause, Cause::Answered);
        assert!((5_000..8_000).contains(&at), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_badly_all_alike_are_not_left_alone() {
    for seed in seeds(5) {
        let _told = Told(seed);
        let fleet = Fleet::new(10, seed).await;
        for node in 0..10 {
            fleet.set(node, Mood::Busy);
        }
        let look = |fleet: &Fleet| assert_eq!(fleet.out(), 0);
        fleet.load(500, Duration::from_secs(30), plain, look).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let fleet = Fleet::with(3, 1, |options| options.outliers = Outliers::off()).await;
    fleet.set(0, Mood::Loses);
    fleet.set(1, Mood::Silent);
    let look = |fleet: &Fleet| assert_eq!(fleet.out(), 0);
    let time = Duration::from_secs(5);
    fleet.load(100, time, idempotent, look).await;
    fleet.set(0, Mood::Refuses);
    fleet.load(100, time, idempotent, |_| {}).await;
    assert_eq!(fleet.out(), 1, "what cannot be connected to is skipped");
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_why_nodes_were_left_alone() {
    for (mood, cause) in [
        (Mood::Refuses, Cause::Unreachable),
        (Mood::Loses, Cause::Lost),
        (Mood::Silent, Cause::Silent),
        (Mood::Slow, Cause::Silent),
    ] {
        let short = |options: &mut ClientOptions| options.call.attempt_timeout = TRY;
        let fleet = Fleet::with(2, 1, short).await;
        fleet.set(0, mood);
        let time = Duration::from_millis(1_500);
        fleet.load(200, time, idempotent, |_| {}).await;
        let explained = fleet.setup.call().explain().await;
        assert!(explained.result.is_ok());
        let out: Vec<_> = explained
            .why
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Chosen(choice) => Some(choice.out.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(
            matches!(&out[..], [LeftOut { node, reason: Reason::Ejected(_, told), .. }]
                if node == "node-n00000" && *told == cause),
            "{mood:?}: {out:?}"
        );
    }
}
