//! Nodes that are silent or say that they are not well, over each protocol.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::client::HealthCheck;
use micro_runtime::selector::Strategy;
use micro_runtime::server::ServingStatus;
use micro_runtime::transport::{Connection, Io, Listener, Transport};
use micro_runtime::wrapper::{Next, from_fn};
use micro_runtime::{Error, Request, Result, Service};
use support::{Say, World, frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

const PROTOCOLS: [&str; 3] = ["braid", "mucp", "grpc"];
const NAME: &str = "greeter";
const STOPPED: &str = "stopped:1";

/// A node that answers with its address.
fn node(world: &World, protocol: &str, address: &'static str) -> Service {
    let say = Say::hello(move |_, _| async move { Ok(frame(address)) });
    world.service(NAME, protocol).address(address).handle(say)
}

/// A network in which one process may be stopped: its host takes connections and bytes, and nobody
/// reads them.
#[derive(Clone, Debug)]
struct Stops<T> {
    inner: T,
    stopped: Arc<AtomicBool>,
}

#[async_trait]
impl<T: Transport> Transport for Stops<T> {
    fn name(&self) -> &str {
        self.inner.name()
    }
    async fn dial(&self, address: &str) -> Result<Connection> {
        let mut connection = self.inner.dial(address).await?;
        if address == STOPPED {
            connection.io = Box::new(Stopped {
                io: connection.io,
                stopped: self.stopped.clone(),
            });
        }
        Ok(connection)
    }
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.inner.listen(address).await
    }
}

/// A connection to it.
struct Stopped {
    io: Box<dyn Io>,
    stopped: Arc<AtomicBool>,
}

impl Stopped {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Stopped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.is_stopped() {
            true => Poll::Pending,
            false => Pin::new(&mut self.io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stopped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.is_stopped() {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.io).poll_write(cx, bytes),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_process_meets_few_calls_over_each_protocol() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let _here = node(&world, protocol, "here:1").start().await.unwrap();
        // Any answer will do, also that there is no such thing.
        let there = node(&world, protocol, "here:2").without_debug();
        let _there = there.without_health().start().await.unwrap();
        let _stops = node(&world, protocol, STOPPED).start().await.unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let network = Stops {
            inner: world.network.clone(),
            stopped: stopped.clone(),
        };
        let caller = world.service("caller", protocol).transport(network);
        let caller = caller.selector(Strategy::Random);
        let client = caller.client();
        let failed = Arc::new(AtomicUsize::new(0));
        // The calls that meet it have five seconds each; others go on beside them.
        for number in 0..20_000 / 5 {
            if number == 200 {
                assert_eq!(failed.load(Ordering::Relaxed), 0);
                stopped.store(true, Ordering::Relaxed);
            }
            let call = client.request(NAME, "Say.Hello", frame("x"));
            let failed = failed.clone();
            #[expect(clippy::disallowed_methods, reason = "a test spawns what it likes")]
            tokio::spawn(async move {
                if call.await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            });
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_secs(6)).await;
        let failed = failed.load(Ordering::Relaxed);
        println!("{protocol}: {failed} failed");
        assert!(
            (1..=40).contains(&failed),
            "{protocol}: {failed} of 4,000 calls failed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_serve_is_left_alone_where_grpcs_health_is_asked() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let _here = node(&world, protocol, "here:1").start().await.unwrap();
        let other = node(&world, protocol, "here:2");
        let health = other.health().clone();
        let _other = other.start().await.unwrap();
        // It is well as far as anybody knows.
        let unknown = node(&world, protocol, "here:3").without_health();
        let _unknown = unknown.start().await.unwrap();
        let interval = Duration::from_secs(1);
        let check = HealthCheck::grpc().interval(interval);
        let caller = world.service("caller", protocol).health_check(check);
        let client = caller.client();
        let answers = async |count: usize| {
            let mut found = [0; 3];
            for _ in 0..count {
                let call = client.request(NAME, "Say.Hello", frame("x"));
                let answer = support::words(&call.await.unwrap());
                let at: usize = answer.trim_start_matches("here:").parse().unwrap();
                found[at - 1] += 1;
            }
            found
        };
        let all = answers(100).await;
        assert!(all.iter().all(|count| *count > 0), "{protocol}: {all:?}");
        health.set("", ServingStatus::NotServing);
        sleep(interval * 5).await;
        let left = answers(100).await;
        assert!(
            left[0] > 0 && left[1] == 0 && left[2] > 0,
            "{protocol}: {left:?}"
        );
        health.set("", ServingStatus::Serving);
        sleep(interval * 4).await;
        let all = answers(100).await;
        assert!(all.iter().all(|count| *count > 0), "{protocol}: {all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_no_room_for_the_question_is_not_left_alone() {
    for protocol in PROTOCOLS {
        for unprocessed in [true, false] {
            let world = World::default();
            let _here = node(&world, protocol, "here:1").start().await.unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let count = asked.clone();
            let full = from_fn(move |request: Request, next: Next| {
                let asked = request.method.path.starts_with("/grpc.health");
                count.fetch_add(usize::from(asked), Ordering::Relaxed);
                async move {
                    let error = Error::unavailable("limit", "full");
                    match asked {
                        true if unprocessed => Err(error.unprocessed()),
                        true => Err(error),
                        false => next.run(request).await,
                    }
                }
            });
            let busy = node(&world, protocol, "here:2").wrap_handler(full);
            let _busy = busy.start().await.unwrap();
            let interval = Duration::from_secs(1);
            let check = HealthCheck::grpc().interval(interval);
            let caller = world.service("caller", protocol).health_check(check);
            let caller = caller.selector(Strategy::RoundRobin);
            let client = caller.client();
            let mut met = 0;
            for number in 0..21 {
                let call = client.request(NAME, "Say.Hello", frame("x"));
                let answer = support::words(&call.await.unwrap());
                match number {
                    0 => sleep(interval * 6).await,
                    _ => met += usize::from(answer == "here:2"),
                }
            }
            assert_eq!(met, 10, "{protocol}");
            let asked = asked.load(Ordering::Relaxed);
            assert!(asked >= 4, "{protocol}: asked {asked} times");
        }
    }
}
