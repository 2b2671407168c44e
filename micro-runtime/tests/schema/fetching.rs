//! Descriptors are fetched once for each hash, beside the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::error::Why;
use micro_runtime::error::why::{LeftOut, Reason, Step};
use micro_runtime::registry::{Memory, RegisterOptions, Registry};
use micro_runtime::{Error, Request, Service, wrapper};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::World;
use crate::versions::{Caller, V1, Version, node, nodes, v2, v3};

/// Counts questions for schemas, and lets each pass that there is a permit for.
#[derive(Clone)]
struct Gate {
    asked: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new(permits: usize) -> Self {
        Self {
            asked: Arc::default(),
            open: Arc::new(Semaphore::new(permits)),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn around(&self, service: Service) -> Service {
        let gate = self.clone();
        service.wrap_handler(wrapper::from_fn(
            move |request: Request, next: wrapper::Next| {
                let gate = gate.clone();
                async move {
                    if &*request.method.endpoint == "Debug.Schema" {
                        gate.asked.fetch_add(1, Ordering::SeqCst);
                        let permit = gate.open.acquire().await;
                        permit
                            .map_err(|_| Error::forbidden("test", "no schemas"))?
                            .forget();
                    }
                    next.run(request).await
                }
            },
        ))
    }
}

#[tokio::test]
async fn nodes_of_one_hash_are_asked_once() {
    let world = World::default();
    let gate = Gate::new(100);
    for name in ["one", "two", "three"] {
        let version = Version::new(name, &v2());
        std::mem::forget(node(&world, &version, |service| gate.around(service)).await);
    }
    let caller = Caller::new(&world);
    let reached = caller.reaches(90).await;
    assert_eq!(reached.len(), 3, "{reached:?}");
    assert_eq!(gate.asked(), 1);
    // Another client of the same name shares what is known.
    let client = caller.service.client();
    let typed = client.typed_target("greeter", caller.descriptor);
    crate::versions::reached(&typed, caller.a, 30).await;
    assert_eq!(gate.asked(), 1);
}

#[tokio::test]
async fn nodes_with_the_callers_own_hash_are_not_asked() {
    let world = World::default();
    let gate = Gate::new(0);
    let version = Version::new("one", V1);
    let _node = node(&world, &version, |service| gate.around(service)).await;
    assert_eq!(Caller::new(&world).reaches(30).await["one"], 30);
    assert_eq!(gate.asked(), 0);
}

#[tokio::test]
async fn a_node_of_which_nothing_is_known_gets_no_calls_while_there_are_others() {
    let world = World::default();
    let gate = Gate::new(0);
    let _one = node(&world, &Version::new("one", V1), |service| service).await;
    let _two = node(&world, &Version::new("two", &v2()), |service| {
        gate.around(service)
    })
    .await;
    let caller = Caller::new(&world);
    assert_eq!(caller.reaches(100).await["one"], 100);
    assert_eq!(gate.asked(), 1);
    let why = explained(&caller).await;
    let out: Vec<_> = left_out(&why)
        .map(|out| (&*out.node, &out.reason))
        .collect();
    assert_eq!(out, [("greeter-two", &Reason::SchemaAsked)], "{why}");
    let words = "it is being found out whether its schema fits";
    assert!(why.to_string().contains(words), "{why}");
    gate.open.add_permits(1);
    let both = async { while !caller.reaches(2).await.contains_key("two") {} };
    tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_known_of_any_node_a_call_waits_and_then_goes() {
    let world = World::default();
    let gate = Gate::new(0);
    let _node = node(&world, &Version::new("one", &v3()), |service| {
        gate.around(service)
    })
    .await;
    let caller = Caller::new(&world);
    let started = Instant::now();
    assert_eq!(caller.reaches(1).await["one"], 1);
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(900) && waited < Duration::from_secs(2),
        "{waited:?}"
    );
    // In a hurry it waits for half of its time.
    let caller = Caller::new(&world);
    let call = caller
        .target
        .unary::<_, micro_runtime::call::Frame>(caller.a, micro_runtime::call::Frame::default());
    let started = Instant::now();
    call.timeout(Duration::from_millis(200)).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(150),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_for_its_schema_passes_and_is_asked_again() {
    let world = World::default();
    let gate = Gate::new(0);
    gate.open.close();
    let _node = node(&world, &Version::new("one", &v3()), |service| {
        gate.around(service)
    })
    .await;
    let caller = Caller::new(&world);
    assert_eq!(caller.reaches(20).await["one"], 20);
    assert_eq!(gate.asked(), 1);
    // When the nodes change, and not too soon.
    let _two = node(&world, &Version::new("two", V1), |service| service).await;
    while caller.reaches(2).await.len() < 2 {}
    assert_eq!(gate.asked(), 1);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let _three = node(&world, &Version::new("three", V1), |service| service).await;
    while caller.reaches(3).await.len() < 3 {}
    assert_eq!(gate.asked(), 2);
}

/// A node of version 3 that tells the hash of version 2.
#[tokio::test]
async fn a_node_that_lies_says_nothing_of_others() {
    let world = World::default();
    let honest = nodes(&world, &[&v2()]).await;
    let elsewhere = World {
        registry: Memory::new(),
        network: world.network.clone(),
    };
    // By its id it is the first to be asked.
    let liar = node(&elsewhere, &Version::new("liar", &v3()), |service| service).await;
    let mut entry = liar.entry().clone();
    let hash = honest[0].entry().nodes[0].metadata["schema"].clone();
    assert_ne!(entry.nodes[0].metadata["schema"], hash);
    entry.nodes[0].metadata.insert("schema".into(), hash);
    world
        .registry
        .register(&entry, RegisterOptions::default())
        .await
        .unwrap();
    let reached = Caller::new(&world).reaches(100).await;
    assert!(reached["one"] >= 40, "{reached:?}");
}

#[tokio::test]
async fn more_hashes_than_can_be_known_bar_nobody() {
    let world = World::default();
    let one = nodes(&world, &[V1]).await;
    for number in 0..200 {
        let mut entry = one[0].entry().clone();
        let node = &mut entry.nodes[0];
        node.id = format!("greeter-{number}");
        node.metadata
            .insert("schema".into(), format!("p.S:{number:016x}"));
        world
            .registry
            .register(&entry, RegisterOptions::default())
            .await
            .unwrap();
    }
    let caller = Caller::new(&world);
    assert_eq!(caller.reaches(500).await["one"], 500);
    // Nor is it said that they are left out: those beyond pass, as do those that lie.
    let all_known = async {
        loop {
            let why = explained(&caller).await;
            if left_out(&why).all(|out| out.reason != Reason::SchemaAsked) {
                break why;
            }
        }
    };
    let why = tokio::time::timeout(Duration::from_secs(10), all_known);
    let why = why.await.unwrap();
    assert_eq!(left_out(&why).count(), 0, "{why}");
}

async fn explained(caller: &Caller) -> Why {
    let call = caller.target.unary::<_, Frame>(caller.a, Frame::default());
    let explained = call.explain().await;
    explained.result.unwrap();
    explained.why
}

fn left_out(why: &Why) -> impl Iterator<Item = &LeftOut> {
    why.steps.iter().flat_map(|step| match step {
        Step::Chosen(choice) => &choice.out[..],
        _ => &[],
    })
}
