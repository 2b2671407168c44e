//! Functions: services that serve one call or one event.
#![allow(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]

mod support;

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::broker::Memory as MemoryBroker;
use micro_runtime::call::Frame;
use micro_runtime::registry::Registry;
use micro_runtime::transport::Transport;
use micro_runtime::{Context, Error, Result, Service};
use support::moody::{GOOD, MUTE, Moody};
use support::{PROTOCOLS, Say, World, frame, words};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A function of this world that has started, and the client of a caller.
async fn started(world: &World, service: Service) -> JoinHandle<Result<()>> {
    let (up, at_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = up.clone();
    let service = service.address("here:1").after_start(move || async move {
        told.notify_one();
        Ok(())
    });
    let running = tokio::spawn(service.serve_once());
    up.notified().await;
    drop(at_up);
    assert_eq!(world.registry.get("f").await.unwrap().len(), 1);
    running
}

fn echo() -> Say {
    Say::hello(|_, frame| async move { Ok(frame) })
}

#[tokio::test(start_paused = true)]
async fn a_function_answers_one_call_and_exits() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let hooks = Arc::new(AtomicUsize::new(0));
        let (before, after) = (hooks.clone(), hooks.clone());
        let service = world
            .service("f", protocol)
            .handle(echo())
            .before_stop(move || async move {
                before.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .after_stop(move || async move {
                after.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        let function = started(&world, service).await;
        let caller = world.service("caller", protocol);
        // Asked how it is, it is as well as before.
        let health = caller
            .client()
            .request("f", "Debug.Health", Frame::default());
        health.await.unwrap();
        let call = caller.client().request("f", "Say.Hello", frame("one"));
        assert_eq!(words(&call.await.unwrap()), "one", "{protocol}");
        let since = Instant::now();
        function.await.unwrap().unwrap();
        assert!(since.elapsed() < Duration::from_secs(1), "{protocol}");
        assert!(world.registry.get("f").await.is_err(), "{protocol}");
        assert!(world.network.dial("here:1").await.is_err(), "{protocol}");
        assert_eq!(hooks.load(Ordering::SeqCst), 2, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_takes_no_second_call_however_long_the_first_takes() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let (entered, go, served) = <(Arc<Notify>, Arc<Notify>, Arc<AtomicUsize>)>::default();
        let (enters, goes, counts) = (entered.clone(), go.clone(), served.clone());
        let say = Say::hello(move |_, frame| {
            let (entered, go, served) = (enters.clone(), goes.clone(), counts.clone());
            async move {
                served.fetch_add(1, Ordering::SeqCst);
                entered.notify_one();
                go.notified().await;
                Ok(frame)
            }
        });
        let service = world.service("f", protocol).handle(say);
        let function = started(&world, service).await;
        let caller = world.service("caller", protocol);
        let call = |words: &str| {
            caller
                .client()
                .request("f", "Say.Hello", frame(words))
                .address("here:1")
                .timeout(Duration::from_secs(900))
                .attempt_timeout(Duration::from_secs(900))
        };
        let first = tokio::spawn(call("first").into_future());
        entered.notified().await;
        let error = call("second").retries(0).await.unwrap_err();
        assert!(error.is_unprocessed(), "{protocol}: {error}");
        // Longer than any drain limit and TTL; others are not sent to it meanwhile.
        sleep(Duration::from_secs(600)).await;
        assert!(world.registry.get("f").await.is_err(), "{protocol}");
        go.notify_one();
        assert_eq!(words(&first.await.unwrap().unwrap()), "first", "{protocol}");
        function.await.unwrap().unwrap();
        assert_eq!(served.load(Ordering::SeqCst), 1, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_are_one_call_and_a_refusal() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let function = started(&world, world.service("f", protocol).handle(echo())).await;
        let caller = world.service("caller", protocol);
        let call = || {
            let call = caller.client().request("f", "Say.Hello", frame("x"));
            call.address("here:1").retries(0).into_future()
        };
        let (one, other) = tokio::join!(call(), call());
        let failed = [&one, &other].map(|answer| answer.as_ref().err());
        let ([Some(error), None] | [None, Some(error)]) = failed else {
            panic!("{protocol}: {one:?} {other:?}");
        };
        assert!(error.is_unprocessed(), "{protocol}: {error}");
        function.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_has_served() {
    let world = World::default();
    let say = Say::hello(|_, _| async { Err(Error::not_found("f", "no such John")) });
    let function = started(&world, world.service("f", "braid").handle(say)).await;
    let caller = world.service("caller", "braid");
    let call = caller.client().request("f", "Say.Hello", frame("x"));
    assert_eq!(call.await.unwrap_err().code(), 404);
    function.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_function_handles_one_event_and_exits() {
    let (world, broker) = (World::default(), MemoryBroker::new());
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let service = world
        .service("f", "braid")
        .broker(broker.clone())
        .subscribe("greeted", "", move |_: Context, _: Frame| {
            let heard = hears.clone();
            async move {
                sleep(Duration::from_secs(60)).await;
                heard.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        });
    let function = started(&world, service).await;
    let caller = world.service("caller", "braid").broker(broker);
    let greeted = caller.client().publisher("greeted");
    greeted.publish(frame("John")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // Nobody is asked for events any more.
    let _ = greeted.publish(frame("Jane")).await;
    function.await.unwrap().unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_function_takes_no_more_events_while_its_registry_hangs() {
    let (world, broker) = (World::default(), MemoryBroker::new());
    let registry = Moody::default();
    registry.set(GOOD);
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let up = Arc::new(Notify::new());
    let told = up.clone();
    let service = world
        .service("f", "braid")
        .registry(registry.clone())
        .broker(broker.clone())
        .after_start(move || async move {
            told.notify_one();
            Ok(())
        })
        .subscribe("greeted", "", move |_: Context, _: Frame| {
            hears.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
    let function = tokio::spawn(service.serve_once());
    up.notified().await;
    registry.set(MUTE);
    let caller = world.service("caller", "braid").broker(broker);
    let greeted = caller.client().publisher("greeted");
    for _ in 0..5 {
        greeted.publish(frame("John")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let _ = function.await.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 1);
}
