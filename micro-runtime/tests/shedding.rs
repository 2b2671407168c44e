//! What a server's wrappers refuse when there is too much to do, or no time for it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "callers are tasks of their own, as users' are"
)]

mod support;

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::service::Running;
use micro_runtime::wrapper::adaptive::AdaptiveSettings;
use micro_runtime::wrapper::{AdaptiveLimit, Figure, Shed, Wrapper};
use micro_runtime::{Error, Result};
use support::{Say, World, frame};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// A service whose handlers take so many milliseconds, and are counted.
struct Slow {
    running: Running,
    takes: Arc<AtomicU64>,
    begun: Arc<AtomicUsize>,
}

impl Slow {
    async fn new(wrapper: impl Wrapper) -> Self {
        let (takes, begun) = (Arc::new(AtomicU64::new(100)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (takes.clone(), begun.clone());
        let say = Say::hello(move |_, frame| {
            count.fetch_add(1, Ordering::SeqCst);
            let takes = Duration::from_millis(told.load(Ordering::SeqCst));
            async move {
                sleep(takes).await;
                Ok(frame)
            }
        });
        let service = World::default().service("slow", "braid");
        let service = service.wrap_handler(wrapper).handle(say);
        Self {
            running: service.start().await.unwrap(),
            takes,
            begun,
        }
    }

    async fn call(&self, timeout: u64) -> Result<Frame> {
        let client = self.running.client();
        let call = client.request("slow", "Say.Hello", frame("x"));
        let timeout = Duration::from_millis(timeout);
        call.timeout(timeout).retries(0).await
    }

    fn begun(&self) -> usize {
        self.begun.swap(0, Ordering::SeqCst)
    }
}

fn assert_shed(error: &Error) {
    assert_eq!((error.id(), error.code()), ("go.micro.server", 408));
    let words = "context deadline exceeded: ";
    assert!(error.detail().starts_with(words), "{error:?}");
    assert!(error.is_unprocessed(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_make_its_deadline_is_refused_at_once_and_nothing_else() {
    let slow = Slow::new(Shed::new()).await;
    // Nothing is known yet.
    assert_eq!(slow.call(50).await.unwrap_err().code(), 408);
    for _ in 0..30 {
        slow.call(1_000).await.unwrap();
    }
    assert_eq!(slow.begun(), 31);
    let mut shed = 0;
    for _ in 0..100 {
        let since = Instant::now();
        let error = slow.call(50).await.unwrap_err();
        if error.id() == "go.micro.server" && error.is_unprocessed() {
            assert_shed(&error);
            assert_eq!(since.elapsed(), Duration::ZERO);
            shed += 1;
        }
        slow.call(110).await.unwrap();
    }
    // One a second is let through: they took eleven.
    assert!((87..=90).contains(&shed), "{shed}");
    assert_eq!(slow.begun(), 200 - shed);

    // Handlers have become quick: it is found out.
    slow.takes.store(10, Ordering::SeqCst);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(15) {
        let _ = slow.call(50).await;
        sleep(Duration::from_millis(10)).await;
    }
    slow.begun();
    for _ in 0..50 {
        slow.call(50).await.unwrap();
    }
    assert_eq!(slow.begun(), 50);
    slow.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_nothing_is_shed() {
    let slow = Slow::new(Shed::new()).await;
    for _ in 0..50 {
        let client = slow.running.client();
        let call = client.request("slow", "Say.Hello", frame("x"));
        let call = call.timeout(Duration::MAX).attempt_timeout(Duration::MAX);
        call.await.unwrap();
    }
    slow.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn how_soon_a_handler_panics_tells_nothing() {
    let world = World::default();
    let mut settings = AdaptiveSettings::default();
    (settings.samples, settings.window) = (1, Duration::ZERO);
    let (shed, limit) = (Shed::new(), AdaptiveLimit::with(settings));
    let say = Say::hello(|_, frame| async move {
        let panics = support::words(&frame) == "panic";
        sleep(Duration::from_millis(if panics { 500 } else { 10 })).await;
        assert!(!panics, "as asked");
        Ok(frame)
    });
    let service = world.service("panics", "braid").handle(say);
    let service = service.wrap_handler(shed.clone());
    let service = service.wrap_handler(limit.clone());
    let running = service.start().await.unwrap();
    let call = |words: &str| {
        let client = running.client();
        client
            .request("panics", "Say.Hello", frame(words))
            .into_future()
    };
    call("good").await.unwrap();
    for _ in 0..30 {
        assert_eq!(call("panic").await.unwrap_err().code(), 500);
    }
    let takes = shed.inspect().unwrap().standings[1].figures.clone();
    assert!(takes.is_empty(), "{takes:?}");
    let stands = limit.inspect().unwrap().standings[0].figures.clone();
    let baseline = ("without_queue", Figure::Time(Duration::from_millis(10)));
    assert!(stands.contains(&baseline), "{stands:?}");
    running.stop().await.unwrap();
}

/// Handlers that wait until they may go, behind a limit of four.
struct Gated {
    running: Running,
    limit: AdaptiveLimit,
    go: Arc<Semaphore>,
}

impl Gated {
    async fn new(change: impl FnOnce(AdaptiveLimit) -> AdaptiveLimit) -> Self {
        let mut settings = AdaptiveSettings::default();
        (settings.initial, settings.min, settings.max) = (4, 4, 4);
        let limit = change(AdaptiveLimit::with(settings));
        let go = Arc::new(Semaphore::new(0));
        let gate = go.clone();
        let say = Say::hello(move |_, frame| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(frame)
            }
        });
        let service = World::default().service("gated", "braid");
        let service = service.wrap_handler(limit.clone()).handle(say);
        Self {
            running: service.start().await.unwrap(),
            limit,
            go,
        }
    }

    fn call(&self) -> tokio::task::JoinHandle<Result<Frame>> {
        let client = self.running.client();
        let call = client.request("gated", "Say.Hello", frame("x"));
        tokio::spawn(call.retries(0).into_future())
    }

    async fn calls(&self, many: usize) -> Vec<tokio::task::JoinHandle<Result<Frame>>> {
        let calls = (0..many).map(|_| self.call()).collect();
        sleep(Duration::from_millis(1)).await;
        calls
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_limit_is_refused_at_once_and_there_is_room_again() {
    let gated = Gated::new(|limit| limit).await;
    let running = gated.calls(4).await;
    let since = Instant::now();
    let error = gated.call().await.unwrap().unwrap_err();
    assert_eq!((error.id(), error.code()), ("go.micro.server", 503));
    assert!(error.is_unprocessed(), "{error:?}");
    assert_eq!(since.elapsed(), Duration::ZERO);
    assert_eq!((gated.limit.running(), gated.limit.limit()), (4, 4));
    // How it is, it tells all the same.
    let health = gated.running.client();
    let health = health.request("gated", "Debug.Health", Frame::default());
    health.retries(0).await.unwrap();
    gated.go.add_permits(5);
    for call in running {
        call.await.unwrap().unwrap();
    }
    gated.call().await.unwrap().unwrap();
    assert_eq!(gated.limit.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn some_wait_for_a_moment_where_they_may_and_no_place_is_lost() {
    let patience = Duration::from_millis(200);
    let gated = Gated::new(|limit| limit.queue(2, patience)).await;
    let running = gated.calls(4).await;
    let waiting = gated.calls(2).await;
    let since = Instant::now();
    let error = gated.call().await.unwrap().unwrap_err();
    assert_eq!((error.code(), since.elapsed()), (503, Duration::ZERO));
    // One is given up while it waits: its place in the queue is another's.
    waiting[0].abort();
    sleep(Duration::from_millis(1)).await;
    let third = gated.call();
    sleep(Duration::from_millis(1)).await;
    // Two go, and those that waited come in.
    gated.go.add_permits(2);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(gated.limit.running(), 4);
    // One that waits for too long is refused.
    let since = Instant::now();
    let error = gated.call().await.unwrap().unwrap_err();
    assert_eq!((error.code(), since.elapsed()), (503, patience));
    gated.go.add_permits(4);
    let mut done = 0;
    for call in running.into_iter().chain(waiting).chain([third]) {
        done += usize::from(call.await.is_ok_and(|reply| reply.is_ok()));
    }
    assert_eq!((done, gated.limit.running()), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn places_are_given_back_by_calls_that_are_given_up_at_any_moment() {
    let gated = Gated::new(|limit| limit.queue(8, Duration::from_millis(50))).await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let calls = gated.calls(random.usize(1..12)).await;
        gated.go.add_permits(random.usize(0..6));
        sleep(Duration::from_millis(random.u64(0..60))).await;
        for call in &calls {
            if random.bool() {
                call.abort();
            }
        }
        gated.go.add_permits(12);
        for call in calls {
            let _ = call.await;
        }
        sleep(Duration::from_millis(60)).await;
        assert_eq!(gated.limit.running(), 0);
        gated.go.forget_permits(usize::MAX >> 4);
    }
}
