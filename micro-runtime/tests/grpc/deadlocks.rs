//! What must never stand still: narrow pipes, small windows, streams that nobody reads, and handlers
//! that call their own server over the connection that they were called on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro_runtime::call::{BoxFuture, Dispatch};
use micro_runtime::codegen::ServiceDescriptor;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::{Error, Reply, Request, Result, codegen};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::net::Net;
use crate::say::{Say, SayClient, Word, sized, word};

/// Far more than any of these takes; a deadlock takes for ever.
const LONG: Duration = Duration::from_secs(60);
const PIPE: usize = 4 * 1024;

async fn all(tasks: Vec<JoinHandle<Result<()>>>) {
    let all = async {
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    };
    timeout(LONG, all).await.expect("it stands still");
}

/// 32 callers with 8 KiB both ways, of whose handlers every third is pending.
fn callers(say: &SayClient) -> impl Iterator<Item = JoinHandle<Result<()>>> {
    (0..32).map(|caller| {
        let say = say.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                let what = ["yield", "echo", "echo"][(caller + i) % 3];
                let request = sized(what, 8 * 1024);
                assert_eq!(say.hello(request.clone()).await?, request);
            }
            Ok(())
        })
    })
}

/// Streams each way whose receiver makes a call on the same connection for each message.
fn streams(say: &SayClient) -> impl Iterator<Item = JoinHandle<Result<()>>> {
    (0..4).flat_map(|_| {
        let (count, sum) = (say.clone(), say.clone());
        let down = tokio::spawn(async move {
            let number = 100;
            let mut replies = count.count(Word { number, ..word("") }).await?;
            while let Some(reply) = replies.message().await? {
                count.hello(sized("echo", reply.number as usize)).await?;
            }
            Ok(())
        });
        let both = tokio::spawn(async move {
            let (mut out, mut input) = sum.sum().await?;
            let sends = tokio::spawn(async move {
                for _ in 0..100 {
                    out.send(sized("", 1000)).await?;
                }
                out.finish().await
            });
            while input.message().await?.is_some() {
                sum.hello(sized("yield", 2000)).await?;
            }
            sends.await.unwrap()
        });
        [down, both]
    })
}

async fn run(settings: Grpc, limits: Limits) {
    let net = Net::narrow(PIPE, settings, limits, Say);
    // A connection knows how many streams its server takes once that has told it; streams that are
    // opened before may be refused when they are under way.
    net.say.hello(word("echo")).await.unwrap();
    let tasks = callers(&net.say).chain(streams(&net.say)).collect();
    all(tasks).await;
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn calls_and_streams_through_a_narrow_pipe_on_one_thread() {
    run(Grpc::new(), Limits::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_and_streams_through_a_narrow_pipe_on_four_threads() {
    run(Grpc::new(), Limits::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_with_windows_smaller_than_a_message() {
    let mut settings = Grpc::new();
    settings.stream_window = 1024;
    let mut limits = Limits::default();
    limits.calls_per_connection = 9;
    run(settings, limits).await;
}

#[tokio::test]
async fn streams_that_nobody_reads_do_not_hold_up_calls() -> Result<()> {
    let net = Net::narrow(PIPE, Grpc::new(), Limits::default(), Say);
    // Both ways: replies that the caller does not read, and messages that the handler does not.
    let unread = Word {
        number: u64::MAX,
        ..word("")
    };
    let mut kept = Vec::new();
    for _ in 0..8 {
        kept.push(net.say.count(unread.clone()).await?);
    }
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let mut upload = net.say.collect().await?;
        upload.send(word("hold")).await?;
        uploads.push(tokio::spawn(async move {
            // Until it has to wait, for ever.
            while upload.send(sized("", 8_000)).await.is_ok() {}
        }));
    }
    let calls = async {
        for _ in 0..100 {
            net.say.hello(sized("echo", 8_000)).await?;
        }
        Ok::<_, Error>(())
    };
    timeout(LONG, calls).await.expect("calls are held up")?;
    assert!(uploads.iter().all(|upload| !upload.is_finished()));
    for upload in uploads {
        upload.abort();
    }
    drop(kept);
    Ok(())
}

#[tokio::test]
async fn a_stream_whose_windows_are_full_both_ways_goes_on_when_it_is_read() -> Result<()> {
    const MESSAGES: u64 = 500;
    let net = Net::narrow(PIPE, Grpc::new(), Limits::default(), Say);
    let (mut send, mut receive) = net.say.sum().await?;
    let sending = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            send.send(sized("", 3_000)).await?;
        }
        send.finish().await
    });
    let calls = async {
        for _ in 0..50 {
            net.say.hello(sized("echo", 8_000)).await?;
        }
        Ok::<_, Error>(())
    };
    timeout(LONG, calls).await.expect("calls are held up")?;
    assert!(!sending.is_finished(), "more than the windows take");
    let reading = async {
        let mut came = 0;
        while receive.message().await?.is_some() {
            came += 1;
        }
        Ok::<_, Error>(came)
    };
    let came = timeout(LONG, reading).await.expect("it stands still")?;
    assert_eq!(came, MESSAGES);
    sending.await.unwrap()
}

/// Calls its own server, `number` deep, by the client that called it.
#[derive(Clone)]
struct Again {
    say: Arc<OnceLock<SayClient>>,
    inner: Say,
}

impl Dispatch for Again {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.inner.descriptor()
    }

    fn call(&self, index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        if index != 0 {
            return self.inner.call(index, request);
        }
        let this = self.clone();
        codegen::unary(request, move |_cx, request: Word| async move {
            let Some(number) = request.number.checked_sub(1) else {
                return Ok(request);
            };
            let say = this.say.get().unwrap();
            say.hello(Word { number, ..request }).await
        })
    }
}

fn again(limits: Limits) -> Net {
    let say = Arc::new(OnceLock::new());
    let given = say.clone();
    let net = Net::narrow(PIPE, Grpc::new(), limits, move |probe| Again {
        say: given,
        inner: Say(probe),
    });
    let _ = say.set(net.say.clone());
    net
}

#[tokio::test]
async fn handlers_that_call_their_own_server_on_the_same_connection_are_answered() {
    let net = again(Limits::default());
    let tasks = (0..40).map(|_| {
        let say = net.say.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let request = Word {
                    number: 6,
                    ..sized("", 8_000)
                };
                assert_eq!(say.hello(request).await?.data.len(), 8_000);
            }
            Ok(())
        })
    });
    all(tasks.collect()).await;
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_wait_for_a_place_of_their_own_connection_end_at_their_deadline() {
    let mut limits = Limits::default();
    limits.calls_per_connection = 4;
    let net = again(limits);
    // Four take all places, and each waits for a fifth.
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let say = net.say.clone();
            tokio::spawn(async move {
                let request = Word {
                    number: 1,
                    ..word("")
                };
                say.hello(request).timeout(Duration::from_secs(5)).await
            })
        })
        .collect();
    let ended = async {
        for call in calls {
            if let Err(error) = call.await.unwrap() {
                assert_eq!(error.code(), 408, "{error}");
            }
        }
    };
    timeout(LONG, ended).await.expect("deadlines hold");
    // And the connection is as good as before.
    assert_eq!(net.say.hello(word("x")).await.unwrap().text, "x");
}
