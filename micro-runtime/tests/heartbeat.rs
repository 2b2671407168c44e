//! How a service stays known to its registry, whatever the registry and the service's check do.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::registry::{Action, Registry};
use micro_runtime::service::Running;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Transport;
use micro_runtime::{Error, Service};
use support::moody::{FORBIDS, GOOD, MUTE, Moody, REFUSES, SILENT, SLOW};
use support::{Say, World, frame};
use tokio::time::{Instant, sleep};

fn echo() -> Say {
    Say::hello(|_, frame| async move { Ok(frame) })
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// A check that says what it is told, and counts.
#[derive(Clone, Default)]
struct Check {
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Check {
    fn set(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn on(&self, service: Service) -> Service {
        let this = self.clone();
        service.register_check(move || {
            let this = this.clone();
            async move {
                this.asked.fetch_add(1, Ordering::SeqCst);
                match this.fails.load(Ordering::SeqCst) {
                    true => Err(Error::internal("check", "the database is gone")),
                    false => Ok(()),
                }
            }
        })
    }
}

fn service(world: &World, registry: &Moody) -> Service {
    world.service("a", "braid").registry(registry.clone())
}

/// Whoever knows its address is answered.
async fn serves(running: &Running) {
    let call = running.client().request("a", "Say.Hello", frame("x"));
    call.address(running.address().to_owned()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failing_check_takes_the_node_out_once_and_a_healed_one_back_once() {
    let (world, registry, check) = (World::default(), Moody::default(), Check::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut watcher, note) = (registry.watch(Some("a")).await.unwrap(), seen.clone());
    let watching = Tasks::new();
    watching.spawn(async move {
        while let Ok(event) = watcher.next().await {
            note.lock().unwrap().push(event.action);
        }
    });
    let running = check.on(service(&world, &registry)).handle(echo());
    let running = running.start().await.unwrap();
    assert_eq!(check.asked.load(Ordering::SeqCst), 1, "before registering");
    sleep(seconds(95)).await;
    assert_eq!(registry.counts(), (4, 0), "once, and at each interval");

    check.set(true);
    sleep(seconds(150)).await;
    assert_eq!(registry.counts(), (4, 1), "out once, and not renewed");
    assert!(registry.get("a").await.is_err());
    assert_eq!(check.asked.load(Ordering::SeqCst), 9);
    // It serves all the same.
    serves(&running).await;

    check.set(false);
    sleep(seconds(30)).await;
    assert_eq!(registry.counts(), (5, 1), "back once");
    assert_eq!(registry.get("a").await.unwrap().len(), 1);
    sleep(seconds(60)).await;
    assert_eq!(registry.counts(), (7, 1));

    running.stop().await.unwrap();
    sleep(seconds(1)).await;
    let expected = [
        Action::Create,
        Action::Delete,
        Action::Create,
        Action::Delete,
    ];
    assert_eq!(
        *seen.lock().unwrap(),
        expected,
        "nobody has seen the node flap"
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_has_failed() {
    let hangs = || Box::pin(std::future::pending()) as std::pin::Pin<Box<_>>;
    for panics in [false, true] {
        let (world, registry) = (World::default(), Moody::default());
        let bad = Arc::new(AtomicBool::new(false));
        let asked = bad.clone();
        let running = service(&world, &registry).register_check(move || {
            let bad = asked.load(Ordering::SeqCst);
            let never = hangs();
            async move {
                match (bad, panics) {
                    (true, true) => panic!("the check is broken"),
                    (true, false) => never.await,
                    _ => Ok(()),
                }
            }
        });
        let running = running.handle(echo()).start().await.unwrap();
        bad.store(true, Ordering::SeqCst);
        sleep(seconds(41)).await;
        assert_eq!(registry.counts(), (1, 1), "panics: {panics}");
        bad.store(false, Ordering::SeqCst);
        sleep(seconds(31)).await;
        assert_eq!(registry.counts(), (2, 1), "panics: {panics}");
        running.stop().await.unwrap();
        assert_eq!(registry.counts(), (2, 2), "panics: {panics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_check_fails_at_its_start_serves_and_is_registered_later() {
    let (world, registry, check) = (World::default(), Moody::default(), Check::default());
    check.set(true);
    let running = check.on(service(&world, &registry)).handle(echo());
    let running = running.start().await.unwrap();
    serves(&running).await;
    sleep(seconds(20)).await;
    assert_eq!(registry.counts(), (0, 0));
    check.set(false);
    sleep(seconds(31)).await;
    assert_eq!(registry.get("a").await.unwrap().len(), 1);
    running.stop().await.unwrap();
    assert!(registry.get("a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_got_well_is_never_deregistered() {
    let (world, registry, check) = (World::default(), Moody::default(), Check::default());
    check.set(true);
    let running = check.on(service(&world, &registry)).start().await.unwrap();
    sleep(seconds(100)).await;
    running.stop().await.unwrap();
    assert_eq!(registry.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_check() {
    for at_start in [true, false] {
        let (world, registry, check) = (World::default(), Moody::default(), Check::default());
        let hang = Arc::new(AtomicBool::new(at_start));
        let asked = hang.clone();
        let service = check
            .on(service(&world, &registry))
            .register_check(move || {
                let hang = asked.load(Ordering::SeqCst);
                async move {
                    match hang {
                        true => std::future::pending().await,
                        false => Ok(()),
                    }
                }
            });
        let stop = async {
            sleep(seconds(3)).await;
            hang.store(true, Ordering::SeqCst);
            // Between two checks, and at the start within one.
            sleep(seconds(if at_start { 0 } else { 29 })).await;
        };
        let since = Instant::now();
        service.run_until(stop).await.unwrap();
        let took = if at_start { 3 } else { 32 };
        assert_eq!(since.elapsed(), seconds(took), "at the start: {at_start}");
        assert!(registry.list().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_does_not_keep_a_service_from_starting() {
    for (mood, within, asked) in [(REFUSES, 1, 3), (SILENT, 11, 1)] {
        let (world, registry) = (World::default(), Moody::default());
        registry.set(mood);
        let since = Instant::now();
        let running = service(&world, &registry).handle(echo()).start().await;
        let running = running.unwrap();
        assert!(since.elapsed() < seconds(within), "{:?}", since.elapsed());
        assert_eq!(registry.counts().0, asked);
        serves(&running).await;

        sleep(seconds(300)).await;
        let tries = registry.counts().0 - asked;
        assert!((7..40).contains(&tries), "{tries} tries in five minutes");
        registry.set(GOOD);
        sleep(seconds(41)).await;
        assert_eq!(registry.get("a").await.unwrap().len(), 1);
        running.stop().await.unwrap();
        assert!(registry.get("a").await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_was_done_without_an_answer_is_undone_at_the_stop() {
    let (world, registry) = (World::default(), Moody::default());
    registry.set(MUTE);
    let running = service(&world, &registry).start().await.unwrap();
    assert_eq!(registry.get("a").await.unwrap().len(), 1);
    registry.set(GOOD);
    running.stop().await.unwrap();
    assert!(registry.get("a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_renewal_is_not_undone_by_it() {
    let (world, registry) = (World::default(), Moody::default());
    let running = service(&world, &registry).start().await.unwrap();
    registry.set(SLOW);
    let (asked, _) = registry.counts();
    while registry.counts().0 == asked {
        sleep(seconds(1)).await;
    }
    running.stop().await.unwrap();
    sleep(seconds(5)).await;
    assert!(registry.get("a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_registry_refuses_fails_at_once_and_leaves_nothing() {
    let (world, registry, tasks) = (World::default(), Moody::default(), Tasks::new());
    registry.set(FORBIDS);
    let service = service(&world, &registry).address("here:1");
    let since = Instant::now();
    let error = service.tasks(tasks.clone()).handle(echo()).start().await;
    assert_eq!(error.unwrap_err().code(), 403);
    assert!(since.elapsed() < seconds(1), "{:?}", since.elapsed());
    assert_eq!(registry.counts().0, 1, "it would refuse again");
    sleep(Duration::from_millis(1)).await;
    world.network.listen("here:1").await.unwrap();
    assert_eq!(tasks.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_renewal_does_not_end_a_service() {
    let (world, registry) = (World::default(), Moody::default());
    let running = service(&world, &registry).handle(echo()).start().await;
    let running = running.unwrap();
    registry.set(FORBIDS);
    sleep(seconds(50)).await;
    registry.set(GOOD);
    sleep(seconds(8)).await;
    assert_eq!(registry.get("a").await.unwrap().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_without_an_interval_is_registered_once_and_for_all() {
    let (world, registry) = (World::default(), Moody::default());
    let service = service(&world, &registry)
        .register_ttl(Duration::ZERO)
        .register_interval(Duration::ZERO);
    let running = service.start().await.unwrap();
    sleep(seconds(600)).await;
    assert_eq!(registry.counts(), (1, 0));
    assert_eq!(registry.get("a").await.unwrap().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_has_forgotten_a_service_is_told_again_within_the_interval() {
    let world = World::default();
    let service = world
        .service("a", "braid")
        .register_interval(Duration::from_secs(20));
    let running = service.handle(echo()).start().await.unwrap();
    world.registry.deregister(running.entry()).await.unwrap();
    assert!(world.registry.get("a").await.is_err());
    sleep(Duration::from_secs(21)).await;
    assert_eq!(world.registry.get("a").await.unwrap().len(), 1);
    running.stop().await.unwrap();
    assert!(world.registry.get("a").await.is_err());
    sleep(Duration::from_secs(60)).await;
    assert!(
        world.registry.get("a").await.is_err(),
        "nothing renews it after the stop"
    );
}

#[tokio::test(start_paused = true)]
async fn one_failed_renewal_does_not_end_a_registration() {
    let registry = Moody::default();
    let service = World::default()
        .service("a", "braid")
        .registry(registry.clone());
    let running = service.handle(echo()).start().await.unwrap();
    sleep(Duration::from_secs(29)).await;
    registry.set(REFUSES);
    sleep(Duration::from_secs(2)).await;
    registry.set(GOOD);
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(registry.get("a").await.unwrap().len(), 1);
    }
    running.stop().await.unwrap();
}
