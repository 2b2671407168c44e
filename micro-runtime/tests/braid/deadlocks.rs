//! What must never stand still: narrow pipes, replies larger than they are, streams that call.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use micro_runtime::router::Limits;
use micro_runtime::{Error, Result};
use tokio::time::timeout;

use crate::net::Net;
use crate::say::{SayClient, Word, count, sized, word};

/// Far more than any of these takes; a deadlock takes for ever.
const LONG: Duration = Duration::from_secs(60);
const PIPE: usize = 4 * 1024;

async fn all(tasks: Vec<tokio::task::JoinHandle<Result<()>>>) -> Result<()> {
    for task in tasks {
        task.await
            .map_err(|error| Error::internal("test", error.to_string()))??;
    }
    Ok(())
}

/// 64 callers make 50 calls each, with 8 KiB both ways; every third handler is pending.
fn callers(say: &SayClient) -> Vec<tokio::task::JoinHandle<Result<()>>> {
    (0..64)
        .map(|caller| {
            let say = say.clone();
            tokio::spawn(async move {
                for i in 0..50 {
                    let request = sized(
                        if (caller + i) % 3 == 0 {
                            "yield"
                        } else {
                            "echo"
                        },
                        8 * 1024,
                    );
                    assert_eq!(say.hello(request.clone()).await?, request);
                }
                Ok(())
            })
        })
        .collect()
}

/// 4 streams of 200 messages each way, whose receiver makes a call on the same connection for each.
fn streams(say: &SayClient) -> Vec<tokio::task::JoinHandle<Result<()>>> {
    (0..4)
        .flat_map(|_| {
            let (count, sum) = (say.clone(), say.clone());
            let down = tokio::spawn(async move {
                let mut replies = count
                    .count(Word {
                        number: 200,
                        ..Word::default()
                    })
                    .await?;
                while let Some(reply) = replies.message().await? {
                    count.hello(sized("echo", reply.number as usize)).await?;
                }
                Ok(())
            });
            let both = tokio::spawn(async move {
                let (mut out, mut input) = sum.sum().await?;
                let sends = tokio::spawn(async move {
                    for _ in 0..200 {
                        out.send(sized("", 1000)).await?;
                    }
                    out.finish().await
                });
                while input.message().await?.is_some() {
                    sum.hello(sized("yield", 2000)).await?;
                }
                sends
                    .await
                    .map_err(|error| Error::internal("test", error.to_string()))?
            });
            [down, both]
        })
        .collect()
}

async fn run(limits: Limits) {
    let net = Net::with(PIPE, limits);
    let mut tasks = callers(&net.say);
    tasks.extend(streams(&net.say));
    timeout(LONG, all(tasks))
        .await
        .expect("it stands still")
        .unwrap();
    assert_eq!(net.pipes.dials.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn calls_and_streams_through_a_narrow_pipe_on_one_thread() {
    run(Limits::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_and_streams_through_a_narrow_pipe_on_four_threads() {
    for _ in 0..3 {
        run(Limits::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_with_the_smallest_windows() {
    let mut limits = Limits::default();
    limits.stream_window = 1;
    limits.calls_per_connection = 9;
    run(limits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_are_given_up_at_any_time_leave_nothing_behind() {
    let net = Arc::new(Net::with(PIPE, Limits::default()));
    let tasks = (0..32)
        .map(|caller| {
            let net = net.clone();
            tokio::spawn(async move {
                for i in 0..100 {
                    let what = ["yield", "echo", "wait", "sleep 1"][(caller + i) % 4];
                    let request = sized(what, (caller * 97 + i * 131) % 20_000);
                    let wait = Duration::from_micros(((caller * 31 + i * 17) % 900) as u64);
                    let call = net.say.hello(request.clone());
                    if let Ok(reply) = timeout(wait, async { call.await }).await {
                        assert_eq!(reply?, request);
                    }
                    if i % 10 == 0 {
                        let stream = net.say.sum();
                        if let Ok(Ok((mut out, input))) =
                            timeout(wait, async { stream.await }).await
                        {
                            let _ = timeout(wait, out.send(request)).await;
                            drop(input);
                        }
                    }
                }
                Ok(())
            })
        })
        .collect();
    timeout(LONG, all(tasks))
        .await
        .expect("it stands still")
        .unwrap();
    while net.server.core().running() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(net.say.hello(word("x")).await.unwrap().text, "x");
    assert_eq!(net.pipes.dials.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_up_calls() -> Result<()> {
    let net = Net::with(PIPE, Limits::default());
    let unread = net
        .say
        .count(Word {
            number: 100_000,
            ..Word::default()
        })
        .await?;
    for _ in 0..500 {
        net.say.hello(sized("echo", 3000)).await?;
    }
    // No more than its window has come.
    assert_eq!(count(&net.probe.sent), 4096);
    drop(unread);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    Ok(())
}

/// Runs `work` on a thread that may stand still for ever without holding up the test.
fn on_its_own_thread<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let (tell, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work());
        tell.send(()).unwrap();
    });
    done.recv_timeout(LONG / 4).expect("it stands still");
}

/// A waker that gives another call up, at once and on the thread that wakes.
struct GivesUp(std::sync::Mutex<Option<Pending>>);

type Pending = Pin<Box<dyn Future<Output = Result<Word>> + Send>>;

impl Wake for GivesUp {
    fn wake(self: Arc<Self>) {
        let other = self.0.lock().unwrap().take();
        drop(other);
    }
}

#[test]
fn no_lock_is_held_while_a_caller_is_woken() {
    on_its_own_thread(|| async {
        let net = Net::new();
        let call = |text: &str| -> Pending { Box::pin(net.say.hello(word(text)).into_future()) };
        net.say.hello(word("dial")).await.unwrap();
        let mut other = call("wait");
        tokio::select! {
            biased;
            _ = &mut other => panic!("it waits"),
            () = net.probe.until(|probe| count(&probe.started) == 2) => {}
        }
        let mut call = call("yield");
        let waker = Waker::from(Arc::new(GivesUp(Some(other).into())));
        assert!(
            call.as_mut()
                .poll(&mut std::task::Context::from_waker(&waker))
                .is_pending()
        );
        // The reply wakes the first, which gives up the second on the same connection.
        net.probe.until(|probe| count(&probe.cancelled) == 1).await;
        assert_eq!(call.await.unwrap().text, "yield");
    });
}

/// A waker that drops what it was to wake for: the input of a stream.
#[derive(Default)]
struct DropsInput(std::sync::Mutex<Option<micro_runtime::Receiver<Word>>>);

impl Wake for DropsInput {
    fn wake(self: Arc<Self>) {
        let input = self.0.lock().unwrap().take();
        drop(input);
    }
}

#[test]
fn no_lock_is_held_while_the_reader_of_a_stream_is_woken() {
    on_its_own_thread(|| async {
        let net = Net::new();
        let (mut out, input) = net.say.sum().await.unwrap();
        let slot = Arc::new(DropsInput(Some(input).into()));
        let waker = Waker::from(slot.clone());
        {
            let mut held = slot.0.lock().unwrap();
            let mut next = std::pin::pin!(held.as_mut().unwrap().message());
            let mut task = std::task::Context::from_waker(&waker);
            assert!(next.as_mut().poll(&mut task).is_pending());
        }
        out.send(word("echo")).await.unwrap();
        // The echo wakes it, and dropping the input takes the stream's lock.
        while slot.0.lock().unwrap().is_some() {
            net.say.hello(word("x")).await.unwrap();
        }
        drop(out);
        net.say.hello(word("x")).await.unwrap();
    });
}

#[test]
fn no_lock_is_held_while_a_handler_is_polled() {
    on_its_own_thread(|| async {
        let net = Net::new();
        let (mut out, input) = net.say.sum().await.unwrap();
        out.send(word("lend")).await.unwrap();
        net.probe.until(|probe| count(&probe.received) == 1).await;
        for _ in 0..100 {
            out.send(word("more")).await.unwrap();
        }
        // The unary handler is polled by the reader, and drops the stream's input there: that gives
        // credit, through the queue of the same connection.
        assert_eq!(net.say.hello(word("take")).await.unwrap().text, "taken");
        drop((out, input));
    });
}

#[tokio::test]
async fn a_thousand_ready_handlers_are_answered_without_being_spawned() {
    // Without a pause every 64, tokio's budget of one task's poll runs out and makes them pending.
    let net = Net::new();
    let before = net.tasks.running();
    let calls: Vec<_> = (0..900)
        .map(|_| {
            let call = net.say.hello(word("mutex"));
            tokio::spawn(async move { call.await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(net.tasks.running(), before);
    assert_eq!(
        count(&net.probe.pending),
        0,
        "handlers were pending that had nothing to wait for"
    );
}
