//! The registries that need nothing: memory, and files on this machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::registry::{Action, Memory, Node, RegisterOptions, Registry, Service};
use micro_runtime::testing::registry_contract;

#[tokio::test]
async fn memory_keeps_the_contract() {
    registry_contract(async || Arc::new(Memory::new()) as Arc<dyn Registry>).await;
}

fn greeter(id: &str) -> Service {
    let mut service = Service::new("greeter", "1");
    service.nodes.push(Node::new(id, "127.0.0.1:1"));
    service
}

#[tokio::test(start_paused = true)]
async fn memory_forgets_a_node_whose_time_is_over_and_tells_it() {
    let registry = Memory::new();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let ttl = RegisterOptions::with_ttl(Duration::from_secs(90));
    registry.register(&greeter("short"), ttl).await.unwrap();
    registry
        .register(&greeter("long"), RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(watcher.next().await.unwrap().action, Action::Create);
    assert_eq!(watcher.next().await.unwrap().action, Action::Create);
    let started = tokio::time::Instant::now();
    let event = watcher.next().await.unwrap();
    assert_eq!(
        (event.action, event.service),
        (Action::Delete, greeter("short"))
    );
    assert!(started.elapsed() >= Duration::from_secs(89));
    let left = registry.get("greeter").await.unwrap();
    assert_eq!(left, [greeter("long")]);
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_a_node_that_is_registered_again_in_time() {
    let registry = Memory::new();
    let ttl = RegisterOptions::with_ttl(Duration::from_secs(90));
    for _ in 0..5 {
        registry.register(&greeter("a"), ttl).await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(registry.get("greeter").await.is_ok());
    }
    tokio::time::advance(Duration::from_secs(31)).await;
    let error = registry.get("greeter").await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (404, "service not found"));
}

#[tokio::test]
async fn a_node_that_changes_its_version_is_in_one_version() {
    let registry = Memory::new();
    let options = RegisterOptions::default();
    registry.register(&greeter("a"), options).await.unwrap();
    let mut watcher = registry.watch(None).await.unwrap();
    let mut newer = greeter("a");
    newer.version = "2".into();
    registry.register(&newer, options).await.unwrap();
    assert_eq!(registry.get("greeter").await.unwrap(), [newer.clone()]);
    let event = tokio::time::timeout(Duration::from_secs(10), watcher.next());
    let event = event.await.unwrap().unwrap();
    assert_eq!((event.action, event.service), (Action::Update, newer));
}
