//! A broker, services on it, and what their handlers have seen.

use std::future::Future;
use std::time::Duration;

use micro_runtime::broker::{Broker, Memory, Message, SubscribeOptions, Subscription};
use micro_runtime::{Service, registry, transport};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A broker and what was seen.
pub struct Bench {
    pub broker: Memory,
    pub registry: registry::Memory,
    pub told: UnboundedSender<String>,
    heard: UnboundedReceiver<String>,
}

impl Bench {
    pub fn new() -> Self {
        let (told, heard) = unbounded_channel();
        Self {
            broker: Memory::new(),
            registry: registry::Memory::new(),
            told,
            heard,
        }
    }

    /// A service on this broker.
    pub fn service(&self, name: &str) -> Service {
        Service::new(name)
            .broker(self.broker.clone())
            .registry(self.registry.clone())
            .transport(transport::Memory::new())
            .linger(Duration::ZERO)
    }

    /// The next `count` things that handlers told.
    pub async fn heard(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(soon(self.heard.recv()).await.unwrap());
        }
        all
    }

    /// What handlers told that nobody has asked for.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// Listens to a topic beside all services.
    pub async fn listen(&self, topic: &str) -> Box<dyn Subscription> {
        let broker = self.broker.clone();
        broker
            .subscribe(topic, SubscribeOptions::default())
            .await
            .unwrap()
    }

    /// Publishes to a topic what no service would.
    pub async fn put(&self, topic: &str, message: Message) {
        self.broker.publish(topic, message).await.unwrap();
    }
}

/// The next message of a subscription.
pub async fn next(subscription: &mut Box<dyn Subscription>) -> Message {
    let delivery = soon(subscription.next()).await.unwrap();
    let message = delivery.message.clone();
    delivery.ack();
    message
}

/// Time-boxed; the paused clock makes it wait for nothing.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), work)
        .await
        .expect("it comes")
}
