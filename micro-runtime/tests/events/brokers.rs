//! The broker in memory does what every broker must; events pass over the one of HTTP.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::broker::{Broker, Memory};
use micro_runtime::call::Frame;
use micro_runtime::event::Subscriber;
use micro_runtime::testing::broker_contract;
use micro_runtime::{Context, Service, registry};

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
