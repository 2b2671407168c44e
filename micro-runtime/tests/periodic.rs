//! What a service does at intervals.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::service::Running;
use micro_runtime::tasks::Tasks;
use micro_runtime::{Context, Error, Result, Service};
use support::{Say, World, frame};
use tokio::time::{Instant, sleep};

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn service(world: &World) -> Service {
    world
        .service("a", "braid")
        .handle(Say::hello(|_, frame| async move { Ok(frame) }))
}

/// When runs began and ended, in seconds since the test began.
#[derive(Clone)]
struct Seen(Instant, Arc<Mutex<Vec<(&'static str, u64)>>>);

impl Seen {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    fn note(&self, what: &'static str) {
        let at = self.0.elapsed().as_secs();
        self.1.lock().unwrap().push((what, at));
    }

    fn all(&self) -> Vec<(&'static str, u64)> {
        self.1.lock().unwrap().clone()
    }
}

/// A service that each `every` works for so long.
async fn working(world: &World, seen: &Seen, every: u64, work: u64) -> Running {
    let seen = seen.clone();
    let service = service(world).drain(seconds(10));
    let service = service.every(seconds(every), move |_cx| {
        let seen = seen.clone();
        async move {
            seen.note("begun");
            sleep(seconds(work)).await;
            seen.note("done");
            Ok(())
        }
    });
    service.start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_at_once_and_at_each_interval_until_the_stop() {
    let (world, seen) = (World::default(), Seen::new());
    let running = working(&world, &seen, 60, 0).await;
    sleep(seconds(121)).await;
    running.stop().await.unwrap();
    sleep(seconds(600)).await;
    let begun: Vec<_> = seen.all().into_iter().step_by(2).collect();
    assert_eq!(begun, [("begun", 0), ("begun", 60), ("begun", 120)]);
}

#[tokio::test(start_paused = true)]
async fn runs_do_not_overlap() {
    let (world, seen) = (World::default(), Seen::new());
    let running = working(&world, &seen, 10, 25).await;
    sleep(seconds(56)).await;
    running.stop().await.unwrap();
    let expected = [("begun", 0), ("done", 25), ("begun", 30), ("done", 55)];
    assert_eq!(seen.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ends_holds_up_no_start() {
    let world = World::default();
    let service = service(&world).every(seconds(1), |_cx| std::future::pending());
    let since = Instant::now();
    let running = service.drain(seconds(3)).start().await.unwrap();
    let call = running.client().request("a", "Say.Hello", frame("x"));
    call.await.unwrap();
    assert_eq!(since.elapsed(), Duration::ZERO);
    running.stop().await.unwrap();
    assert_eq!(
        since.elapsed(),
        seconds(3),
        "and a stop for the drain limit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_or_panics_is_followed_by_the_next() {
    let world = World::default();
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let service = service(&world).every(seconds(5), move |_cx| {
        let run = count.fetch_add(1, Ordering::SeqCst);
        assert_ne!(run, 0, "the first does not even begin");
        async move {
            match run {
                1 => panic!("the second panics"),
                2 => Err(Error::internal("test", "the third fails")),
                _ => Ok(()),
            }
        }
    });
    let running = service.start().await.unwrap();
    sleep(seconds(21)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 5);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_run_within_the_drain_limit_and_begins_none() {
    let (world, seen) = (World::default(), Seen::new());
    let running = working(&world, &seen, 5, 8).await;
    sleep(seconds(1)).await;
    let since = Instant::now();
    running.stop().await.unwrap();
    assert_eq!(since.elapsed(), seconds(7));
    sleep(seconds(60)).await;
    assert_eq!(seen.all(), [("begun", 0), ("done", 8)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_outlasts_the_drain_limit_is_ended_and_leaves_nothing() {
    let (world, seen, tasks) = (World::default(), Seen::new(), Tasks::new());
    let (note, spawns) = (seen.clone(), tasks.clone());
    let service = service(&world).drain(seconds(10)).tasks(tasks.clone());
    let service = service.every(seconds(60), move |cx: Context| {
        let (seen, tasks) = (note.clone(), spawns.clone());
        async move {
            let told = seen.clone();
            let spawned = async move {
                cx.cancelled().await;
                told.note("told");
            };
            tasks.spawn(spawned);
            sleep(seconds(600)).await;
            seen.note("done");
            Ok(())
        }
    });
    let running = service.start().await.unwrap();
    sleep(seconds(1)).await;
    running.stop().await.unwrap();
    sleep(seconds(1)).await;
    assert_eq!(seen.all(), [("told", 11)], "what it spawned knows");
    assert_eq!(tasks.running(), 0);
    sleep(seconds(1200)).await;
    assert_eq!(seen.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_start_runs_no_task() {
    let (world, seen) = (World::default(), Seen::new());
    let note = seen.clone();
    let hook = || async {
        std::future::pending::<()>().await;
        Ok(())
    };
    let service = service(&world).after_start(hook);
    let service = service.every(seconds(1), move |_cx| {
        note.note("begun");
        async { Ok(()) }
    });
    service.run_until(sleep(seconds(5))).await.unwrap();
    assert_eq!(seen.all(), []);
}

#[tokio::test]
async fn a_task_without_a_time_between_runs_is_refused() {
    let world = World::default();
    let never = |_cx: Context| async { Result::Ok(()) };
    let service = service(&world).every(Duration::ZERO, never);
    assert_eq!(service.start().await.unwrap_err().code(), 400);
}
