//! Calls go to nodes that understand them.

use micro_runtime::call::Frame;
use micro_runtime::error::why::{Reason, Step};
use micro_runtime::registry::{Node, RegisterOptions, Registry, Service as Entry};
use micro_runtime::{Error, Result};

use crate::support::World;
use crate::versions::{Caller, V1, nodes, reached, v2, v3};

const WORDS: &str = "field 3 `age` of p.Q is string there and int32 here";

/// Who was left out, and why, when the call of `error` chose.
fn left_out(error: &Error) -> Vec<(String, Reason)> {
    let steps = &error.why().unwrap().steps;
    let choices = steps.iter().filter_map(|step| match step {
        Step::Chosen(choice) => Some(choice),
        _ => None,
    });
    let out = choices.flat_map(|choice| &choice.out);
    out.map(|one| (one.node.to_string(), one.reason.clone()))
        .collect()
}

#[tokio::test]
async fn calls_go_only_to_nodes_that_understand_them() {
    let world = World::default();
    let _nodes = nodes(&world, &[V1, &v2(), &v3()]).await;
    let caller = Caller::new(&world);
    // Those of which nothing is known yet, no longer than that.
    while caller.reaches(10).await.len() < 2 {}
    let a = caller.reaches(300).await;
    assert_eq!(a.keys().collect::<Vec<_>>(), ["one", "two"], "{a:?}");
    assert!(a.values().all(|count| *count > 140), "{a:?}");
    // The third differs in a message of the other method alone.
    let b = reached(&caller.target, caller.b, 300).await;
    assert_eq!(
        b.keys().collect::<Vec<_>>(),
        ["one", "three", "two"],
        "{b:?}"
    );
}

#[tokio::test]
async fn where_none_understands_a_call_it_fails_and_names_the_difference() {
    let world = World::default();
    let _nodes = nodes(&world, &[&v3()]).await;
    let caller = Caller::new(&world);
    let reply: Result<Frame> = caller.target.unary(caller.a, Frame::default()).await;
    let error = reply.unwrap_err();
    assert_eq!(
        error.detail(),
        format!("error selecting greeter node: none understands S.A (greeter-one: {WORDS})")
    );
    assert!(error.is_unprocessed());
    assert_eq!(error.grpc_code(), Some(9));
    let reason = ("greeter-one".to_owned(), Reason::Schema(WORDS.to_owned()));
    assert_eq!(left_out(&error), [reason]);
    // The other method is as it was, from the first call on.
    assert_eq!(
        reached(&caller.target, caller.b, 1)
            .await
            .keys()
            .next()
            .unwrap(),
        "one"
    );
}

/// A node of version 1 that is not there, beside one of version 3.
#[tokio::test]
async fn a_node_that_would_not_understand_is_no_last_resort() {
    let world = World::default();
    let running = nodes(&world, &[V1, &v3()]).await;
    let mut gone = running[0].entry().clone();
    gone.nodes[0].address = "nowhere:1".to_owned();
    let mut running = running.into_iter();
    running.next().unwrap().stop().await.unwrap();
    world
        .registry
        .register(&gone, RegisterOptions::default())
        .await
        .unwrap();
    let caller = Caller::new(&world);
    let reply: Result<Frame> = caller.target.unary(caller.a, Frame::default()).await;
    let error = reply.unwrap_err();
    assert!(error.detail().contains("nowhere"), "{error}");
    let schema = |(node, reason): &(String, Reason)| {
        node == "greeter-two" && *reason == Reason::Schema(WORDS.into())
    };
    assert!(
        left_out(&error).iter().any(schema),
        "{:?}",
        left_out(&error)
    );
}

#[tokio::test]
async fn a_node_that_tells_nothing_is_called() {
    let world = World::default();
    let running = nodes(&world, &[&v3()]).await;
    // As Go Micro's, or another thing by the same name.
    for metadata in [
        None,
        Some("avro"),
        Some("p.S:zzzz"),
        Some("other.S:0123456789abcdef"),
    ] {
        let mut entry = Entry::new("greeter", "1");
        let mut node = Node::new("greeter-go", running[0].address());
        node.metadata.insert("protocols".into(), "braid".into());
        node.metadata
            .extend(metadata.map(|text| ("schema".into(), text.into())));
        entry.nodes.push(node);
        let elsewhere = World {
            registry: micro_runtime::registry::Memory::new(),
            network: world.network.clone(),
        };
        elsewhere
            .registry
            .register(&entry, RegisterOptions::default())
            .await
            .unwrap();
        let caller = Caller::new(&elsewhere);
        assert_eq!(
            caller.reaches(1).await.keys().next().unwrap(),
            "one",
            "{metadata:?}"
        );
    }
}

#[tokio::test]
async fn calls_without_descriptors_are_not_checked() {
    let world = World::default();
    let _nodes = nodes(&world, &[&v3()]).await;
    let service = world.service("caller", "braid");
    let reply = service
        .client()
        .request("greeter", "S.A", Frame::default())
        .await;
    assert_eq!(&*reply.unwrap().0, b"one");
    // A method that is named by hand is none of the descriptor's.
    let caller = Caller::new(&world);
    let reply: Result<Frame> = caller.target.unary("S.A", Frame::default()).await;
    assert_eq!(&*reply.unwrap().0, b"one");
}

#[tokio::test]
async fn checks_can_be_switched_off() {
    let world = World::default();
    let _nodes = nodes(&world, &[&v3()]).await;
    let caller = Caller::of(world.service("caller", "braid").check_schema(false));
    assert_eq!(caller.reaches(1).await.keys().next().unwrap(), "one");
    let caller = world.service("caller", "braid");
    let caller = caller
        .init_from(["caller", "--check_schema=off"], [("A", "b")])
        .unwrap();
    assert_eq!(
        Caller::of(caller).reaches(1).await.keys().next().unwrap(),
        "one"
    );
}

#[tokio::test]
async fn a_rolling_upgrade_that_breaks_loses_no_call() {
    let world = World::default();
    let mut running = nodes(&world, &[V1, V1, V1]).await;
    let caller = Caller::new(&world);
    assert_eq!(caller.reaches(30).await.len(), 3);
    for old in running.drain(..2) {
        let name = ["four", "five"][usize::from(old.entry().nodes[0].id == "greeter-two")];
        let new = crate::versions::Version::new(name, &v3());
        let new = crate::versions::node(&world, &new, |service| service).await;
        let stopped = tokio::spawn(old.stop());
        let reached = caller.reaches(200).await;
        assert!(!reached.contains_key(name), "{reached:?}");
        assert!(
            reached
                .keys()
                .all(|name| ["one", "two", "three"].contains(&&**name)),
            "{reached:?}"
        );
        stopped.await.unwrap().unwrap();
        std::mem::forget(new);
    }
    assert_eq!(
        caller.reaches(30).await.keys().collect::<Vec<_>>(),
        ["three"]
    );
}
