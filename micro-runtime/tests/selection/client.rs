//! What a client's own calls tell it of its nodes.

use std::time::{Duration, SystemTime};

use micro_runtime::tasks::Tasks;

use crate::fleet::seed;
use crate::scripted::{Answer, Setup};

/// How many of 200 calls, one after the other, went to the node `odd:1` of two.
async fn calls_to_the_odd(odd: impl Fn() -> Answer + Send + Sync + 'static) -> usize {
    let answer = move |address: &str, _| match address {
        "odd:1" => odd(),
        _ => Answer::After(Duration::from_millis(10)),
    };
    let seed = seed();
    let setup = Setup::with(&["odd:1", "even:1"], answer, |options| {
        options.tasks = Tasks::seeded(seed, SystemTime::UNIX_EPOCH);
    })
    .await;
    for _ in 0..200 {
        let _ = setup.call().await;
    }
    let asked = setup.asked.lock().unwrap();
    asked.iter().filter(|address| *address == "odd:1").count()
}

#[tokio::test(start_paused = true)]
async fn a_clients_calls_go_round_a_slow_node() {
    let slow = || Answer::After(Duration::from_millis(100));
    let calls = calls_to_the_odd(slow).await;
    assert!((1..=5).contains(&calls), "{calls} of 200");
}

#[tokio::test(start_paused = true)]
async fn a_clients_calls_go_round_a_node_that_fails_fast() {
    let broken = || Answer::Fail(micro_runtime::Error::internal("say", "out of order"));
    let calls = calls_to_the_odd(broken).await;
    assert!((1..=20).contains(&calls), "{calls} of 200");
}

#[tokio::test(start_paused = true)]
async fn a_clients_calls_are_shared_between_nodes_that_are_alike() {
    let alike = || Answer::After(Duration::from_millis(10));
    let calls = calls_to_the_odd(alike).await;
    assert!((60..=140).contains(&calls), "{calls} of 200");
}
