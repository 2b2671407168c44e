//! How even strategies are where nothing is known of the nodes, or all are alike.

use micro_runtime::selector::Strategy;

use crate::fleet::{Fleet, NODES, keys};

const PICKS: usize = NODES * 20;

/// The sum of squared deviations over what chance alone gives; 1 for chance.
fn unevenness(counts: impl Iterator<Item = usize>) -> f64 {
    let mean = PICKS as f64 / NODES as f64;
    let squares = counts.map(|count| (count as f64 - mean).powi(2));
    squares.sum::<f64>() / mean / NODES as f64
}

#[tokio::test(start_paused = true)]
async fn random_is_as_even_as_chance() {
    let fleet = Fleet::new(NODES, Strategy::Random, |_, _| {}).await;
    let counts = fleet.counts(PICKS, 0);
    // Of ten thousand degrees of freedom: seven standard deviations on either side.
    let uneven = unevenness(counts.into_values());
    assert!((0.9..1.1).contains(&uneven), "{uneven}");
}

#[tokio::test(start_paused = true)]
async fn the_better_of_two_is_as_even_as_chance_where_nothing_is_known() {
    let fleet = Fleet::new(NODES, Strategy::PowerOfTwo, |_, _| {}).await;
    let uneven = unevenness(fleet.counts(PICKS, 0).into_values());
    assert!((0.9..1.1).contains(&uneven), "{uneven}");
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_each_of_many_nodes_its_turn_in_each_round() {
    let fleet = Fleet::new(NODES, Strategy::RoundRobin, |_, _| {}).await;
    for round in 0..3 {
        let counts = fleet.counts(NODES, 0);
        assert_eq!(counts.len(), NODES, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_passes_over_nodes_that_are_out_and_is_even_among_the_others() {
    let fleet = Fleet::new(NODES, Strategy::RoundRobin, |_, _| {}).await;
    fleet.counts(NODES / 2, 0);
    for entry in fleet.view.nodes().list.iter().step_by(3) {
        entry.eject(0);
    }
    let left = NODES - NODES.div_ceil(3);
    let counts = fleet.counts(left * 3, 0);
    assert_eq!(counts.len(), left);
    let (least, most) = (counts.values().min(), counts.values().max());
    assert!(least >= Some(&2) && most <= Some(&4), "{least:?} {most:?}");
}

#[tokio::test(start_paused = true)]
async fn round_robin_goes_on_in_the_next_snapshot() {
    let fleet = Fleet::new(NODES, Strategy::RoundRobin, |_, _| {}).await;
    let mut before = fleet.counts(NODES / 2, 0);
    fleet.goes("node-09000").await;
    fleet.comes(crate::fleet::node("node-00500-new")).await;
    before.append(&mut fleet.counts(NODES / 2 - 1, 0));
    // All but the one that is gone; the new one's turn is in the next round.
    assert_eq!(before.len(), NODES - 1);
    assert!(!before.contains_key("node-09000"));
    let after = fleet.counts(NODES, 0);
    assert_eq!(after.len(), NODES, "and the new one has its turn, too");
}

#[tokio::test(start_paused = true)]
async fn the_busiest_node_has_few_calls_more_than_the_mean() {
    // Of 20 calls a node that do not end. By chance alone the busiest has about 40.
    for (strategy, bound) in [(Strategy::PowerOfTwo, 24), (Strategy::LeastConnections, 22)] {
        let fleet = Fleet::new(NODES, strategy.clone(), |_, _| {}).await;
        let (_held, most) = fleet.hold(keys(PICKS));
        assert!((20..=bound).contains(&most), "{strategy}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fewest_calls_are_found_exactly_among_sixteen_nodes() {
    let fleet = Fleet::new(16, Strategy::LeastConnections, |_, _| {}).await;
    for calls in 1..5 {
        let (held, most) = fleet.hold(keys(16 * calls));
        assert_eq!(most as usize, calls);
        drop(held);
    }
}
