//! Calls leave a node that was found to answer nobody, where they may.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::client::RetryBudget;
use micro_runtime::error::why::Cause;
use tokio::time::Instant;

use super::fleet::{Fleet, Mood, Told, seeds};
use super::scripted::Setup;

/// How long calls take that find out: until the node is asked, the question, and a connection.
const FOUND_OUT: Duration = Duration::from_millis(200 + 1000 + 1000 + 20);
/// How long tries wait by default.
const TRY: Duration = Duration::from_secs(5);

/// How long a call took, and its error.
type Ended = (Duration, Option<Error>);

/// A hundred calls a second for two seconds; how long the slowest took, and what failed.
async fn load(fleet: &Fleet, idempotent: bool) -> (Duration, Vec<Error>) {
    let ended: Arc<Mutex<Vec<Ended>>> = Arc::default();
    let call = |setup: &Setup| {
        let call = match idempotent {
            true => setup.call().idempotent(),
            false => setup.call(),
        };
        let ended = ended.clone();
        async move {
            let began = Instant::now();
            let failed = call.await.err();
            ended.lock().unwrap().push((began.elapsed(), failed));
            Ok(())
        }
    };
    fleet.load(100, Duration::from_secs(2), call, |_| {}).await;
    let ended = std::mem::take(&mut *ended.lock().unwrap());
    let slowest = ended.iter().map(|(took, _)| *took).max().unwrap();
    (
        slowest,
        ended.into_iter().filter_map(|(_, failed)| failed).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn idempotent_calls_do_not_wait_for_a_node_that_answers_nobody() {
    for seed in seeds(3) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        fleet.set(1, Mood::Silent);
        let (slowest, errors) = load(&fleet, true).await;
        println!("seed {seed}: the slowest took {slowest:?}");
        assert!(errors.is_empty(), "{errors:?}");
        assert!(fleet.met_since(0) > 0, "{}", fleet.met_since(0));
        assert!(slowest <= FOUND_OUT, "{slowest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_may_have_run_are_waited_for() {
    let fleet = Fleet::new(3, 1).await;
    fleet.set(1, Mood::Silent);
    let (slowest, errors) = load(&fleet, false).await;
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|error| Cause::of(error) == Cause::Silent));
    assert!(slowest >= TRY, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_leave_than_the_budget_pays_for() {
    let budget = RetryBudget::percent(0).at_least(3);
    let fleet = Fleet::with(3, 1, |options| options.call.retry_budget = Some(budget)).await;
    fleet.set(1, Mood::Silent);
    let (slowest, errors) = load(&fleet, true).await;
    assert_eq!(errors.len() + 3, fleet.met_since(0));
    // The others wait as long as they may.
    assert!(slowest >= TRY, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_handlers_take_long_is_not_left() {
    let fleet = Fleet::new(3, 1).await;
    fleet.set(1, Mood::Slow);
    let (slowest, errors) = load(&fleet, true).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert!(slowest >= Duration::from_secs(2), "{slowest:?}");
    let asked = fleet.setup.asked();
    assert_eq!(asked, 201, "no call was sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_is_not_left_by_calls_that_it_answers() {
    let fleet = Fleet::new(3, 1).await;
    fleet.set(1, Mood::Drains);
    let (slowest, errors) = load(&fleet, true).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert!(slowest >= Duration::from_secs(1), "{slowest:?}");
    assert_ne!(
        fleet.entries[1].back_at(),
        0,
        "it was left alone, and its answers brought it back"
    );
    assert_eq!(fleet.setup.asked(), 201, "no call was sent twice");
}
