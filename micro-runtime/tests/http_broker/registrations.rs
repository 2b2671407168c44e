//! How long a subscription is known, and what a failing registry does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::broker::{Broker, Http, Message, SubscribeOptions};
use micro_runtime::registry::{Memory, RegisterOptions, Registry, Service, Watcher};
use micro_runtime::tasks::Tasks;
use micro_runtime::{Error, Result};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{Heard, World, open};

/// A registry that can be down, or swallow what is asked.
#[derive(Clone, Debug, Default)]
struct Shaky {
    inner: Memory,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    down: AtomicBool,
    silent: AtomicBool,
    refusing: AtomicBool,
    registered: AtomicUsize,
    deregistered: AtomicUsize,
}

impl Shaky {
    async fn check(&self) -> Result<()> {
        if self.state.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.state.down.load(Ordering::SeqCst) {
            true => Err(Error::internal("test", "the registry is down")),
            false => Ok(()),
        }
    }

    fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    async fn count(&self) -> usize {
        let found = self.inner.get("micro.http.broker").await;
        found
            .unwrap_or_default()
            .iter()
            .map(|service| service.nodes.len())
            .sum()
    }
}

#[async_trait]
impl Registry for Shaky {
    fn name(&self) -> &str {
        "shaky"
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.check().await?;
        self.state.registered.fetch_add(1, Ordering::SeqCst);
        if self.state.refusing.load(Ordering::SeqCst) {
            return Err(Error::bad_request("test", "there is no room for the name"));
        }
        assert_eq!(options.ttl, Some(Duration::from_secs(60)));
        self.inner.register(service, options).await
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        self.check().await?;
        self.state.deregistered.fetch_add(1, Ordering::SeqCst);
        self.inner.deregister(service).await
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        self.check().await?;
        self.inner.get(name).await
    }

    async fn list(&self) -> Result<Vec<Service>> {
        self.inner.list().await
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.inner.watch(name).await
    }
}

fn broker(registry: &Shaky) -> Http {
    let options = World::default().options();
    Http::with(Arc::new(registry.clone()), &Tasks::new(), options).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_registered_again_and_again_until_it_is_closed() {
    let registry = Shaky::default();
    let broker = broker(&registry);
    let mut subscription = open(&broker, "t", "").await;
    assert_eq!(registry.count().await, 1);
    sleep(Duration::from_secs(301)).await;
    assert_eq!(registry.count().await, 1);
    assert_eq!(registry.state.registered.load(Ordering::SeqCst), 11);
    subscription.close().await.unwrap();
    assert_eq!(registry.count().await, 0);
    assert!(subscription.next().await.is_none());
    // Twice is once.
    subscription.close().await.unwrap();
    drop(subscription);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(registry.state.registered.load(Ordering::SeqCst), 11);
    assert_eq!(registry.state.deregistered.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_is_asked_until_it_is_not() {
    let registry = Shaky::default();
    registry.set_down(true);
    let broker = broker(&registry);
    let mut heard = Heard::of(open(&broker, "t", "").await);
    // Publishers do not know yet whether there is anybody.
    let error = broker.publish("t", Message::new("lost")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(registry.count().await, 0);
    registry.set_down(false);
    let began = Instant::now();
    while registry.count().await == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    broker.publish("t", Message::new("heard")).await.unwrap();
    assert_eq!(heard.words().await, ["heard"]);
    // A registry that has lost everything is told again at the next interval.
    for service in registry.inner.get("micro.http.broker").await.unwrap() {
        registry.inner.deregister(&service).await.unwrap();
    }
    sleep(Duration::from_secs(31)).await;
    assert_eq!(registry.count().await, 1);
    // What is known serves on while it is down.
    broker.publish("t", Message::new("known")).await.unwrap();
    registry.set_down(true);
    sleep(Duration::from_secs(55)).await;
    broker.publish("t", Message::new("still")).await.unwrap();
    assert_eq!(heard.words().await, ["known", "still"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_refuses_is_told_and_not_tried_again() {
    let registry = Shaky::default();
    registry.state.refusing.store(true, Ordering::SeqCst);
    let broker = broker(&registry);
    let options = SubscribeOptions::default();
    let error = broker.subscribe("t", options.clone()).await.unwrap_err();
    assert_eq!(error.code(), 400);
    assert_eq!(error.detail(), "there is no room for the name");
    sleep(Duration::from_secs(100)).await;
    assert_eq!(registry.state.registered.load(Ordering::SeqCst), 1);
    registry.state.refusing.store(false, Ordering::SeqCst);
    let _subscription = broker.subscribe("u", options).await.unwrap();
    assert_eq!(registry.count().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_holds_up_nobody_for_long() {
    let registry = Shaky::default();
    registry.state.silent.store(true, Ordering::SeqCst);
    let broker = broker(&registry);
    let began = Instant::now();
    let mut subscription = open(&broker, "t", "").await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    broker.publish("t", Message::new("m")).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    let error = subscription.close().await.unwrap_err();
    assert_eq!(error.code(), 408);
    assert!(
        began.elapsed() <= Duration::from_secs(17),
        "{:?}",
        began.elapsed()
    );
    broker.disconnect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_given_up_ends_the_subscription_all_the_same() {
    let registry = Shaky::default();
    let broker = Http::new(Arc::new(registry.clone()), &Tasks::new());
    let mut subscription = open(&broker, "t", "").await;
    registry.state.silent.store(true, Ordering::SeqCst);
    let closing = timeout(Duration::from_secs(1), subscription.close());
    closing.await.unwrap_err();
    let next = timeout(Duration::from_secs(1), subscription.next());
    assert!(next.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_and_a_dropped_broker_are_not_known_for_long() {
    let registry = Shaky::default();
    let broker = broker(&registry);
    let subscription = open(&broker, "t", "").await;
    drop(subscription);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(registry.count().await, 0);
    let mut subscription = open(&broker, "t", "").await;
    drop(broker);
    assert!(subscription.next().await.is_none());
    sleep(Duration::from_secs(61)).await;
    assert_eq!(registry.count().await, 0, "its TTL has run out");
}

#[tokio::test]
async fn ids_fit_into_names_of_63_bytes_and_topics_are_told_whole() {
    let world = World::default();
    let broker = world.broker();
    for (topic, short) in [
        ("events", "events"),
        (
            "a.long.topic.that.has.many.parts",
            "a.long.topic.that.has.many.parts",
        ),
        (
            "orders-of-the-last-quarter-of-all-shops",
            "orders-of-the-last-quarter",
        ),
        ("shop.äääääääääääääääää", "shop.äääääääääääää"),
    ] {
        let options = SubscribeOptions::default();
        let mut subscription = broker.subscribe(topic, options).await.unwrap();
        let node = world.node().await;
        assert_eq!(&node.id[..node.id.len() - 37], short);
        assert!(
            node.id.split('.').all(|part| part.len() <= 63),
            "{}",
            node.id
        );
        assert_eq!(node.metadata["topic"], topic);
        let (published, delivery) = tokio::join!(broker.publish(topic, Message::new("m")), async {
            subscription.next().await.unwrap().ack()
        });
        published.unwrap();
        let () = delivery;
        subscription.close().await.unwrap();
    }
}
