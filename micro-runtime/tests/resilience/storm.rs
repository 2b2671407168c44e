//! A service half of whose answers fail: how much more its nodes get to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use micro_runtime::Error;
use micro_runtime::client::RetryBudget;
use micro_runtime::selector::Strategy;
use micro_runtime::tasks::Tasks;
use tokio::time::{Instant, sleep_until};

use crate::scripted::{Answer, Setup};

/// The seed of a run.
fn seed() -> u64 {
    crate::seeds::told(Tasks::new().number())
}

/// What a storm did: calls that were made, tries that came to nodes, calls that were answered.
#[derive(Debug, PartialEq, Eq)]
struct Storm {
    calls: usize,
    tries: usize,
    answered: usize,
}

/// Half a minute with 200 calls a second, of whose tries `failing` in a hundred fail.
async fn storm(seed: u64, nodes: usize, failing: u8, budget: Option<RetryBudget>) -> Storm {
    let names: Vec<_> = (0..nodes).map(|node| format!("n{node}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let behaviour = move |_: &str, _| {
        let mut random = random.lock().unwrap();
        let took = Duration::from_millis(random.u64(1..20));
        match random.u8(..100) < failing {
            true => Answer::FailAfter(
                took,
                Error::unavailable("go.micro.server", "too much to do").unprocessed(),
            ),
            false => Answer::After(took),
        }
    };
    let tasks = Tasks::seeded(seed, SystemTime::UNIX_EPOCH);
    let setup = Setup::with(&names, behaviour, |options| {
        options.selector = Strategy::Random;
        options.tasks = tasks.clone();
        options.call.retry_budget = budget;
    })
    .await;
    let answered = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let calls = 30 * 200;
    let running = tasks.group();
    for number in 0..calls {
        sleep_until(began + Duration::from_millis(5) * number).await;
        let (call, answered) = (setup.call(), answered.clone());
        running.spawn(async move {
            if call.await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    running.idle().await;
    Storm {
        calls: calls as usize,
        tries: setup.asked(),
        answered: answered.load(Ordering::Relaxed),
    }
}

#[tokio::test(start_paused = true)]
async fn the_load_of_a_service_that_fails_rises_by_a_fifth_at_most() {
    let seed = seed();
    for nodes in [1, 3, 100, 10_000] {
        let found = storm(seed, nodes, 50, Some(RetryBudget::default())).await;
        eprintln!("{nodes} nodes: {found:?}");
        // The floor is of the first seconds, before there are fifty calls.
        let most = found.calls + found.calls / 5 + 10;
        assert!(found.tries <= most, "{nodes} nodes, seed {seed}: {found:?}");
        // And the budget is made use of: most of it, and half of what is tried again is answered.
        assert!(
            found.tries >= found.calls * 117 / 100,
            "seed {seed}: {found:?}"
        );
        assert!(
            found.answered >= found.calls * 57 / 100,
            "seed {seed}: {found:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_it_doubles() {
    let seed = seed();
    let found = storm(seed, 3, 50, None).await;
    assert!(
        found.tries > found.calls * 19 / 10,
        "seed {seed}: {found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_are_all_tried_again() {
    let seed = seed();
    let found = storm(seed, 3, 5, Some(RetryBudget::default())).await;
    assert_eq!(found.answered, found.calls, "seed {seed}: {found:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_storm() {
    let seed = seed();
    let budget = Some(RetryBudget::default());
    let first = storm(seed, 3, 50, budget).await;
    assert_eq!(first, storm(seed, 3, 50, budget).await, "seed {seed}");
}
