//! How much a warm unary call over mucp allocates, client and server each on a thread of its own.
#![allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

#[path = "../src/server/debug/generated/mod.rs"]
mod debug;
#[path = "mucp/generated/mod.rs"]
mod generated;
#[path = "mucp/greeter.rs"]
mod greeter;
#[path = "mucp/harness.rs"]
mod harness;

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use micro_runtime::transport::{Memory, Transport};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use generated::greeter::{GreeterClient, HelloRequest};
use harness::{Raw, Setup, channel, environment, over};

const WARM: usize = 1000;
const CALLS: usize = 4000;
/// The encoded body, the metadata, the context and two futures.
const CLIENT: u64 = 5;
/// The metadata, the context, the handler's future and the encoded reply.
const SERVER: u64 = 4;
/// The text in the request and the text in the reply, which are the user's.
const TEXTS: u64 = 2;
/// What buffers that are read into may add, spread over all calls.
const SPREAD: u64 = (CALLS / 10) as u64;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Calls until `many` were answered, `at_once` in flight.
async fn call(greeter: &GreeterClient, many: usize, at_once: usize) {
    let callers: Vec<_> = (0..at_once)
        .map(|_| {
            let greeter = greeter.clone();
            tokio::spawn(async move {
                for _ in 0..many / at_once {
                    let name = "John".to_owned();
                    let reply = greeter
                        .hello(HelloRequest { name })
                        .timeout(Duration::from_secs(30))
                        .metadata("Tenant", "blue")
                        .metadata("Trace", "0123456789abcdef")
                        .await
                        .unwrap();
                    assert_eq!(reply.msg, "Hello John");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// The most that a server holds at once while it reads a message of `limit` bytes, the largest that
/// it takes, in the framing of `head` and `pieces`.
fn held(limit: usize, head: &str, pieces: &[Vec<u8>]) -> u64 {
    let memory = Memory::new();
    let mut setup = Setup {
        transport: Arc::new(memory.clone()),
        ..Setup::default()
    };
    setup.limits.message = limit;
    let (tell_address, address) = oneshot::channel();
    let (tell_done, done) = oneshot::channel::<()>();
    std::thread::scope(|threads| {
        let server = threads.spawn(move || {
            let runtime = runtime();
            let server = runtime.block_on(setup.serve());
            tell_address.send(server.address.clone()).unwrap();
            let measured = measure(|| drop(runtime.block_on(done)));
            drop(server);
            measured.bytes_max
        });
        runtime().block_on(async {
            let address = address.await.unwrap();
            let mut raw = Raw(memory.dial(&address).await.unwrap());
            raw.send(head).await;
            for piece in pieces {
                raw.send(piece).await;
            }
            let (head, _) = raw.response().await;
            assert!(head.contains("can't find method"), "{head}");
        });
        tell_done.send(()).unwrap();
        server.join().unwrap()
    })
}

#[test]
fn the_largest_message_takes_no_more_than_four_times_its_size() {
    const LIMIT: usize = 4 << 20;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nMicro-Endpoint: Greeter.Nope\r\n";
    let whole = format!("{head}Content-Length: {LIMIT}\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = |size: usize| {
        let mut chunk = format!("{size:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + size, 7);
        chunk.extend_from_slice(b"\r\n");
        chunk
    };
    let end = b"0\r\n\r\n".to_vec();
    let small: Vec<_> = std::iter::repeat_n(chunk(1024), LIMIT / 1024)
        .chain([end.clone()])
        .collect();
    for (head, pieces) in [
        (&whole, vec![vec![7; LIMIT]]),
        (&chunked, vec![chunk(LIMIT), end]),
        (&chunked, small),
    ] {
        let held = held(LIMIT, head, &pieces);
        println!("{held} bytes for a message of {LIMIT}");
        assert!(held <= 4 * LIMIT as u64, "{held}");
    }
}

/// What client and server allocate for `CALLS` calls.
fn run(at_once: usize) -> (AllocationInfo, AllocationInfo) {
    let memory = Memory::new();
    let (tell_address, address) = oneshot::channel();
    let (tell_warm, warm) = oneshot::channel::<()>();
    let (tell_done, done) = oneshot::channel::<()>();
    let setup = Setup {
        transport: Arc::new(memory.clone()),
        ..Setup::default()
    };
    std::thread::scope(|threads| {
        let server = threads.spawn(move || {
            let runtime = runtime();
            let server = runtime.block_on(async {
                let server = setup.serve().await;
                tell_address
                    .send((server.address.clone(), server.mucp.clone()))
                    .unwrap();
                warm.await.unwrap();
                server
            });
            let measured = measure(|| drop(runtime.block_on(done)));
            drop(server);
            measured
        });
        let runtime = runtime();
        let greeter = runtime.block_on(async {
            let (address, mucp) = address.await.unwrap();
            let environment = environment(Arc::new(memory));
            let greeter = over(channel(&mucp, &address, &environment, false));
            call(&greeter, WARM, at_once).await;
            greeter
        });
        tell_warm.send(()).unwrap();
        let client = measure(|| runtime.block_on(call(&greeter, CALLS, at_once)));
        tell_done.send(()).unwrap();
        drop(greeter);
        (client, server.join().unwrap())
    })
}

#[test]
fn a_warm_call_allocates_no_more_than_is_planned() {
    for at_once in [1, 64] {
        let (client, server) = run(at_once);
        for (side, measured, most) in [("client", client, CLIENT), ("server", server, SERVER)] {
            println!(
                "{at_once} in flight, {side}: {:.3} allocations and {:.0} bytes a call",
                measured.count_total as f64 / CALLS as f64,
                measured.bytes_total as f64 / CALLS as f64,
            );
            assert!(
                measured.count_total <= (most + TEXTS) * CALLS as u64 + SPREAD,
                "{side}, {at_once} in flight: {} allocations for {CALLS} calls",
                measured.count_total
            );
        }
    }
}
