//! A share of the calls for a few nodes.

use std::sync::Arc;

use micro_runtime::metadata::Metadata;
use micro_runtime::registry::NodeEntry;
use micro_runtime::selector::{
    Affinity, Canary, Filter, Locality, Pick, SelectOptions, Strategy, select,
};

use crate::fleet::{Fleet, NODES, keys};

/// One node in a hundred is of the new release.
async fn fleet(count: usize, share: f64) -> Fleet {
    let mut fleet = Fleet::new(count, Strategy::PowerOfTwo, |at, node| {
        let release = if at % 100 == 0 { "new" } else { "old" };
        node.metadata.insert("release".into(), release.into());
        let zone = if at % 2 == 0 { "a" } else { "b" };
        node.metadata.insert("zone".into(), zone.into());
    })
    .await;
    let canary = Canary::new(Filter::label("release", "new"), share);
    fleet.client.canary = Some(Arc::new(canary));
    fleet
}

fn is_new(entry: &NodeEntry) -> bool {
    entry.metadata("release") == Some("new")
}

#[tokio::test(start_paused = true)]
async fn the_canary_gets_its_share_whatever_its_size() {
    for share in [0.0, 0.05, 0.5, 1.0] {
        let fleet = fleet(NODES, share).await;
        let got = fleet.share(20_000, 0, is_new);
        assert!((got - share).abs() < 0.02, "{share}: {got}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_on_its_side_in_every_client() {
    let (one, other) = (fleet(NODES, 0.2).await, fleet(NODES, 0.2).await);
    let mut met = 0;
    for key in keys(2_000) {
        let side = is_new(&one.pick(Some(&key), 0));
        assert_eq!(is_new(&one.pick(Some(&key), 0)), side);
        assert_eq!(is_new(&other.pick(Some(&key), 0)), side);
        met += usize::from(side);
    }
    assert!((320..480).contains(&met), "{met}");
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_other_side_where_one_is_out() {
    let fleet = fleet(200, 0.5).await;
    let nodes = fleet.view.nodes();
    for entry in nodes.list.iter().filter(|entry| is_new(entry)) {
        entry.eject(0);
    }
    assert_eq!(fleet.share(1_000, 10, is_new), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_a_version_that_is_not_there_changes_nothing() {
    let mut fleet = fleet(100, 0.5).await;
    let canary = Canary::new(Filter::version("9"), 0.5);
    fleet.client.canary = Some(Arc::new(canary));
    assert!(fleet.counts(5_000, 0).len() > 95);
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_looked_for_on_the_canarys_side_and_on_the_other() {
    let mut fleet = fleet(400, 0.3).await;
    fleet.client.locality = Some(Arc::new(Locality::zone("b")));
    // All four of the new release are in the other zone: the canary goes before the zone.
    let new = fleet.share(10_000, 0, is_new);
    assert!((new - 0.3).abs() < 0.03, "{new}");
    let near = fleet.share(10_000, 0, |entry| entry.metadata("zone") == Some("b"));
    assert!((near - 0.7).abs() < 0.03, "{near}");
}

#[tokio::test(start_paused = true)]
async fn what_the_strategy_keeps_with_a_node_stays_on_its_side_too() {
    let by_user = || Affinity::Metadata("x-user".into());
    for strategy in [Strategy::Sticky(by_user()), Strategy::Hash(by_user())] {
        let mut fleet = fleet(400, 0.5).await;
        fleet.client.strategy = Some(strategy.clone());
        fleet.client.locality = Some(Arc::new(Locality::zone("a").threshold(1.0)));
        // Half of the zone is out, so that half of its calls spill over.
        let nodes = fleet.view.nodes();
        let of_zone = nodes.list.iter();
        let of_zone = of_zone.filter(|entry| entry.metadata("zone") == Some("a"));
        of_zone.skip(1).step_by(2).for_each(|entry| {
            entry.eject(0);
        });
        let mut met = 0;
        for user in keys(200) {
            let mut metadata = Metadata::new();
            metadata.set("X-User", user);
            let pick = || {
                let pick = Pick::at(10).metadata(&metadata);
                select(&nodes, &SelectOptions::default(), &fleet.client, pick).unwrap()
            };
            let own = pick();
            assert!((0..20).all(|_| pick().is_same(&own)), "{strategy}");
            met += usize::from(is_new(&own));
        }
        assert!((60..140).contains(&met), "{strategy}: {met}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sticks_to_a_node_stays_on_one_side() {
    let mut fleet = fleet(400, 0.5).await;
    fleet.client.strategy = Some(Strategy::Sticky(Affinity::Caller));
    assert_eq!(fleet.counts(200, 0).len(), 1);
    fleet.client.strategy = Some(Strategy::Sticky(Affinity::Key));
    assert_eq!(fleet.counts(200, 0).len(), 1, "calls without a key, too");
}

#[tokio::test(start_paused = true)]
async fn no_canary_is_forgotten_however_many_there_are() {
    let mut fleet = Fleet::new(100, Strategy::Random, |at, node| {
        let group = (at % 10).to_string();
        node.metadata.insert("group".into(), group);
    })
    .await;
    for group in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        let of_group = |entry: &NodeEntry| entry.metadata("group") == Some(group);
        let canary = Canary::new(Filter::label("group", group), 1.0);
        fleet.client.canary = Some(Arc::new(canary));
        assert_eq!(fleet.share(200, 0, of_group), 1.0, "{group}");
        fleet.client.canary = None;
        fleet.client.locality = Some(Arc::new(Locality::label("group", group)));
        assert_eq!(fleet.share(200, 0, of_group), 1.0, "zone {group}");
        fleet.client.locality = None;
    }
}
