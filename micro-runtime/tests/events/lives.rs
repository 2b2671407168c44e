//! Subscribers from their start to their end, and what the registry is told of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::broker::{Broker, Memory, Message, SubscribeOptions, Subscription};
use micro_runtime::call::Frame;
use micro_runtime::event::Subscriber;
use micro_runtime::registry::Registry;
use micro_runtime::{Context, Error, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, soon};
use crate::support::{Say, frame, words};

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_new_event_and_ends_none_that_has_come() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let entered = Arc::new(Notify::new());
    let enter = entered.clone();
    let service = bench
        .service("s")
        .linger(Duration::from_secs(1))
        .subscribe_with(
            Subscriber::new("t").concurrency(2),
            move |_cx, event: Frame| {
                let (told, enter) = (told.clone(), enter.clone());
                async move {
                    enter.notify_one();
                    sleep(Duration::from_secs(3)).await;
                    told.send(words(&event)).unwrap();
                    Ok(())
                }
            },
        )
        .start()
        .await
        .unwrap();
    let publisher = bench.service("p").client().publisher("t");
    for number in 0..5 {
        publisher.publish(frame(number.to_string())).await.unwrap();
    }
    entered.notified().await;
    let before = Instant::now();
    let (stopped, ()) = tokio::join!(service.stop(), async {
        // While it lingers its subscription has ended already.
        sleep(Duration::from_millis(500)).await;
        publisher.publish(frame("late")).await.unwrap();
    });
    stopped.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(9));
    let mut heard = bench.rest();
    heard.sort();
    assert_eq!(heard, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_no_longer_than_the_drain_limit() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .drain(Duration::from_secs(4))
        .subscribe("t", "", move |_cx, event: Frame| {
            let told = told.clone();
            async move {
                told.send(words(&event)).unwrap();
                std::future::pending().await
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("x")).await.unwrap();
    assert_eq!(bench.heard(1).await, ["x"]);
    let before = Instant::now();
    service.stop().await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn handlers_may_call_and_publish_while_the_service_drains() {
    let bench = Bench::new();
    let mut done = bench.listen("done").await;
    let service = bench.service("s");
    let publisher = service.client().publisher("done");
    let entered = Arc::new(Notify::new());
    let enter = entered.clone();
    let service = service
        .subscribe("t", "", move |_cx, event: Frame| {
            let (publisher, enter) = (publisher.clone(), enter.clone());
            async move {
                enter.notify_one();
                sleep(Duration::from_secs(2)).await;
                publisher.publish(event).await
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("x")).await.unwrap();
    entered.notified().await;
    service.stop().await.unwrap();
    assert_eq!(&*crate::bench::next(&mut done).await.body, b"x");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dropped_handles_nothing_more() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .subscribe("t", "", move |_cx, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    drop(service);
    let publisher = bench.service("p").client().publisher("t");
    for _ in 0..100 {
        tokio::task::yield_now().await;
        publisher.publish(frame("x")).await.unwrap();
    }
    assert!(bench.rest().is_empty());
}

/// Fails as often as it is told to, then is a broker in memory.
#[derive(Debug)]
struct Failing {
    inner: Memory,
    code: i32,
    failures: AtomicUsize,
}

#[async_trait]
impl Broker for Failing {
    fn name(&self) -> &str {
        "failing"
    }
    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        self.inner.publish(topic, message).await
    }
    async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return self.inner.subscribe(topic, options).await;
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        Err(Error::new("test", "not now", self.code))
    }
    async fn disconnect(&self) -> Result<()> {
        self.inner.disconnect().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_fails_at_the_start_is_asked_again() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let broker = Failing {
        inner: bench.broker.clone(),
        code: 503,
        failures: AtomicUsize::new(3),
    };
    let service = bench
        .service("s")
        .broker(broker)
        .subscribe("t", "", move |_cx, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    // Tried again after 1, 2 and 4 seconds.
    sleep(Duration::from_millis(6900)).await;
    let publisher = service.client().publisher("t");
    publisher.publish(frame("early")).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    publisher.publish(frame("now")).await.unwrap();
    assert_eq!(bench.heard(1).await, ["now"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_broker_that_fails() {
    let bench = Bench::new();
    let broker = Failing {
        inner: bench.broker.clone(),
        code: 503,
        failures: AtomicUsize::new(usize::MAX),
    };
    let service = bench
        .service("s")
        .broker(broker)
        .subscribe("t", "", |_cx, _event: Frame| async { Ok(()) })
        .start()
        .await
        .unwrap();
    sleep(Duration::from_secs(100)).await;
    let before = Instant::now();
    service.stop().await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_cannot_be_carried_fails_the_start() {
    let bench = Bench::new();
    let broker = Failing {
        inner: bench.broker.clone(),
        code: 400,
        failures: AtomicUsize::new(1),
    };
    let service =
        bench
            .service("s")
            .broker(broker)
            .subscribe("t", "", |_cx, _event: Frame| async { Ok(()) });
    assert_eq!(service.start().await.unwrap_err().detail(), "not now");
    assert!(bench.registry.get("s").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_broker_ends_is_made_again() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .subscribe("t", "", move |_cx, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    service.broker().disconnect().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let publisher = service.client().publisher("t");
    soon(publisher.publish(frame("x")).into_future())
        .await
        .unwrap();
    assert_eq!(bench.heard(1).await, ["x"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_told_of_subscribers_as_go_micro_tells_it() {
    let bench = Bench::new();
    let service = bench
        .service("s")
        .handle(Say::default())
        .subscribe("a.topic", "", |_cx: Context, _event: Frame| async {
            Ok(())
        })
        .subscribe("b.topic", "q", |_cx: Context, _event: Message| async {
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let entry = service.entry();
    let seen: Vec<_> = entry
        .endpoints
        .iter()
        .map(|endpoint| {
            assert_eq!(endpoint.response, None);
            let metadata: Vec<_> = endpoint.metadata.iter().collect();
            (&*endpoint.name, format!("{metadata:?}"))
        })
        .collect();
    let told = |topic| format!(r#"[("subscriber", "true"), ("topic", "{topic}")]"#);
    assert_eq!(seen, [("Func", told("b.topic")), ("Func", told("a.topic"))]);
    assert_eq!(entry.nodes[0].metadata["broker"], "memory");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_makes_no_sense_fails_the_start() {
    for (subscriber, words) in [
        (Subscriber::new(" "), "a subscriber needs a topic"),
        (
            Subscriber::new("t").dead_letter("t"),
            "the dead letters of t would go to t again: name another topic",
        ),
    ] {
        let bench = Bench::new();
        let service = bench
            .service("s")
            .subscribe_with(subscriber, |_cx, _event: Frame| async { Ok(()) });
        assert_eq!(service.start().await.unwrap_err().detail(), words);
        assert!(bench.registry.get("s").await.is_err());
    }
    let service = Bench::new().service("s");
    let publisher = service.client().publisher("");
    let error = publisher.publish(frame("x")).await.unwrap_err();
    assert_eq!(error.detail(), "an event needs a topic");
}
