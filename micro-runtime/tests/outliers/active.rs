//! Nodes that are asked whether they are well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::Result;
use micro_runtime::client::{HealthCheck, Outliers};
use micro_runtime::error::why::Cause;
use micro_runtime::registry::{RegisterOptions, Registry, Service, Standing, Watcher};
use tokio::time::sleep;

use crate::fleet::{Fleet, Mood, Told, idempotent, plain, seeds};
use crate::scripted::{ASKED, Answer, DIALLED, Setup};

const SECOND: Duration = Duration::from_secs(1);

async fn checked(count: usize, seed: u64) -> Fleet {
    Fleet::with(count, seed, |options| {
        options.health_check = Some(HealthCheck::debug().interval(SECOND));
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_no_gets_no_calls_until_it_says_yes_again() {
    for seed in seeds(3) {
        let _told = Told(seed);
        let fleet = checked(3, seed).await;
        fleet.set(1, Mood::Unwell);
        // Three questions, one a second and up to a tenth more, begun at any time in the first.
        sleep(SECOND * 5).await;
        let standing = fleet.standing(1);
        assert!(
            matches!(
                standing,
                Standing::Ejected(_, Cause::Answered | Cause::Refused, 1)
            ),
            "{standing:?}"
        );
        let at = fleet.now();
        fleet
            .load(200, SECOND * 30, plain, |fleet| {
                assert_eq!(fleet.out(), 1);
            })
            .await;
        assert_eq!(fleet.met_since(at), 0);

        fleet.set(1, Mood::Well);
        sleep(SECOND * 3).await;
        assert_eq!(fleet.standing(1), Standing::In);
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_say_no_no_more_than_the_share_is_left_alone() {
    let fleet = checked(10, 1).await;
    for node in 0..10 {
        fleet.set(node, Mood::Unwell);
    }
    let most = AtomicUsize::new(0);
    let look = |fleet: &Fleet| {
        most.fetch_max(fleet.out(), Ordering::Relaxed);
    };
    let failed = fleet.load(100, SECOND * 20, plain, look).await;
    assert_eq!((failed, most.into_inner()), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn checks_count_though_calls_are_to_tell_nothing() {
    let fleet = Fleet::with(4, 1, |options| {
        options.outliers = Outliers::off();
        options.health_check = Some(HealthCheck::debug().interval(SECOND));
    })
    .await;
    fleet.set(1, Mood::Unwell);
    sleep(SECOND * 5).await;
    assert!(matches!(fleet.standing(1), Standing::Ejected(..)));
    for node in 0..4 {
        fleet.set(node, Mood::Unwell);
    }
    sleep(SECOND * 5).await;
    assert_eq!(fleet.out(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_anew_to_a_node_that_answers_when_asked() {
    let questions = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counts = questions.clone();
    let behaviour = move |_: &str, number: usize| {
        let asked = [ASKED, DIALLED].iter().position(|kind| *kind == number);
        match asked {
            Some(kind) => {
                counts[kind].fetch_add(1, Ordering::Relaxed);
                Answer::Echo
            }
            None => Answer::After(SECOND),
        }
    };
    let setup = Setup::new(&["a", "b"], behaviour).await;
    setup.call().await.unwrap();
    let counts = questions
        .each_ref()
        .map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 0]);
}

/// A registry that takes a second to tell.
#[derive(Debug)]
struct Slow(Arc<dyn Registry>);

#[async_trait]
impl Registry for Slow {
    fn name(&self) -> &str {
        "slow"
    }
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.0.register(service, options).await
    }
    async fn deregister(&self, service: &Service) -> Result<()> {
        self.0.deregister(service).await
    }
    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        sleep(SECOND).await;
        self.0.get(name).await
    }
    async fn list(&self) -> Result<Vec<Service>> {
        self.0.list().await
    }
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.0.watch(name).await
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_are_asked_though_the_first_call_was_in_a_hurry() {
    let questions = Arc::new(AtomicUsize::new(0));
    let asked = questions.clone();
    let behaviour = move |_: &str, number: usize| {
        asked.fetch_add(usize::from(number == ASKED), Ordering::Relaxed);
        Answer::Echo
    };
    let setup = Setup::with(&["a", "b"], behaviour, |options| {
        options.health_check = Some(HealthCheck::debug().interval(SECOND));
        options.registry = Arc::new(Slow(options.registry.clone()));
    })
    .await;
    let hurried = setup.call().timeout(SECOND / 10);
    assert_eq!(hurried.await.unwrap_err().code(), 408);
    sleep(SECOND * 5).await;
    setup.call().await.unwrap();
    sleep(SECOND * 5).await;
    assert!(questions.load(Ordering::Relaxed) >= 8);
}

#[tokio::test(start_paused = true)]
async fn questions_are_spread_and_end_with_the_client() {
    let count = 1_000;
    let fleet = checked(count, 1).await;
    sleep(SECOND * 4).await;
    let asked = std::mem::take(&mut *fleet.questions.lock().unwrap());
    assert!(
        (2 * count..=4 * count).contains(&asked.len()),
        "{}",
        asked.len()
    );
    for window in asked.windows(100) {
        let [(first, _), .., (last, _)] = window else {
            unreachable!();
        };
        assert!(
            last - first >= 50,
            "a hundred questions within {} ms",
            last - first
        );
    }
    let questions = fleet.questions.clone();
    drop(fleet);
    sleep(SECOND * 2).await;
    questions.lock().unwrap().clear();
    sleep(SECOND * 10).await;
    assert_eq!(*questions.lock().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_nobody_calls_any_more_are_not_asked_any_more() {
    let fleet = checked(3, 1).await;
    sleep(SECOND * 3600).await;
    fleet.questions.lock().unwrap().clear();
    sleep(SECOND * 60).await;
    assert_eq!(*fleet.questions.lock().unwrap(), []);
    // With the next call they are.
    fleet.load(1, SECOND * 5, idempotent, |_| {}).await;
    assert!(fleet.questions.lock().unwrap().len() > 6);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_wrong_and_none_is_wanted_nobody_is_asked() {
    let fleet = Fleet::new(3, 1).await;
    fleet.load(100, SECOND * 60, plain, |_| {}).await;
    assert_eq!(*fleet.questions.lock().unwrap(), []);
}
