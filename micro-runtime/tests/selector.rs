//! Which node a call goes to.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_runtime::Result;
use micro_runtime::registry::{
    Directory, Endpoint, Memory, Node, NodeEntry, Nodes, RegisterOptions, Registry, Service,
};
use micro_runtime::selector::{Filter, Pick, SelectOptions, Strategy, select};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

fn nodes(count: usize) -> Nodes {
    let addresses = (0..count).map(|n| format!("10.0.0.{n}:1").into());
    Nodes::from_addresses(&addresses.collect::<Vec<_>>(), 42)
}

fn filtered(filters: impl IntoIterator<Item = Filter>) -> SelectOptions {
    let mut options = SelectOptions::default();
    options.filters.extend(filters);
    options
}

/// A client's options that say nothing but this, and that spare no node that has just come back.
fn by(strategy: &Strategy) -> SelectOptions {
    let mut options = SelectOptions::default();
    options.strategy = Some(strategy.clone());
    options.slow_start = Some(Duration::ZERO);
    options
}

/// Chooses `times` times and counts by address.
fn counts(
    nodes: &Nodes,
    options: &SelectOptions,
    strategy: &Strategy,
    times: usize,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let client = by(strategy);
    for _ in 0..times {
        let entry = select(nodes, options, &client, Pick::at(0)).unwrap();
        *counts.entry(entry.address().to_owned()).or_default() += 1;
    }
    counts
}

async fn view_of(services: &[Service]) -> Arc<micro_runtime::registry::View> {
    let registry = Memory::new();
    for service in services {
        let options = RegisterOptions::default();
        registry.register(service, options).await.unwrap();
    }
    let tasks = Tasks::seeded(1, SystemTime::UNIX_EPOCH);
    let view = Directory::new(Arc::new(registry), &tasks).view("greeter");
    let deadline = Instant::now() + Duration::from_secs(5);
    view.ready(deadline).await.unwrap();
    view
}

fn greeter(version: &str, id: &str, region: &str, endpoint: &str) -> Service {
    let mut node = Node::new(id, format!("{id}:1"));
    node.metadata.insert("region".into(), region.into());
    let mut service = Service::new("greeter", version).with_nodes(vec![node]);
    service.endpoints.push(Endpoint {
        name: endpoint.into(),
        ..Endpoint::default()
    });
    service
}

#[test]
fn random_gives_each_node_the_same_chance() {
    let counts = counts(
        &nodes(5),
        &SelectOptions::default(),
        &Strategy::Random,
        50_000,
    );
    assert_eq!(counts.len(), 5);
    for (address, count) in counts {
        assert!((9_500..10_500).contains(&count), "{address}: {count}");
    }
}

#[test]
fn random_shares_the_part_of_an_ejected_node_evenly() {
    let nodes = nodes(5);
    nodes.list[2].eject(0);
    let counts = counts(&nodes, &SelectOptions::default(), &Strategy::Random, 40_000);
    assert_eq!(counts.len(), 4);
    for (address, count) in counts {
        assert!((9_500..10_500).contains(&count), "{address}: {count}");
    }
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    let choices = |seed| -> Vec<String> {
        let nodes = Nodes::from_addresses(&["a:1".into(), "b:1".into(), "c:1".into()], seed);
        let options = SelectOptions::default();
        let one = || select(&nodes, &options, &by(&Strategy::Random), Pick::at(0)).unwrap();
        (0..64).map(|_| one().address().to_owned()).collect()
    };
    assert_eq!(choices(7), choices(7));
    assert_ne!(choices(7), choices(8));
}

#[test]
fn round_robin_takes_turns() {
    let nodes = nodes(3);
    let options = SelectOptions::default();
    let chosen: Vec<_> = (0..9)
        .map(|_| select(&nodes, &options, &by(&Strategy::RoundRobin), Pick::at(0)).unwrap())
        .collect();
    for (at, entry) in chosen.iter().enumerate() {
        assert!(Arc::ptr_eq(entry, &nodes.list[at % 3]), "choice {at}");
    }
}

#[test]
fn round_robin_is_fair_under_concurrency() {
    let nodes = nodes(4);
    std::thread::scope(|scope| {
        let count = || {
            counts(
                &nodes,
                &SelectOptions::default(),
                &Strategy::RoundRobin,
                10_000,
            )
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        let mut total: BTreeMap<String, usize> = BTreeMap::new();
        for thread in threads {
            for (address, count) in thread.join().unwrap() {
                *total.entry(address).or_default() += count;
            }
        }
        for (address, count) in total {
            // A thread that is stopped between looking and choosing may cost a turn.
            assert!((9_500..=10_500).contains(&count), "{address}: {count}");
        }
    });
}

#[test]
fn round_robin_stays_fair_where_calls_alternate_in_their_filters() {
    let nodes = nodes(4);
    let low = filtered([Filter::from(|node: &NodeEntry| node.address() < "10.0.0.2")]);
    let high = filtered([Filter::from(|node: &NodeEntry| {
        node.address() >= "10.0.0.2"
    })]);
    let mut total: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..100 {
        for options in [&low, &high] {
            for (address, count) in counts(&nodes, options, &Strategy::RoundRobin, 1) {
                *total.entry(address).or_default() += count;
            }
        }
    }
    assert_eq!(total.into_values().collect::<Vec<_>>(), [50; 4]);
}

#[test]
fn round_robin_shares_the_part_of_an_ejected_node_evenly() {
    let nodes = nodes(4);
    nodes.list[1].eject(0);
    let counts = counts(
        &nodes,
        &SelectOptions::default(),
        &Strategy::RoundRobin,
        300,
    );
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [100; 3]);
}

#[test]
fn another_node_is_tried_each_time_as_long_as_there_is_one() {
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        let nodes = nodes(4);
        let mut tried = Vec::new();
        for _ in 0..4 {
            let next = select(
                &nodes,
                &SelectOptions::default(),
                &by(&strategy),
                Pick::at(0).after(&tried),
            )
            .unwrap();
            assert!(tried.iter().all(|tried| !Arc::ptr_eq(tried, &next)));
            tried.push(next);
        }
        assert!(
            select(
                &nodes,
                &SelectOptions::default(),
                &by(&strategy),
                Pick::at(0).after(&tried)
            )
            .is_ok()
        );
    }
}

#[test]
fn an_ejected_node_is_the_last_resort_and_comes_back_in_time() {
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        let nodes = nodes(2);
        let options = SelectOptions::default();
        let choose = |tried: &[Arc<NodeEntry>], now| -> Result<String> {
            Ok(
                select(&nodes, &options, &by(&strategy), Pick::at(now).after(tried))?
                    .address()
                    .to_owned(),
            )
        };
        nodes.list[0].eject(0);
        for _ in 0..20 {
            assert_eq!(choose(&[], 10).unwrap(), "10.0.0.1:1");
            assert_eq!(choose(&[nodes.list[1].clone()], 10).unwrap(), "10.0.0.1:1");
        }
        assert!((0..99).any(|_| choose(&[], 1000).unwrap() == "10.0.0.0:1"));
        nodes.list[0].eject(1000);
        nodes.list[1].eject(1000);
        assert_eq!(
            choose(&[nodes.list[1].clone()], 1001).unwrap(),
            "10.0.0.0:1"
        );
    }
}

#[test]
fn one_call_tries_a_node_that_comes_back_and_the_others_wait_for_its_word() {
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        let nodes = nodes(2);
        let back = &nodes.list[0];
        let options = SelectOptions::default();
        let chosen = |now| {
            let choices =
                (0..200).map(|_| select(&nodes, &options, &by(&strategy), Pick::at(now)).unwrap());
            choices.filter(|entry| entry.is_same(back)).count()
        };
        back.eject(0);
        assert_eq!(chosen(999), 0);
        assert_eq!(chosen(1000), 1);
        assert_eq!(chosen(5999), 0, "the call has not told how it went");
        assert_eq!(chosen(6000), 1, "it never will");
        back.eject(7000);
        assert_eq!(chosen(8999), 0, "the second time is twice as long");
        assert_eq!(chosen(9000), 1);
        back.restore(9500);
        assert!(chosen(9500) > 50);
    }
}

#[test]
fn a_node_that_cannot_be_reached_is_left_alone_twice_as_long_each_time_up_to_half_a_minute() {
    let nodes = nodes(1);
    let node = &nodes.list[0];
    let mut now = 0;
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        node.eject(now);
        // Calls that were under way fail with it, and count once.
        node.eject(now + 10);
        assert!(node.is_ejected(now + seconds * 1000 - 1), "{seconds} s");
        now += seconds * 1000;
        assert!(!node.is_ejected(now), "{seconds} s");
    }
    node.restore(now);
    node.eject(now);
    assert!(!node.is_ejected(now + 1000), "an answer is a new beginning");
}

#[tokio::test]
async fn filters_let_pass_what_they_name() {
    let view = view_of(&[
        greeter("1", "a", "eu", "Say.Hello"),
        greeter("2", "b", "eu", "Say.Bye"),
        greeter("2", "c", "us", "Say.Bye"),
    ])
    .await;
    let nodes = view.nodes();
    let addresses = |filters: &[Filter]| -> Vec<String> {
        let options = filtered(filters.iter().cloned());
        counts(&nodes, &options, &Strategy::Random, 100)
            .into_keys()
            .collect()
    };
    assert_eq!(addresses(&[Filter::version("2")]), ["b:1", "c:1"]);
    assert_eq!(addresses(&[Filter::label("region", "eu")]), ["a:1", "b:1"]);
    assert_eq!(addresses(&[Filter::endpoint("Say.Hello")]), ["a:1"]);
    let both = [Filter::version("2"), Filter::label("region", "eu")];
    assert_eq!(addresses(&both), ["b:1"]);
}

#[tokio::test]
async fn a_strategy_of_ones_own_is_given_the_candidates() {
    let view = view_of(&[greeter("1", "a", "eu", "x"), greeter("1", "b", "us", "x")]).await;
    let nodes = view.nodes();
    let last = Strategy::from(|nodes: &[Arc<NodeEntry>]| nodes.len().checked_sub(1));
    let eu = filtered([Filter::label("region", "eu")]);
    let choose = |options: &SelectOptions, strategy: &Strategy| {
        select(&nodes, options, &by(strategy), Pick::at(0)).map(|entry| entry.address().to_owned())
    };
    assert_eq!(choose(&SelectOptions::default(), &last).unwrap(), "b:1");
    assert_eq!(choose(&eu, &last).unwrap(), "a:1");
    for none in [|_: &[Arc<NodeEntry>]| None, |_: &[Arc<NodeEntry>]| Some(99)] {
        let error = choose(&SelectOptions::default(), &Strategy::from(none)).unwrap_err();
        assert_eq!(
            error.detail(),
            "error getting next greeter node: none available"
        );
    }
    // A call's own strategy goes before the client's.
    let mut options = SelectOptions::default();
    options.strategy = Some(last);
    assert_eq!(choose(&options, &Strategy::RoundRobin).unwrap(), "b:1");
}

#[tokio::test]
async fn errors_have_gos_words_and_say_what_a_person_can_do() {
    let unknown = view_of(&[]).await;
    let none = SelectOptions::default();
    let error = select(&unknown.nodes(), &none, &by(&Strategy::Random), Pick::at(0)).unwrap_err();
    assert_eq!((error.id(), error.code()), ("go.micro.client", 500));
    let detail = error.detail();
    assert!(
        detail.starts_with("service greeter: not found ("),
        "{detail}"
    );
    assert!(detail.contains("MICRO_REGISTRY"), "{detail}");
    assert!(error.is_unprocessed());

    let known = view_of(&[greeter("1", "a", "eu", "x")]).await;
    let other = filtered([Filter::version("9")]);
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        let error = select(&known.nodes(), &other, &by(&strategy), Pick::at(0)).unwrap_err();
        let expected = "error selecting greeter node: none available";
        assert_eq!((error.code(), error.detail()), (500, expected));
    }
    let error = select(&nodes(0), &none, &by(&Strategy::Random), Pick::at(0)).unwrap_err();
    assert!(error.detail().ends_with("none available"), "{error}");
}

#[test]
fn strategies_have_names() {
    for name in [
        "poweroftwo",
        "leastconnections",
        "hash",
        "sticky",
        "hash:X-User",
        "hash@caller",
        "sticky@caller",
        "sticky:X-User",
        "weighted",
        "random",
        "roundrobin",
    ] {
        assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
    }
    assert!(matches!("p2c".parse(), Ok(Strategy::PowerOfTwo)));
    assert!(matches!(
        "leastconn".parse(),
        Ok(Strategy::LeastConnections)
    ));
    assert_eq!(Strategy::default().name(), "poweroftwo");
    let error = "dns".parse::<Strategy>().unwrap_err();
    assert!(
        error.detail().starts_with("Selector dns not found"),
        "{error}"
    );
}
