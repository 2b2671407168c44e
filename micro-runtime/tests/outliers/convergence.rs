//! How long calls go on to meet nodes that are lost.

use std::time::Duration;

use micro_runtime::client::ClientOptions;
use micro_runtime::registry::Standing;
use micro_runtime::selector::Strategy;

use crate::fleet::{Fleet, Mood, Told, idempotent, plain, seeds};

/// Loses `lost` of `count` nodes and calls on for two seconds at `rate` a second; gives how many calls
/// met lost nodes, how many of them a second later and more, and how many failed.
async fn loses(mood: Mood, (count, lost): (usize, usize), rate: u32, seed: u64) -> [usize; 3] {
    // Half of all nodes are more than the budget of further tries has been made for.
    let unbound = |options: &mut ClientOptions| options.call.retry_budget = None;
    let fleet = Fleet::with(count, seed, unbound).await;
    let warm = Duration::from_millis(300);
    assert_eq!(fleet.load(rate, warm, idempotent, |_| {}).await, 0);
    let spread = count / lost;
    for node in 0..lost {
        fleet.set(node * spread, mood);
    }
    let at = fleet.now();
    let time = Duration::from_secs(2);
    let failed = fleet.load(rate, time, idempotent, |_| {}).await;
    let met = [at, at + 1_000].map(|from| fleet.met_since(from));
    println!("{mood:?}, {lost} of {count}, {rate}/s, seed {seed}: met {met:?}, failed {failed}");
    [met[0], met[1], failed]
}

#[tokio::test(start_paused = true)]
async fn three_nodes_lose_one() {
    for seed in seeds(3) {
        let _told = Told(seed);
        for mood in [Mood::Refuses, Mood::Loses, Mood::Silent] {
            let [met, late, failed] = loses(mood, (3, 1), 500, seed).await;
            assert_eq!(failed, 0, "{mood:?}");
            assert!(met <= 50, "{mood:?}: {met}");
            assert_eq!(late, 0, "{mood:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn some_hundred_nodes_lose_one_a_tenth_and_half() {
    for seed in seeds(1) {
        let _told = Told(seed);
        for lost in [1, 30, 150] {
            for mood in [Mood::Refuses, Mood::Loses, Mood::Silent] {
                // 20 calls a node and second, so that each node is heard of often enough.
                let [_, late, failed] = loses(mood, (300, lost), 6_000, seed).await;
                assert_eq!(failed, 0, "{mood:?}, {lost}");
                assert!(late <= lost, "{mood:?}, {lost}: {late} of 6,000");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_nodes_lose_a_hundred() {
    for seed in seeds(1) {
        let _told = Told(seed);
        let [_, late, failed] = loses(Mood::Silent, (10_000, 100), 50_000, seed).await;
        assert_eq!(failed, 0);
        // Those that had not been called before.
        assert!(late <= 10, "{late} of 50,000");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_meets_few_calls_though_their_tries_have_all_the_time() {
    for seed in seeds(2) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        fleet.set(1, Mood::Silent);
        let failed = fleet
            .load(500, Duration::from_secs(60), plain, |_| {})
            .await;
        println!("seed {seed}: {failed} calls met the stopped node");
        assert!((1..=50).contains(&failed), "{failed} of 10,000");
        fleet.set(1, Mood::Well);
        // It is asked again at most 30 s later, and no call was lost to find that out.
        let failed = fleet
            .load(100, Duration::from_secs(31), plain, |_| {})
            .await;
        assert_eq!(failed, 0);
        assert_eq!(fleet.out(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_meets_fewer_still_where_the_better_of_two_is_chosen() {
    for seed in seeds(2) {
        let _told = Told(seed);
        let better = |options: &mut ClientOptions| options.selector = Strategy::default();
        let fleet = Fleet::with(3, seed, better).await;
        fleet.load(500, Duration::from_secs(1), plain, |_| {}).await;
        fleet.set(1, Mood::Silent);
        let failed = fleet
            .load(500, Duration::from_secs(20), plain, |_| {})
            .await;
        println!("seed {seed}: {failed} calls met the stopped node");
        assert!((1..=10).contains(&failed), "{failed} of 10,000");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_handlers_take_long_is_asked_and_stays() {
    let fleet = Fleet::new(3, 1).await;
    fleet.set(1, Mood::Slow);
    let mut out = 0;
    let look = |fleet: &Fleet| out += fleet.out();
    let failed = fleet.load(50, Duration::from_secs(30), plain, look).await;
    assert_eq!((failed, fleet.standing(1)), (0, Standing::In));
    // Calls went elsewhere while it was asked, which took no longer than an answer does.
    assert!(out <= 300, "{out} of 3,000 looks");
}
