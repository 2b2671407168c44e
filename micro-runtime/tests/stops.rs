//! Starts that fail and stops that end: whatever peers, registries and people do.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "callers are tasks of their own, as users' are"
)]

mod support;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::registry::Registry;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Transport;
use micro_runtime::{Receiver, Sender};
use support::moody::{GOOD, MUTE, Moody, SILENT};
use support::{PROTOCOLS, Say, World, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

fn echo() -> Say {
    Say::hello(|_, frame| async move { Ok(frame) })
}

/// A service that takes a call and answers when it may, and streams that never end.
fn endless(entered: &Arc<Notify>) -> Say {
    let (at_hello, at_sum) = (entered.clone(), entered.clone());
    Say::hello(move |_, frame| {
        let entered = at_hello.clone();
        async move {
            entered.notify_one();
            std::future::pending::<()>().await;
            Ok(frame)
        }
    })
    .sum(move |_, input: Receiver<Frame>, out: Sender<Frame>| {
        let entered = at_sum.clone();
        async move {
            let _held = (input, out);
            entered.notify_one();
            std::future::pending::<()>().await;
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn idle_connections_do_not_hold_up_a_stop() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let running = world
            .service("a", protocol)
            .handle(echo())
            .start()
            .await
            .unwrap();
        let client = running.client().clone();
        client.request("a", "Say.Hello", frame("x")).await.unwrap();
        let since = Instant::now();
        running.stop().await.unwrap();
        assert!(
            since.elapsed() < Duration::from_millis(200),
            "{protocol}: {:?}",
            since.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_have_said_nothing_do_not_hold_up_a_stop() {
    let world = World::default();
    let running = world
        .service("a", "mucp")
        .handle(echo())
        .start()
        .await
        .unwrap();
    let mut connection = world.network.dial(running.address()).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let since = Instant::now();
    running.stop().await.unwrap();
    assert!(
        since.elapsed() < Duration::from_millis(200),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(connection.io.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn open_streams_are_cut_off_at_the_drain_limit_and_their_callers_told() {
    for protocol in PROTOCOLS {
        let entered = Arc::new(Notify::new());
        let service = World::default()
            .service("a", protocol)
            .drain(Duration::from_secs(3));
        let running = service.handle(endless(&entered)).start().await.unwrap();
        let stream = running.client().target("a").bidi::<Frame, Frame>("Say.Sum");
        let (_out, mut input) = stream.await.unwrap();
        entered.notified().await;
        let since = Instant::now();
        running.stop().await.unwrap();
        assert_eq!(since.elapsed().as_secs(), 3, "{protocol}");
        let told = input.next().await;
        assert!(
            matches!(told, Some(Err(_))),
            "{protocol}: it is not taken for complete: {told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_up_a_stop_until_the_drain_limit_at_most() {
    let world = World::default();
    let service = world.service("a", "mucp").drain(Duration::from_secs(3));
    let say = Say::hello(|_, _| async move { Ok(frame("x".repeat(1 << 20))) });
    let running = service.handle(say).start().await.unwrap();
    let mut connection = world.network.dial(running.address()).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/protobuf\r\n\
        Micro-Service: a\r\nMicro-Endpoint: Say.Hello\r\nMicro-Id: 1\r\nContent-Length: 0\r\n\r\n";
    connection.io.write_all(request).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let since = Instant::now();
    running.stop().await.unwrap();
    assert!(
        since.elapsed() <= Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_running_service_that_is_dropped_serves_no_more_and_renews_nothing() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let entered = Arc::new(Notify::new());
        let service = world.service("a", protocol).handle(endless(&entered));
        let running = service.start().await.unwrap();
        let address = running.address().to_owned();
        let client = running.client().clone();
        let call = client.request("a", "Say.Hello", frame("x")).retries(0);
        let call = tokio::spawn(call.into_future());
        entered.notified().await;
        drop(running);
        let since = Instant::now();
        assert!(call.await.unwrap().is_err(), "{protocol}");
        assert_eq!(
            since.elapsed(),
            Duration::ZERO,
            "{protocol}: it is cut off at once"
        );
        sleep(Duration::from_millis(1)).await;
        assert!(world.network.dial(&address).await.is_err(), "{protocol}");
        // Its registration ends with the TTL.
        sleep(Duration::from_secs(61)).await;
        assert!(world.registry.get("a").await.is_err(), "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_when_service_and_client_are_gone() {
    for protocol in PROTOCOLS {
        let tasks = Tasks::new();
        let service = World::default().service("a", protocol).tasks(tasks.clone());
        let running = service.handle(echo()).start().await.unwrap();
        let client = running.client().clone();
        client.request("a", "Say.Hello", frame("x")).await.unwrap();
        running.stop().await.unwrap();
        drop(client);
        let idle = timeout(Duration::from_secs(30), tasks.idle()).await;
        assert!(idle.is_ok(), "{protocol}: {} tasks run on", tasks.running());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_does_not_hold_up_a_stop() {
    let registry = Moody::default();
    let service = World::default()
        .service("a", "braid")
        .registry(registry.clone());
    let running = service.handle(echo()).start().await.unwrap();
    registry.set(SILENT);
    let since = Instant::now();
    assert_eq!(running.stop().await.unwrap_err().code(), 408);
    assert!(
        since.elapsed() <= Duration::from_secs(11),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_is_given_up_when_the_service_is_to_stop() {
    let registry = Moody::default();
    registry.set(MUTE);
    let world = World::default();
    let service = world
        .service("a", "braid")
        .registry(registry.clone())
        .address("here:1");
    let since = Instant::now();
    let stop = async {
        sleep(Duration::from_secs(2)).await;
        registry.set(GOOD);
    };
    service.handle(echo()).run_until(stop).await.unwrap();
    // Two seconds, and three in which the registration under way might still be answered.
    assert_eq!(since.elapsed().as_secs(), 5);
    assert!(registry.list().await.unwrap().is_empty());
    assert!(world.network.dial("here:1").await.is_err());
}
