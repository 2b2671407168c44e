//! A warm choice of a node allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use micro_runtime::registry::{Directory, Memory, Node, RegisterOptions, Registry, Service, View};
use micro_runtime::selector::{Filter, Pick, SelectOptions, Strategy, select};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

async fn fleet() -> Arc<View> {
    let registry = Memory::new();
    for number in 0..10 {
        let mut node = Node::new(format!("greeter-{number}"), format!("10.0.0.{number}:1"));
        let region = ["eu", "us"][number % 2];
        node.metadata.insert("region".into(), region.into());
        let version = ["1.9", "1.10"][number % 5 / 2 % 2];
        let service = Service::new("greeter", version).with_nodes(vec![node]);
        let options = RegisterOptions::default();
        registry.register(&service, options).await.unwrap();
    }
    let tasks = Tasks::seeded(1, SystemTime::UNIX_EPOCH);
    let view = Directory::new(Arc::new(registry), &tasks).view("greeter");
    let deadline = Instant::now() + Duration::from_secs(5);
    view.ready(deadline).await.unwrap();
    view
}

#[tokio::test]
async fn a_warm_choice_allocates_nothing() {
    let view = fleet().await;
    let filters = [
        Filter::version("1.10"),
        Filter::latest(),
        Filter::label("region", "eu"),
        Filter::endpoint("Say.Hello"),
    ];
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        for (of_client, of_call) in [(0, 0), (3, 0), (0, 3), (2, 1), (1, 2)] {
            let mut client = SelectOptions::default();
            client.strategy = Some(strategy.clone());
            client.filters = filters[..of_client].to_vec();
            let mut call = SelectOptions::default();
            call.filters = filters[of_client..of_client + of_call].to_vec();
            let pick = || {
                let entry = select(&view.nodes(), &call, &client, Pick::at(0));
                assert!(entry.is_ok());
            };
            // The first choice of a snapshot finds what the filters let pass, and an ejected node
            // takes the longer way.
            pick();
            let all = measure(|| (0..100).for_each(|_| pick()));
            assert_eq!(all.count_total, 0, "{strategy:?} {of_client} {of_call}");
            let ejected = view.nodes().list[2].clone();
            ejected.eject(0);
            let others = measure(|| (0..100).for_each(|_| pick()));
            assert_eq!(others.count_total, 0, "{strategy:?} {of_client} {of_call}");
            ejected.restore(0);
        }
    }
}
