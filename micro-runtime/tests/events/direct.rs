//! Events that come as calls, by the service's own port.

use std::time::Duration;

use micro_runtime::broker::Message;
use micro_runtime::call::Frame;
use micro_runtime::event::Subscriber;
use micro_runtime::transport::{Memory, Transport};
use micro_runtime::{Context, Error, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::Bench;
use crate::support::words;

/// What a service answers to an event of `topic`.
async fn post(network: &Memory, address: &str, topic: &str, body: &str) -> String {
    let mut connection = network.dial(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/protobuf\r\nMicro-Id: 7\r\n\
         Micro-Topic: {topic}\r\nTenant: blue\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    connection.io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.io.read_to_string(&mut answer).await.unwrap();
    answer
}

fn service(bench: &Bench, network: &Memory) -> Service {
    let telling = |name: &'static str| {
        let told = bench.told.clone();
        move |cx: Context, event: Frame| {
            let tenant = cx.metadata().get("tenant").unwrap_or("-").to_owned();
            told.send(format!("{name} {tenant} {}", words(&event)))
                .unwrap();
            async { Ok(()) }
        }
    };
    let told = bench.told.clone();
    bench
        .service("s")
        .transport(network.clone())
        .subscribe("t", "", telling("a"))
        .subscribe("t", "q", telling("b"))
        .subscribe("t", "q", telling("c"))
        .subscribe("other", "", telling("d"))
        .subscribe_with(
            Subscriber::new("bad").retries(1),
            move |_cx, message: Message| {
                told.send(format!("{:?}", message.header.get("Micro-Topic")))
                    .unwrap();
                async { Err(Error::conflict("billing", "paid already")) }
            },
        )
}

#[tokio::test(start_paused = true)]
async fn each_subscriber_of_the_topic_gets_it_once_and_the_answer_comes_then() {
    let (mut bench, network) = (Bench::new(), Memory::new());
    let service = service(&bench, &network).start().await.unwrap();
    let answer = post(&network, service.address(), "t", "x").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.contains("Micro-Error"), "{answer}");
    assert_eq!(bench.rest(), ["a blue x", "b blue x"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_has_subscribed_to_is_answered_and_dropped() {
    let (mut bench, network) = (Bench::new(), Memory::new());
    let service = service(&bench, &network).start().await.unwrap();
    let answer = post(&network, service.address(), "none", "x").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.contains("Micro-Error"), "{answer}");
    assert!(bench.rest().is_empty());
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_subscriber_is_the_answer() {
    let (mut bench, network) = (Bench::new(), Memory::new());
    let service = service(&bench, &network).start().await.unwrap();
    let answer = post(&network, service.address(), "bad", "x").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("Micro-Error: "), "{answer}");
    assert!(answer.contains("subscriber error: "), "{answer}");
    assert!(answer.contains("paid already"), "{answer}");
    // Tried again as an event of the broker.
    assert_eq!(bench.rest(), [r#"Some("bad")"#, r#"Some("bad")"#]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_it_as_for_a_call() {
    let (mut bench, network) = (Bench::new(), Memory::new());
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .transport(network.clone())
        .subscribe("t", "", move |_cx, event: Frame| {
            let told = told.clone();
            async move {
                told.send("begins".to_owned()).unwrap();
                tokio::time::sleep(Duration::from_secs(3)).await;
                told.send(words(&event)).unwrap();
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let address = service.address().to_owned();
    let sent = async { post(&network, &address, "t", "x").await };
    let stopped = async {
        assert_eq!(bench.heard(1).await, ["begins"]);
        service.stop().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sent, stopped);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(bench.rest(), ["x"]);
}
