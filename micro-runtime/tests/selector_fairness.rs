//! Over time every node gets its share, also while others come and go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_runtime::registry::{Directory, Memory, Node, RegisterOptions, Registry, Service, View};
use micro_runtime::selector::{Pick, SelectOptions, Strategy, select};
use micro_runtime::tasks::Tasks;
use support::{Say, World, frame, words};
use tokio::time::Instant;

const PICKS: usize = 10_000;
const NODES: usize = 10;
/// Of nine degrees of freedom: exceeded by chance once in ten thousand seeds.
const CHI_SQUARE: f64 = 33.7;

struct Fleet {
    registry: Memory,
    view: Arc<View>,
    counts: BTreeMap<String, usize>,
    client: SelectOptions,
}

impl Fleet {
    async fn new(strategy: Strategy) -> Self {
        let registry = Memory::new();
        let tasks = Tasks::seeded(7, SystemTime::UNIX_EPOCH);
        let view = Directory::new(Arc::new(registry.clone()), &tasks).view("greeter");
        let mut client = SelectOptions::default();
        client.strategy = Some(strategy);
        // Those that come have their full share at once.
        client.slow_start = Some(Duration::ZERO);
        let fleet = Self {
            registry,
            view,
            counts: BTreeMap::new(),
            client,
        };
        for number in 0..NODES {
            let one = one(&format!("stays-{number}"));
            let options = RegisterOptions::default();
            fleet.registry.register(&one, options).await.unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        fleet.view.ready(deadline).await.unwrap();
        fleet
    }

    fn pick(&mut self, times: usize) {
        let call = SelectOptions::default();
        for _ in 0..times {
            let entry = select(&self.view.nodes(), &call, &self.client, Pick::at(0)).unwrap();
            *self.counts.entry(entry.id().to_owned()).or_default() += 1;
        }
    }

    async fn comes(&self, id: &str) {
        let options = RegisterOptions::default();
        self.registry.register(&one(id), options).await.unwrap();
        self.settled(id, true).await;
    }

    async fn goes(&self, id: &str) {
        self.registry.deregister(&one(id)).await.unwrap();
        self.settled(id, false).await;
    }

    async fn settled(&self, id: &str, there: bool) {
        let is_there = || self.view.nodes().list.iter().any(|entry| entry.id() == id);
        while is_there() != there {
            tokio::task::yield_now().await;
        }
    }

    fn of_those_that_stay(&self) -> Vec<usize> {
        let stay = self.counts.iter().filter(|(id, _)| id.starts_with("stays"));
        stay.map(|(_, count)| *count).collect()
    }
}

fn one(id: &str) -> Service {
    Service::new("greeter", "1").with_nodes(vec![Node::new(id, format!("{id}:1"))])
}

fn chi_square(counts: &[usize]) -> f64 {
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let squares = counts.iter().map(|count| (*count as f64 - mean).powi(2));
    squares.sum::<f64>() / mean
}

#[tokio::test]
async fn random_is_even_by_the_chi_square_test() {
    let mut fleet = Fleet::new(Strategy::Random).await;
    fleet.pick(PICKS);
    let counts = fleet.of_those_that_stay();
    assert_eq!(counts.len(), NODES);
    assert!(chi_square(&counts) < CHI_SQUARE, "{counts:?}");
    assert!(chi_square(&counts) > 0.5, "too even for chance: {counts:?}");
}

#[tokio::test]
async fn random_is_even_while_nodes_come_and_go() {
    let mut fleet = Fleet::new(Strategy::Random).await;
    for round in 0..PICKS / 20 {
        let guest = format!("guest-{}", round % 7);
        fleet.comes(&guest).await;
        fleet.pick(13);
        fleet.goes(&guest).await;
        fleet.pick(7);
    }
    let counts = fleet.of_those_that_stay();
    assert_eq!(counts.len(), NODES);
    assert!(chi_square(&counts) < CHI_SQUARE, "{counts:?}");
    let guests: usize = fleet.counts.values().sum::<usize>() - counts.iter().sum::<usize>();
    let expected = PICKS / 20 * 13 / (NODES + 1);
    assert!(guests.abs_diff(expected) < expected / 5, "{guests}");
}

#[tokio::test]
async fn round_robin_is_exact() {
    let mut fleet = Fleet::new(Strategy::RoundRobin).await;
    fleet.pick(PICKS);
    assert_eq!(fleet.of_those_that_stay(), [PICKS / NODES; NODES]);
    fleet.pick(3);
    let counts = fleet.of_those_that_stay();
    assert_eq!(
        counts.iter().max().unwrap() - counts.iter().min().unwrap(),
        1
    );
}

#[tokio::test]
async fn round_robin_is_fair_while_nodes_come_and_go() {
    let mut fleet = Fleet::new(Strategy::RoundRobin).await;
    // Neither seven nor thirteen picks are a whole round: the turn goes on in the next snapshot.
    for round in 0..PICKS / 20 {
        let guest = format!("guest-{}", round % 7);
        fleet.comes(&guest).await;
        let before = fleet.counts.get(&guest).copied().unwrap_or_default();
        fleet.pick(13);
        let turns = fleet.counts[&guest] - before;
        assert!((1..=2).contains(&turns), "a guest had {turns} of 13 turns");
        fleet.goes(&guest).await;
        fleet.pick(7);
    }
    let counts = fleet.of_those_that_stay();
    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
    assert!(spread <= 1, "{counts:?}");
}

#[tokio::test]
async fn round_robin_goes_on_over_all_callers_of_a_client() {
    let world = World::default();
    let mut running = Vec::new();
    for number in 0..3 {
        let say = Say::hello(move |_, _| async move { Ok(frame(number.to_string())) });
        let service = world.service("greeter", "braid").handle(say);
        running.push(service.start().await.unwrap());
    }
    let caller = world
        .service("caller", "braid")
        .selector(Strategy::RoundRobin);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // Each call by a target and a client of its own.
    for _ in 0..30 {
        let client = caller.client().clone();
        let reply = client
            .request("greeter", "Say.Hello", frame("x"))
            .await
            .unwrap();
        *counts.entry(words(&reply)).or_default() += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10; 3]);
    for service in running {
        service.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_services_filters_hold_for_all_calls_of_its_client() {
    let world = World::default();
    let mut running = Vec::new();
    for version in ["1.9", "1.10"] {
        let say = Say::hello(move |_, _| async move { Ok(frame(version)) });
        let service = world.service("greeter", "braid").version(version);
        running.push(service.handle(say).start().await.unwrap());
    }
    let caller = world
        .service("caller", "braid")
        .filter(micro_runtime::selector::Filter::latest());
    let call = || caller.client().request("greeter", "Say.Hello", frame("x"));
    for _ in 0..20 {
        assert_eq!(words(&call().await.unwrap()), "1.10");
    }
    let old = micro_runtime::selector::Filter::version("1.9");
    let error = call().filter(old).await.unwrap_err();
    assert_eq!(
        error.detail(),
        "error selecting greeter node: none available"
    );
    for service in running {
        service.stop().await.unwrap();
    }
}
