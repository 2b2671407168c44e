//! What a peer can make a server hold, and for how long: each bound, over both protocols.
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

use micro_runtime::call::{BoxFuture, Dispatch, Frame};
use micro_runtime::method::ServiceDescriptor;
use micro_runtime::server::Limits;
use micro_runtime::service::Running;
use micro_runtime::transport::Transport;
use micro_runtime::{Receiver, Reply, Request, Result, Sender};
use support::{PROTOCOLS, Say, World, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A service whose handlers say that they run, and answer when they may.
struct Gated {
    running: Running,
    entered: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Gated {
    async fn new(world: &World, protocol: &str, limits: Limits) -> Self {
        let (entered, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gates = (entered.clone(), go.clone());
        let say = Say::hello(move |_, frame| {
            let (entered, go) = gates.clone();
            async move {
                entered.add_permits(1);
                go.acquire().await.unwrap().forget();
                Ok(frame)
            }
        });
        let say = say.sum(|_, input: Receiver<Frame>, out: Sender<Frame>| async move {
            let _held = (input, out);
            tokio::time::sleep(Duration::from_secs(300)).await;
            Ok(())
        });
        let service = world.service("gated", protocol).limits(limits).handle(say);
        Self {
            running: service.start().await.unwrap(),
            entered,
            go,
        }
    }

    fn call(&self) -> JoinHandle<Result<Frame>> {
        let call = self
            .running
            .client()
            .request("gated", "Say.Hello", frame("x"));
        tokio::spawn(call.retries(0).into_future())
    }

    async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_too_many_is_refused_and_there_is_room_again_after_the_first() {
    for protocol in PROTOCOLS {
        let mut limits = Limits::default();
        limits.calls = 1;
        let gated = Gated::new(&World::default(), protocol, limits).await;
        let first = gated.call();
        gated.entered().await;
        let error = gated.call().await.unwrap().unwrap_err();
        assert_eq!(error.code(), 503, "{protocol}: {error}");
        gated.go.add_permits(2);
        first.await.unwrap().unwrap();
        gated.call().await.unwrap().unwrap();
        assert_eq!(gated.running.core().running(), 0);
        gated.running.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_tried_again_as_it_reached_no_handler() {
    for protocol in PROTOCOLS {
        let mut limits = Limits::default();
        limits.calls = 1;
        let gated = Gated::new(&World::default(), protocol, limits).await;
        let first = gated.call();
        gated.entered().await;
        let call = gated
            .running
            .client()
            .request("gated", "Say.Hello", frame("x"));
        let error = call.retries(2).await.unwrap_err();
        assert_eq!(error.attempts().count(), 3, "{protocol}: {error:?}");
        gated.go.add_permits(1);
        first.await.unwrap().unwrap();
        gated.running.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_deadline_shortens_no_callers_and_ends_no_stream() {
    for protocol in PROTOCOLS {
        let mut limits = Limits::default();
        limits.call = Some(Duration::from_secs(2));
        let gated = Gated::new(&World::default(), protocol, limits).await;
        let client = gated.running.client();
        let since = Instant::now();
        // Its own deadline, which is later, holds.
        let call = client.request("gated", "Say.Hello", frame("x")).retries(0);
        let call = call.attempt_timeout(Duration::from_secs(4));
        assert_eq!(call.await.unwrap_err().code(), 408);
        assert_eq!(since.elapsed().as_secs(), 4, "{protocol}");

        let stream = client.target("gated").bidi::<Frame, Frame>("Say.Sum");
        let (_out, mut input) = stream.await.unwrap();
        let since = Instant::now();
        assert!(input.next().await.is_none());
        assert!(
            since.elapsed().as_secs() >= 299,
            "{protocol}: the handler's own end"
        );
        gated.running.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_brings_no_deadline_gets_the_servers() {
    let world = World::default();
    let mut limits = Limits::default();
    limits.call = Some(Duration::from_secs(2));
    let gated = Gated::new(&world, "mucp", limits).await;
    let mut connection = world.network.dial(gated.running.address()).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/protobuf\r\n\
        Micro-Service: gated\r\nMicro-Endpoint: Say.Hello\r\nMicro-Id: 1\r\n\
        Connection: close\r\nContent-Length: 0\r\n\r\n";
    let since = Instant::now();
    connection.io.write_all(request).await.unwrap();
    let mut said = Vec::new();
    connection.io.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("408"), "{said}");
    assert_eq!(since.elapsed().as_secs(), 2, "{said}");
    gated.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_connection_does_not_get_all_calls() {
    let mut limits = Limits::default();
    limits.calls_per_connection = 2;
    // Braid has all calls of a client on one connection; mucp's have one each.
    let gated = Gated::new(&World::default(), "braid", limits).await;
    let running = [gated.call(), gated.call()];
    gated.entered().await;
    gated.entered().await;
    let third = gated.call();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gated.running.core().running(), 2);
    gated.go.add_permits(3);
    for call in running {
        call.await.unwrap().unwrap();
    }
    // It waited for its turn, or was refused: it did not run beside them.
    let _ = third.await.unwrap();
    gated.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_too_many_is_closed_and_there_is_room_again_after_the_first() {
    let world = World::default();
    let mut limits = Limits::default();
    limits.connections = 1;
    let gated = Gated::new(&world, "mucp", limits).await;
    let address = gated.running.address().to_owned();
    let first = world.network.dial(&address).await.unwrap();
    let mut second = world.network.dial(&address).await.unwrap();
    let since = Instant::now();
    assert_eq!(second.io.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(since.elapsed(), Duration::ZERO, "it is closed at once");
    drop(first);
    gated.go.add_permits(1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    gated.call().await.unwrap().unwrap();
    gated.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let world = World::default();
    let mut limits = Limits::default();
    limits.first_request = Duration::from_secs(3);
    let gated = Gated::new(&world, "mucp", limits).await;
    // Nothing, half a request, half of braid's first bytes.
    for words in [&b""[..], b"POST / HTTP/1.1\r\nHost", b"\xc7\x6d"] {
        let mut connection = world.network.dial(gated.running.address()).await.unwrap();
        let since = Instant::now();
        connection.io.write_all(words).await.unwrap();
        let mut said = Vec::new();
        let _ = connection.io.read_to_end(&mut said).await;
        let took = since.elapsed();
        let most = Duration::from_secs(4);
        assert!(
            took >= limits.first_request && took <= most,
            "{words:?}: {took:?}"
        );
    }
    gated.running.stop().await.unwrap();
}

/// A hand-written service that panics before there is a future.
struct Hasty;

impl Dispatch for Hasty {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        Say::default().descriptor()
    }

    fn call(&self, _index: u16, _request: Request) -> BoxFuture<Result<Reply>> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_before_the_handlers_future_is_answered_and_takes_no_place() {
    for protocol in PROTOCOLS {
        let service = World::default().service("hasty", protocol).handle(Hasty);
        let running = service.start().await.unwrap();
        let call = running.client().request("hasty", "Say.Hello", frame("x"));
        let error = call.await.unwrap_err();
        assert_eq!(error.detail(), "panic recovered: on purpose", "{protocol}");
        assert_eq!(running.core().running(), 0, "{protocol}");
        running.stop().await.unwrap();
    }
}
