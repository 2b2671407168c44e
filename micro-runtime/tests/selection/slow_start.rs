//! Nodes that come get their share little by little.

use std::time::Duration;

use micro_runtime::selector::Strategy;
use tokio::time::{Instant, advance};

use crate::fleet::{Answer, Fleet, Load, node};

#[tokio::test(start_paused = true)]
async fn a_new_node_gets_its_share_over_ten_seconds() {
    for strategy in [
        Strategy::Random,
        Strategy::Weighted,
        Strategy::PowerOfTwo,
        Strategy::LeastConnections,
    ] {
        for others in [9, 99] {
            let fleet = Fleet::new(others, strategy.clone(), |_, _| {}).await;
            advance(Duration::from_secs(60)).await;
            fleet.comes(node("new")).await;
            let came = fleet.view.millis(Instant::now());
            let mut before = 0.0;
            for (after, least, most) in [
                (0, 0.02, 0.25),
                (2_500, 0.1, 0.5),
                (5_000, 0.3, 0.8),
                (10_000, 0.85, 1.15),
                (60_000, 0.85, 1.15),
            ] {
                let times = 20_000;
                let share = fleet.share(times, came + after, |entry| entry.id() == "new");
                let share = share * (others + 1) as f64;
                let what = format!("{strategy}, {others} others, {after} ms: {share}");
                // Five standard deviations of a share; of two that differ by chance root two of it.
                let chance = 5.0 * ((others + 1) as f64 / times as f64).sqrt();
                assert!(share > least - chance && share < most + chance, "{what}");
                let fell = before - share;
                assert!(fell < chance * 2_f64.sqrt(), "{what} is less than {before}");
                before = share;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_node_is_spared_under_load_too() {
    for strategy in [Strategy::PowerOfTwo, Strategy::LeastConnections] {
        let mut fleet = Fleet::new(9, strategy.clone(), |_, _| {}).await;
        advance(Duration::from_secs(60)).await;
        fleet.comes(node("new")).await;
        fleet.client.slow_start = Some(Duration::from_secs(70));
        // The load's time begins at 1 s, so that the node has come just now and is spared throughout.
        let mut load = Load::new(&fleet, |_, _| Answer::Well(100));
        let (new, all) = load.run(2_000, 5, |entry| entry.id() == "new");
        let share = new as f64 / all as f64 * 10.0;
        assert!((0.02..0.35).contains(&share), "{strategy}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_gets_its_share_little_by_little() {
    let fleet = Fleet::new(10, Strategy::PowerOfTwo, |_, _| {}).await;
    let nodes = fleet.view.nodes();
    let back = &nodes.list[3];
    back.eject(1_000);
    back.restore(5_000);
    let share = |now| fleet.share(5_000, now, |entry| entry.is_same(back));
    assert!(share(5_000) < 0.03);
    assert!((0.03..0.08).contains(&share(10_000)));
    assert!((0.08..0.12).contains(&share(15_000)));
}

#[tokio::test(start_paused = true)]
async fn slow_start_can_be_switched_off_and_the_first_nodes_know_none() {
    let mut fleet = Fleet::new(10, Strategy::Random, |_, _| {}).await;
    let now = fleet.view.millis(Instant::now());
    assert_eq!(fleet.counts(1_000, now).len(), 10);
    fleet.client.slow_start = Some(Duration::ZERO);
    advance(Duration::from_secs(1)).await;
    fleet.comes(node("new")).await;
    let now = fleet.view.millis(Instant::now());
    let share = fleet.share(11_000, now, |entry| entry.id() == "new");
    assert!((0.07..0.12).contains(&share), "{share}");
}
