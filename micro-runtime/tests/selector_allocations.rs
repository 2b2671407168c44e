//! A warm choice of a node allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use micro_runtime::metadata::Metadata;
use micro_runtime::registry::{Directory, Memory, Node, RegisterOptions, Registry, Service, View};
use micro_runtime::selector::{
    Affinity, Canary, Filter, Locality, Pick, SelectOptions, Strategy, select,
};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

async fn fleet(count: usize) -> Arc<View> {
    let registry = Memory::new();
    for (at, version) in ["1.9", "1.10"].into_iter().enumerate() {
        let mut service = Service::new("greeter", version);
        service.nodes = (0..count)
            .filter(|number| number % 5 / 2 % 2 == at)
            .map(|number| {
                let mut node = Node::new(format!("greeter-{number}"), format!("10.0.0.{number}:1"));
                let region = ["eu", "us"][number % 2];
                node.metadata.insert("region".into(), region.into());
                node.metadata
                    .insert("weight".into(), (number % 3).to_string());
                node
            })
            .collect();
        let options = RegisterOptions::default();
        registry.register(&service, options).await.unwrap();
    }
    let tasks = Tasks::seeded(1, SystemTime::UNIX_EPOCH);
    let view = Directory::new(Arc::new(registry), &tasks).view("greeter");
    let deadline = Instant::now() + Duration::from_secs(5);
    view.ready(deadline).await.unwrap();
    view
}

fn strategies() -> [Strategy; 9] {
    [
        Strategy::PowerOfTwo,
        Strategy::LeastConnections,
        Strategy::Hash(Affinity::Key),
        Strategy::Hash(Affinity::Metadata("x-user".into())),
        Strategy::Hash(Affinity::Caller),
        Strategy::Sticky(Affinity::Key),
        Strategy::Weighted,
        Strategy::Random,
        Strategy::RoundRobin,
    ]
}

#[tokio::test]
async fn a_warm_choice_allocates_nothing() {
    let mut metadata = Metadata::new();
    metadata.set("X-User", "john");
    let filters = [
        Filter::version("1.10"),
        Filter::latest(),
        Filter::label("region", "eu"),
        Filter::endpoint("Say.Hello"),
    ];
    for count in [10, 1_000, 10_000] {
        let view = fleet(count).await;
        for strategy in strategies() {
            for (of_client, of_call) in [(0, 0), (3, 0), (0, 3), (2, 1), (1, 2)] {
                for narrowed in [false, true] {
                    let mut client = SelectOptions::default();
                    client.strategy = Some(strategy.clone());
                    client.filters = filters[..of_client].to_vec();
                    if narrowed {
                        let canary = Canary::new(Filter::label("region", "us"), 0.3);
                        client.canary = Some(Arc::new(canary));
                        client.locality = Some(Arc::new(Locality::label("region", "eu")));
                    }
                    let mut call = SelectOptions::default();
                    call.key = Some("user-17".into());
                    call.filters = filters[of_client..of_client + of_call].to_vec();
                    let pick = || {
                        let pick = Pick::at(0).metadata(&metadata);
                        let entry = select(&view.nodes(), &call, &client, pick).unwrap();
                        let took = Duration::from_millis(1);
                        if entry.wants_latency(0) {
                            entry.tell_latency(took, 0);
                        }
                        drop(entry.begin());
                    };
                    // The first choices of a snapshot find what the filters let pass and work out
                    // what the strategy needs, and an ejected node takes the longer way.
                    let what = format!("{strategy} {count} {of_client} {of_call} {narrowed}");
                    (0..20).for_each(|_| pick());
                    let all = measure(|| (0..100).for_each(|_| pick()));
                    assert_eq!(all.count_total, 0, "{what}");
                    let ejected = view.nodes().list[2].clone();
                    ejected.eject(0);
                    (0..20).for_each(|_| pick());
                    let others = measure(|| (0..100).for_each(|_| pick()));
                    assert_eq!(others.count_total, 0, "{what}");
                    ejected.restore(0);
                }
            }
        }
    }
}
