//! The broker in memory does what every broker must; events pass over the one of HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::broker::{Broker, Http, HttpOptions, Memory, Message};
use micro_runtime::call::Frame;
use micro_runtime::event::Subscriber;
use micro_runtime::registry::{self, RegisterOptions, Registry, Watcher};
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::broker_contract;
use micro_runtime::{Context, Result, Service, transport};
use tokio::time::Instant;

use crate::support::{frame, words};

#[tokio::test]
async fn memory_keeps_the_contract() {
    broker_contract(async || Arc::new(Memory::new()) as Arc<dyn Broker>).await;
}

#[tokio::test]
async fn a_clone_keeps_the_contract_beside_others() {
    let memory = Memory::new();
    let _other = memory.clone();
    broker_contract(async || Arc::new(memory.clone()) as Arc<dyn Broker>).await;
}

#[tokio::test]
async fn services_that_name_none_meet_over_http_and_a_stop_loses_nothing() {
    let registry = registry::Memory::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let subscriber = Subscriber::new("t").queue("q").concurrency(2);
    let service = Service::new("subscriber")
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .subscribe_with(subscriber, move |cx: Context, event: Frame| {
            let told = told.clone();
            async move {
                // Most are still to be handled when the service is asked to stop.
                tokio::time::sleep(Duration::from_millis(10)).await;
                let user = cx.metadata().get("x-user").unwrap_or("-");
                told.send(format!("{user} {}", words(&event))).unwrap();
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    assert_eq!(service.entry().nodes[0].metadata["broker"], "http");

    let publisher = Service::new("publisher").registry(registry);
    let events = publisher.client().publisher("t");
    let mut wanted = Vec::new();
    for number in 0..30 {
        let event = events.publish(frame(number.to_string()));
        event.metadata("x-user", "bob").await.unwrap();
        wanted.push(format!("bob {number}"));
    }
    service.stop().await.unwrap();
    let mut all = Vec::new();
    while let Ok(one) = heard.try_recv() {
        all.push(one);
    }
    all.sort();
    wanted.sort();
    assert_eq!(all, wanted);
}

/// Never answers to the deregistration of a subscription.
#[derive(Clone, Debug, Default)]
struct Deaf(registry::Memory);

#[async_trait]
impl Registry for Deaf {
    fn name(&self) -> &str {
        "deaf"
    }
    async fn register(&self, service: &registry::Service, options: RegisterOptions) -> Result<()> {
        self.0.register(service, options).await
    }
    async fn deregister(&self, service: &registry::Service) -> Result<()> {
        match &*service.name {
            "micro.http.broker" => std::future::pending().await,
            _ => self.0.deregister(service).await,
        }
    }
    async fn get(&self, name: &str) -> Result<Vec<registry::Service>> {
        self.0.get(name).await
    }
    async fn list(&self) -> Result<Vec<registry::Service>> {
        self.0.list().await
    }
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.0.watch(name).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_subscription_is_being_ended_is_handled() {
    let registry = Deaf::default();
    let network = transport::Memory::new();
    let http = || {
        let mut options = HttpOptions::default();
        options.transport = Arc::new(network.clone());
        Http::with(Arc::new(registry.clone()), &Tasks::new(), options).unwrap()
    };
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let subscriber = Subscriber::new("t").queue("q").concurrency(1);
    let service = Service::new("subscriber")
        .registry(registry.clone())
        .transport(network.clone())
        .broker(http())
        .linger(Duration::ZERO)
        .subscribe_with(subscriber, move |_cx: Context, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    let publisher = http();
    let began = Instant::now();
    let (stopped, wanted) = tokio::join!(service.stop(), async {
        // More than wait in its queue, over the whole time.
        let mut wanted = Vec::new();
        for number in 0..200 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let message = Message::new(number.to_string());
            let message = message.with("Content-Type", "application/octet-stream");
            publisher.publish("t", message).await.unwrap();
            wanted.push(number.to_string());
        }
        wanted
    });
    stopped.unwrap();
    // The registry is waited for, and then a moment for those who have not heard of it yet.
    assert_eq!(began.elapsed(), Duration::from_millis(5500));
    let heard: Vec<_> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
    assert_eq!(heard, wanted);
}
