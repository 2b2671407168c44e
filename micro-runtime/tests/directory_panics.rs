//! A registry that panics leaves no view of its services dead.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::Result;
use micro_runtime::registry::{Directory, Node, RegisterOptions, Registry, Service, Watcher};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Knows one node, and panics as often as it is told to.
#[derive(Debug, Default)]
struct Panics(AtomicUsize);

#[async_trait]
impl Registry for Panics {
    fn name(&self) -> &str {
        "panics"
    }
    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        Ok(())
    }
    async fn deregister(&self, _: &Service) -> Result<()> {
        Ok(())
    }
    async fn get(&self, _: &str) -> Result<Vec<Service>> {
        let left = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        assert!(self.0.fetch_update(order, order, left).is_err(), "a panic");
        let nodes = vec![Node::new("a", "127.0.0.1:1")];
        Ok(vec![Service::new("greeter", "1").with_nodes(nodes)])
    }
    async fn list(&self) -> Result<Vec<Service>> {
        Ok(Vec::new())
    }
    async fn watch(&self, _: Option<&str>) -> Result<Box<dyn Watcher>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_panics_is_an_error_at_once_and_the_next_use_asks_it_again() {
    let registry = Arc::new(Panics(AtomicUsize::new(1)));
    let directory = Directory::new(registry.clone(), &Tasks::new());
    let view = directory.view("greeter");
    let begun = Instant::now();
    let error = view.ready(soon()).await.unwrap_err();
    assert!(error.detail().contains("ended early"), "{error}");
    assert!(error.is_unprocessed());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Not at once: it would only panic as fast as calls come.
    view.ready(soon()).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(100)).await;
    view.ready(soon()).await.unwrap();
    assert_eq!(view.nodes().list[0].id(), "a");

    // What is known serves on.
    registry.0.store(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    view.refresh(soon()).await.unwrap_err();
    assert!(!view.is_ready(), "the next use starts a keeper");
    view.ready(soon()).await.unwrap();
    assert_eq!(view.nodes().list[0].id(), "a");
    tokio::time::sleep(Duration::from_millis(100)).await;
    view.ready(soon()).await.unwrap();
    assert!(view.is_ready());
}
