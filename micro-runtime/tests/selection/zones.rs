//! Calls stay in their zone while that is well.

use std::sync::Arc;

use micro_runtime::registry::NodeEntry;
use micro_runtime::selector::{Locality, Pick, SelectOptions, Strategy, select};

use crate::fleet::{Fleet, NODES};

/// A fifth of the nodes in `a`, two fifths in each of `b` and `c`.
async fn fleet(count: usize, strategy: Strategy) -> Fleet {
    let mut fleet = Fleet::new(count, strategy, |at, node| {
        let zone = ["a", "b", "b", "c", "c"][at % 5];
        node.metadata.insert("zone".into(), zone.into());
    })
    .await;
    fleet.client.locality = Some(Arc::new(Locality::zone("a")));
    fleet
}

fn of(zone: &str) -> impl Fn(&NodeEntry) -> bool {
    move |entry| entry.metadata("zone") == Some(zone)
}

/// Leaves a share of the zone's nodes alone.
fn lose(fleet: &Fleet, zone: &str, share: f64) {
    let nodes = fleet.view.nodes();
    let of_zone: Vec<_> = nodes.list.iter().filter(|entry| of(zone)(entry)).collect();
    let lost = (of_zone.len() as f64 * share) as usize;
    for entry in &of_zone[..lost] {
        entry.eject(0);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_stay_in_their_zone_for_each_strategy() {
    for strategy in [
        Strategy::PowerOfTwo,
        Strategy::LeastConnections,
        Strategy::Hash(Default::default()),
        Strategy::Sticky(Default::default()),
        Strategy::Weighted,
        Strategy::Random,
        Strategy::RoundRobin,
        Strategy::from(|nodes: &[Arc<NodeEntry>]| nodes.len().checked_sub(1)),
    ] {
        let fleet = fleet(100, strategy.clone()).await;
        assert_eq!(fleet.share(500, 0, of("a")), 1.0, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_spill_over_in_proportion_where_a_zone_loses_nodes() {
    // Below seven tenths the zone's calls go as its nodes do.
    for (lost, own) in [(0.2, 1.0), (0.3, 1.0), (0.65, 0.5), (0.93, 0.1), (1.0, 0.0)] {
        let fleet = fleet(NODES, Strategy::PowerOfTwo).await;
        lose(&fleet, "a", lost);
        let share = fleet.share(10_000, 10, of("a"));
        assert!((share - own).abs() < 0.03, "{lost} lost: {share}");
        let near = fleet.share(10_000, 10, of("b"));
        assert!(
            (near - (1.0 - own) / 2.0).abs() < 0.03,
            "{lost} lost: {near}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_has_come_back_has_its_calls_back() {
    let fleet = fleet(NODES, Strategy::Random).await;
    lose(&fleet, "a", 1.0);
    assert_eq!(fleet.share(1_000, 10, of("a")), 0.0);
    for entry in &fleet.view.nodes().list {
        entry.restore(500);
    }
    assert_eq!(fleet.share(1_000, 1_000, of("a")), 1.0);
}

#[tokio::test(start_paused = true)]
async fn another_try_leaves_the_zone_where_that_has_no_other_node() {
    let fleet = fleet(5, Strategy::PowerOfTwo).await;
    let own = fleet.pick(None, 0);
    assert!(of("a")(&own));
    let tried = [own];
    let call = SelectOptions::default();
    let pick = Pick::at(0).after(&tried);
    let other = select(&fleet.view.nodes(), &call, &fleet.client, pick).unwrap();
    assert!(!of("a")(&other));
}

#[tokio::test(start_paused = true)]
async fn a_zone_without_nodes_changes_nothing() {
    let mut fleet = fleet(100, Strategy::Random).await;
    fleet.client.locality = Some(Arc::new(Locality::zone("d")));
    assert!(fleet.counts(5_000, 0).len() > 95);
}
