//! Counts what warm unary calls of a protocol allocate, client and server each on a thread of its own.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use micro_runtime::protocol::Protocol;
use micro_runtime::router::{Inline, Limits};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Memory, Transport};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::pipes;
use crate::say::{Say, SayClient, Word};

const WARM: usize = 500;
const CALLS: usize = 4000;
/// What the blocks that frames are read into may add, spread over all calls.
const SPREAD: u64 = (CALLS / 50) as u64;

/// Handlers are polled where calls arrive, also on a machine so busy that they seem to compute for long.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.inline = Inline::Always;
    limits
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// How long this thread has computed, where the system tells.
fn computed() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ')
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

/// Calls until `many` were answered, `at_once` in flight.
async fn call(say: &SayClient, many: usize, at_once: usize) {
    let callers: Vec<_> = (0..at_once)
        .map(|_| {
            let say = say.clone();
            tokio::spawn(async move {
                for number in 0..many / at_once {
                    let request = Word {
                        number: number as u64,
                        ..Word::default()
                    };
                    let reply = say
                        .hello(request)
                        .timeout(Duration::from_secs(30))
                        .metadata("Tenant", "blue")
                        .metadata("Trace", "0123456789abcdef")
                        .await
                        .unwrap();
                    assert_eq!(reply.number, number as u64);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

struct Measured {
    info: AllocationInfo,
    computed: Option<Duration>,
}

fn measured(work: impl FnOnce()) -> Measured {
    let before = computed();
    let info = measure(work);
    let computed = computed().zip(before).map(|(after, before)| after - before);
    Measured { info, computed }
}

/// What client and server allocate for `CALLS` calls.
fn run(protocol: &(impl Protocol + Clone), at_once: usize) -> (Measured, Measured) {
    let memory = Memory::new();
    let (tell_address, address) = oneshot::channel();
    let (tell_warm, warm) = oneshot::channel::<()>();
    let (tell_done, done) = oneshot::channel::<()>();
    let network = memory.clone();
    let served = protocol.clone();
    std::thread::scope(|threads| {
        let server = threads.spawn(move || {
            let runtime = runtime();
            let server = runtime.block_on(async {
                let server = pipes::server_of(served, Say::default(), limits(), &Tasks::new());
                let listener = network.listen("").await.unwrap();
                tell_address.send(listener.address().to_owned()).unwrap();
                server.start(listener);
                warm.await.unwrap();
                server
            });
            let measured = measured(|| drop(runtime.block_on(done)));
            drop(server);
            measured
        });
        let runtime = runtime();
        let (say, channel) = runtime.block_on(async {
            let channel = {
                let address = address.await.unwrap();
                pipes::channel_of(protocol, Arc::new(memory), &Tasks::new(), &address)
            };
            let say = pipes::client(&channel);
            call(&say, WARM, at_once).await;
            (say, channel)
        });
        tell_warm.send(()).unwrap();
        let client = measured(|| runtime.block_on(call(&say, CALLS, at_once)));
        tell_done.send(()).unwrap();
        drop((say, channel));
        (client, server.join().unwrap())
    })
}

/// Fails where a warm call of `protocol` allocates more often than `most` on the client's side and on
/// the server's.
pub fn check(protocol: &(impl Protocol + Clone), most: (u64, u64)) {
    for at_once in [1, 64] {
        let (client, server) = run(protocol, at_once);
        for (side, measured, most) in [("client", client, most.0), ("server", server, most.1)] {
            let Measured { info, computed } = measured;
            println!(
                "{at_once} in flight, {side}: {:.3} allocations and {:.0} bytes a call, {:?} of CPU",
                info.count_total as f64 / CALLS as f64,
                info.bytes_total as f64 / CALLS as f64,
                computed.map(|computed| computed / CALLS as u32),
            );
            let all = most * CALLS as u64 + SPREAD;
            assert!(
                info.count_total <= all,
                "{side}, {at_once} in flight: {} allocations for {CALLS} calls",
                info.count_total
            );
        }
    }
}
