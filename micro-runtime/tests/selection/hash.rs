//! Keys stay with their nodes, and no node has much more than the mean.

use std::collections::BTreeMap;

use micro_runtime::metadata::Metadata;
use micro_runtime::selector::{Affinity, Filter, Pick, SelectOptions, Strategy, select};

use crate::fleet::{Fleet, NODES, by_key, keys, node};

async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, Strategy::Hash(by_key()), |_, _| {}).await
}

fn homes(fleet: &Fleet, count: usize) -> BTreeMap<String, String> {
    let home = |key: String| {
        let entry = fleet.pick(Some(&key), 0);
        (key, entry.id().to_owned())
    };
    keys(count).map(home).collect()
}

fn moved(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let moved = before.iter().filter(|(key, home)| after[*key] != **home);
    moved.map(|(key, _)| key.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_keys_calls_go_to_one_node_in_every_client() {
    let (one, other) = (fleet(NODES).await, fleet(NODES).await);
    let homes = homes(&one, 1_000);
    assert_eq!(homes, self::homes(&other, 1_000));
    let used: std::collections::BTreeSet<_> = homes.values().collect();
    assert!(used.len() > 900, "keys have {} homes", used.len());
}

#[tokio::test(start_paused = true)]
async fn only_the_keys_of_a_node_that_goes_move() {
    let fleet = fleet(NODES).await;
    let before = homes(&fleet, 50_000);
    let gone = before["user-17"].clone();
    fleet.goes(&gone).await;
    let after = homes(&fleet, 50_000);
    let moved = moved(&before, &after);
    assert!(moved.iter().all(|key| before[key] == gone), "{moved:?}");
    assert!(!moved.is_empty());
    // One node's share is a ten-thousandth, five keys; none has more than a little over that but
    // for chance.
    assert!(moved.len() < 25, "{} keys have moved", moved.len());

    // It comes back, and so do they.
    fleet.comes(node(&gone)).await;
    assert_eq!(homes(&fleet, 50_000), before);
}

#[tokio::test(start_paused = true)]
async fn keys_go_round_a_node_that_is_left_alone_as_if_it_was_gone() {
    let fleet = fleet(100).await;
    let before = homes(&fleet, 5_000);
    let out = before["user-17"].clone();
    let entry = fleet.pick(Some("user-17"), 0);
    entry.eject(0);
    let while_out = homes(&fleet, 5_000);
    let moved = moved(&before, &while_out);
    assert!(moved.iter().all(|key| before[key] == out));
    entry.restore(0);
    fleet.goes(&out).await;
    assert_eq!(homes(&fleet, 5_000), while_out);
}

#[tokio::test(start_paused = true)]
async fn no_node_has_a_quarter_more_calls_than_the_mean() {
    let fleet = fleet(NODES).await;
    fleet.hold(keys(1)); // From here on the sum of all calls is counted.
    let (_held, most) = fleet.hold(keys(NODES * 20));
    assert!(most <= 25, "{most} calls of 20 on average");
}

#[tokio::test(start_paused = true)]
async fn one_key_with_all_the_calls_spreads_over_many_nodes() {
    let fleet = fleet(100).await;
    fleet.hold(keys(1));
    let (_held, most) = fleet.hold((0..2_000).map(|_| "everybody".to_owned()));
    assert!(most <= 25, "{most} calls of 20 on average");
}

#[tokio::test(start_paused = true)]
async fn keys_are_spread_evenly_also_where_no_calls_overlap() {
    let fleet = fleet(100).await;
    let homes = homes(&fleet, 100_000);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for home in homes.values() {
        *counts.entry(home).or_default() += 1;
    }
    let most = counts.values().max().unwrap();
    // 1.125 of the mean, and four standard deviations of chance.
    assert!(*most < 1_260, "{most} keys of 1000 on average");
}

#[tokio::test(start_paused = true)]
async fn calls_go_by_their_metadata_or_by_who_makes_them() {
    let mut fleet = fleet(1_000).await;
    let pick = |fleet: &Fleet, user: &str| {
        let mut metadata = Metadata::new();
        metadata.set("X-User", user.to_owned());
        let pick = Pick::at(0).metadata(&metadata);
        let call = SelectOptions::default();
        let entry = select(&fleet.view.nodes(), &call, &fleet.client, pick).unwrap();
        entry.id().to_owned()
    };
    fleet.client.strategy = Some(Strategy::Hash(Affinity::Metadata("x-user".into())));
    assert_eq!(pick(&fleet, "john"), pick(&fleet, "john"));
    assert_ne!(pick(&fleet, "john"), pick(&fleet, "jane"));
    fleet.client.strategy = Some(Strategy::Hash(Affinity::Caller));
    let own = pick(&fleet, "john");
    assert!((0..100).all(|at| pick(&fleet, &at.to_string()) == own));
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_go_anywhere() {
    let fleet = fleet(100).await;
    assert!(fleet.counts(1_000, 0).len() > 90);
}

#[tokio::test(start_paused = true)]
async fn keys_stay_at_home_while_there_are_few_calls() {
    let fleet = fleet(10).await;
    let homes = homes(&fleet, 8_000);
    let keys: Vec<_> = homes.keys().cloned().collect();
    let mut away = 0;
    for eight in keys.chunks(8) {
        let mut held = Vec::new();
        for key in eight {
            let entry = fleet.pick(Some(key), 0);
            away += usize::from(entry.id() != homes[key]);
            held.push(entry.begin());
        }
    }
    // Five of eight at one of ten nodes: four times in a thousand.
    assert!(away < 50, "{away} of 8000");
}

#[tokio::test(start_paused = true)]
async fn in_a_part_of_the_nodes_the_bound_is_that_parts_own() {
    for part in [10, 100] {
        let mut fleet = Fleet::new(1_000, Strategy::Hash(by_key()), |at, node| {
            let group = if at < part { "few" } else { "many" };
            node.metadata.insert("group".into(), group.into());
        })
        .await;
        // The others are busy, and count for nothing here.
        fleet.client.filters = vec![Filter::label("group", "many")];
        let (_busy, _) = fleet.hold(keys((1_000 - part) * 50));
        fleet.client.filters = vec![Filter::label("group", "few")];
        let everybody = (0..part * 20).map(|_| fleet.pick(Some("everybody"), 0).begin());
        let _held: Vec<_> = everybody.collect();
        let nodes = fleet.view.nodes();
        let few = nodes.list.iter();
        let few = few.filter(|entry| entry.metadata("group") == Some("few"));
        let most = few.map(|entry| entry.in_flight()).max().unwrap();
        // Of more than sixteen nodes the calls are told from some.
        let bound = if part <= 16 { 25 } else { 100 };
        assert!(most <= bound, "{most} calls of 20 on average of {part}");
    }
}
