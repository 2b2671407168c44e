//! Filters: in order, of the client and of the call, and found once a snapshot.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use micro_runtime::registry::{Directory, Memory, Node, NodeEntry, RegisterOptions};
use micro_runtime::registry::{Registry, Service, View};
use micro_runtime::selector::{Filter, Pick, SelectOptions, Strategy, select};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

/// A registry with nodes of this version, id and region, and a view of them.
async fn fleet(nodes: &[(&str, &str, &str)]) -> (Memory, Arc<View>) {
    let registry = Memory::new();
    for (version, id, region) in nodes {
        add(&registry, version, id, region).await;
    }
    let tasks = Tasks::seeded(1, SystemTime::UNIX_EPOCH);
    let view = Directory::new(Arc::new(registry.clone()), &tasks).view("greeter");
    view.ready(Instant::now() + Duration::from_secs(5))
        .await
        .unwrap();
    (registry, view)
}

async fn add(registry: &Memory, version: &str, id: &str, region: &str) {
    let mut node = Node::new(id, format!("{id}:1"));
    node.metadata.insert("region".into(), region.into());
    let service = Service::new("greeter", version).with_nodes(vec![node]);
    let options = RegisterOptions::default();
    registry.register(&service, options).await.unwrap();
}

fn options(filters: &[Filter]) -> SelectOptions {
    let mut options = SelectOptions::default();
    options.filters = filters.to_vec();
    options.strategy = Some(Strategy::RoundRobin);
    options
}

/// The ids of all nodes that are ever chosen.
fn chosen(view: &View, client: &[Filter], call: &[Filter]) -> BTreeSet<String> {
    let (client, call) = (options(client), options(call));
    let nodes = view.nodes();
    let choices = (0..50).filter_map(|_| select(&nodes, &call, &client, Pick::at(0)).ok());
    choices.map(|entry| entry.id().to_owned()).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn an_empty_version_is_the_latest() {
    let (registry, view) = fleet(&[
        ("1.9.0", "a", "eu"),
        ("1.10.0", "b", "eu"),
        ("v1.10", "c", "us"),
        ("1.10.0-rc.1", "d", "eu"),
    ])
    .await;
    for latest in [Filter::version(""), Filter::latest()] {
        assert_eq!(
            chosen(&view, &[], std::slice::from_ref(&latest)),
            set(&["b", "c"])
        );
        assert_eq!(chosen(&view, &[latest], &[]), set(&["b", "c"]));
    }
    assert_eq!(
        chosen(&view, &[], &[Filter::version("1.10.0")]),
        set(&["b"]),
        "a version that is named is taken by its letters"
    );
    add(&registry, "2", "e", "eu").await;
    while view.nodes().list.len() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(chosen(&view, &[], &[Filter::latest()]), set(&["e"]));
}

#[tokio::test]
async fn the_latest_version_is_not_left_for_an_older_one_that_can_be_reached() {
    let (_registry, view) = fleet(&[("1", "a", "eu"), ("2", "b", "eu")]).await;
    let newest = view.nodes().list[1].clone();
    newest.eject(0);
    assert_eq!(chosen(&view, &[], &[Filter::latest()]), set(&["b"]));
}

#[tokio::test]
async fn filters_work_one_after_the_other_and_the_clients_first() {
    let (_registry, view) = fleet(&[
        ("1", "a", "eu"),
        ("2", "b", "eu"),
        ("3", "c", "us"),
        ("3", "d", "us"),
    ])
    .await;
    let (eu, latest) = (Filter::label("region", "eu"), Filter::latest());
    let both = |one: &Filter, other: &Filter| [one.clone(), other.clone()];
    assert_eq!(chosen(&view, &[], &both(&eu, &latest)), set(&["b"]));
    assert_eq!(chosen(&view, &[], &both(&latest, &eu)), set(&[]));
    let (eu, latest) = ([eu], [latest]);
    assert_eq!(chosen(&view, &eu, &latest), set(&["b"]));
    assert_eq!(chosen(&view, &latest, &eu), set(&[]));
}

#[tokio::test]
async fn a_clients_function_is_asked_once_a_snapshot_and_a_calls_by_each_call() {
    let (registry, view) = fleet(&[("1", "a", "eu"), ("1", "b", "us"), ("1", "c", "eu")]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let own = |not: &'static str| {
        let asked = asked.clone();
        Filter::from(move |node: &NodeEntry| {
            asked.fetch_add(1, Ordering::Relaxed);
            node.id() != not
        })
    };
    let not_a = own("a");
    for _ in 0..3 {
        assert_eq!(
            chosen(&view, std::slice::from_ref(&not_a), &[]),
            set(&["b", "c"])
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // Beside filters that a call has, too.
    let eu = [Filter::label("region", "eu")];
    for _ in 0..3 {
        assert_eq!(
            chosen(&view, std::slice::from_ref(&not_a), &eu),
            set(&["c"])
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 6);
    add(&registry, "1", "d", "eu").await;
    while view.nodes().list.len() < 4 {
        tokio::task::yield_now().await;
    }
    let now = chosen(&view, std::slice::from_ref(&not_a), &[]);
    assert_eq!(now, set(&["b", "c", "d"]));
    assert_eq!(asked.load(Ordering::Relaxed), 10);
    // A call's function may look at what changes from call to call.
    let turn = Arc::new(AtomicUsize::new(0));
    let seen = turn.clone();
    let changing = Filter::from(move |node: &NodeEntry| {
        (node.id() == "a") == (seen.load(Ordering::Relaxed) == 0)
    });
    let changing = [changing, eu[0].clone()];
    assert_eq!(chosen(&view, &[], &changing), set(&["a"]));
    turn.store(1, Ordering::Relaxed);
    assert_eq!(chosen(&view, &[], &changing), set(&["c", "d"]));
}

#[tokio::test]
async fn more_filters_than_a_snapshot_keeps_work_all_the_same() {
    let names: Vec<String> = (0..40).map(|n| format!("n{n:02}")).collect();
    let nodes: Vec<_> = names.iter().map(|name| ("1", &**name, &**name)).collect();
    let (_registry, view) = fleet(&nodes).await;
    for _ in 0..2 {
        for name in &names {
            let only = Filter::label("region", &**name);
            assert_eq!(chosen(&view, &[], &[only]), set(&[name]));
        }
    }
}

#[tokio::test]
async fn filters_are_compared_by_what_they_say() {
    let (_registry, view) = fleet(&[("1", "a", "eu"), ("eu", "b", "1"), ("", "c", "")]).await;
    for (filter, expected) in [
        (Filter::version("1"), "a"),
        (Filter::version("eu"), "b"),
        (Filter::label("region", "1"), "b"),
        (Filter::label("region", "eu"), "a"),
        (Filter::label("region", ""), "c"),
        (Filter::version("1"), "a"),
    ] {
        assert_eq!(chosen(&view, &[], &[filter]), set(&[expected]));
    }
    let own = |id: &'static str| Filter::from(move |node: &NodeEntry| node.id() == id);
    assert_eq!(chosen(&view, &[own("a")], &[]), set(&["a"]));
    assert_eq!(chosen(&view, &[own("b")], &[]), set(&["b"]));
}
