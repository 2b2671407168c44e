//! Calls that go to another node before the first has failed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::{Backoff, Frame, Hedge, Retry};
use micro_runtime::client::RetryBudget;
use micro_runtime::error::why::Cause;
use micro_runtime::selector::Strategy;
use tokio::time::Instant;

use crate::scripted::{Answer, Setup, cut, refused};

const DELAY: Duration = Duration::from_millis(50);

/// Answers by the number of the try, whichever node it goes to.
fn in_turn(answers: Vec<Answer>) -> impl Fn(&str, usize) -> Answer + Send + Sync + 'static {
    let next = AtomicUsize::new(0);
    move |_, _| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        answers.get(number).cloned().unwrap_or(Answer::Never)
    }
}

fn millis(number: u64) -> Answer {
    Answer::After(Duration::from_millis(number))
}

async fn three(answers: Vec<Answer>) -> Setup {
    Setup::new(&["a", "b", "c"], in_turn(answers)).await
}

#[tokio::test(start_paused = true)]
async fn a_quick_answer_asks_nobody_else() {
    let setup = three(vec![millis(49)]).await;
    setup.call().idempotent().hedge(DELAY).await.unwrap();
    assert_eq!(setup.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_counts_and_the_other_try_is_given_up() {
    let setup = three(vec![Answer::Never, millis(10)]).await;
    let began = Instant::now();
    let explained = setup.call().idempotent().hedge(DELAY).explain().await;
    explained.result.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(60));
    let asked = setup.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0], asked[1], "another node");
    let ends: Vec<_> = explained
        .why
        .attempts()
        .map(|attempt| {
            let cause = attempt.result.as_ref().err().map(|failure| failure.cause);
            (attempt.address.to_string(), attempt.began, cause)
        })
        .collect();
    assert_eq!(
        ends,
        [
            (asked[0].clone(), Duration::ZERO, Some(Cause::GivenUp)),
            (asked[1].clone(), DELAY, None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win() {
    let setup = three(vec![millis(60), millis(20)]).await;
    let began = Instant::now();
    setup.call().idempotent().hedge(DELAY).await.unwrap();
    assert_eq!((began.elapsed().as_millis(), setup.asked()), (60, 2));
}

#[tokio::test(start_paused = true)]
async fn a_failure_asks_the_next_at_once() {
    let setup = three(vec![Answer::Fail(cut()), millis(5)]).await;
    let began = Instant::now();
    setup.call().idempotent().hedge(DELAY).await.unwrap();
    assert_eq!((began.elapsed().as_millis(), setup.asked()), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_does_not_end_the_call_while_another_runs() {
    let setup = three(vec![
        millis(100),
        Answer::Fail(cut()),
        Answer::Fail(cut()),
        Answer::Fail(cut()),
    ])
    .await;
    let began = Instant::now();
    let call = setup
        .call()
        .idempotent()
        .hedge(DELAY)
        .retries(2)
        .backoff(Backoff::Custom(std::sync::Arc::new(|_| Duration::ZERO)));
    call.await.unwrap();
    assert_eq!((began.elapsed().as_millis(), setup.asked()), (100, 3));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_was_said() {
    for (at_once, asked) in [(1, 1), (2, 2), (3, 3)] {
        let setup = Setup::new(&["a", "b", "c", "d"], |_, _| Answer::Never).await;
        let hedge = Hedge::after(DELAY).at_once(at_once);
        let call = setup
            .call()
            .idempotent()
            .hedge(hedge)
            .timeout(Duration::from_secs(1));
        let error = call.await.unwrap_err();
        assert_eq!(error.code(), 408);
        assert_eq!(setup.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_not_asked_twice_at_once() {
    let setup = Setup::new(&["a"], |_, _| millis(200)).await;
    setup.call().idempotent().hedge(DELAY).await.unwrap();
    assert_eq!(setup.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answered_error_ends_the_call() {
    let setup = three(vec![
        Answer::Never,
        Answer::Fail(Error::not_found("greeter", "nobody")),
    ])
    .await;
    let error = setup.call().idempotent().hedge(DELAY).await.unwrap_err();
    assert_eq!((error.code(), setup.asked()), (404, 2));
    let causes: Vec<_> = error
        .attempts()
        .map(|attempt| attempt.result.as_ref().unwrap_err().cause)
        .collect();
    assert_eq!(causes, [Cause::GivenUp, Cause::Answered]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_ends_no_call_that_another_may_answer_and_none_else_is_asked() {
    let busy = || Error::unavailable("greeter", "busy");
    for (retry, error) in [
        (Retry::Never, cut()),
        (Retry::Never, busy()),
        (Retry::Safe, busy()),
    ] {
        let setup = three(vec![millis(100), Answer::Fail(error)]).await;
        let began = Instant::now();
        let call = setup.call().idempotent().hedge(DELAY).retries(5);
        call.retry(retry.clone()).await.unwrap();
        assert_eq!((began.elapsed().as_millis(), setup.asked()), (100, 2));
        // Nor where that fails, too.
        let lost = Answer::FailAfter(Duration::from_millis(100), cut());
        let setup = three(vec![lost, Answer::Fail(busy()), millis(1)]).await;
        let call = setup.call().idempotent().hedge(DELAY).retries(5);
        let error = call.retry(retry).await.unwrap_err();
        assert_eq!((Cause::of(&error), setup.asked()), (Cause::Lost, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn hedges_cost_the_budget() {
    let setup = Setup::with(
        &["a", "b", "c"],
        |_, _| millis(100),
        |options| {
            options.selector = Strategy::RoundRobin;
            options.call.retry_budget = Some(RetryBudget::percent(20).at_least(0));
            options.call.hedge = Some(Hedge::after(DELAY));
        },
    )
    .await;
    for _ in 0..50 {
        setup.call().idempotent().await.unwrap();
    }
    assert_eq!(setup.asked(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_met_nobody_is_free() {
    let setup = Setup::with(
        &["a", "b", "c", "d"],
        in_turn(vec![
            millis(500),
            Answer::Fail(refused()),
            Answer::Fail(refused()),
            millis(10),
        ]),
        |options| options.call.retry_budget = Some(RetryBudget::percent(0).at_least(1)),
    )
    .await;
    setup.call().idempotent().hedge(DELAY).await.unwrap();
    assert_eq!(setup.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn calls_that_could_do_harm_are_refused_where_they_ask_for_it() {
    let setup = three(vec![millis(0)]).await;
    let error = setup.call().hedge(DELAY).await.unwrap_err();
    assert_eq!((error.code(), setup.asked()), (400, 0));
    assert!(error.detail().contains(".idempotent()"), "{error}");
    assert!(
        error
            .why()
            .unwrap()
            .refusals()
            .any(|refusal| refusal.by == "policy")
    );
}

#[tokio::test(start_paused = true)]
async fn the_clients_own_hedging_is_for_idempotent_methods() {
    let setup = Setup::with(
        &["a", "b", "c"],
        |_, _| millis(200),
        |options| options.call.hedge = Some(Hedge::after(DELAY)),
    )
    .await;
    setup.call().await.unwrap();
    assert_eq!(setup.asked(), 1);
    setup.call().idempotent().await.unwrap();
    assert_eq!(setup.asked(), 3);
    // Streams are opened once.
    let stream = setup
        .client
        .target("greeter")
        .server_stream::<_, Frame>("Say.Count", Frame("hi".into()));
    let _ = stream.idempotent().await;
    assert_eq!(setup.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_ends_at_its_deadline_and_says_what_it_tried() {
    let setup = Setup::new(&["a", "b", "c"], |_, _| Answer::Never).await;
    let began = Instant::now();
    let call = setup
        .call()
        .idempotent()
        .hedge(DELAY)
        .attempt_timeout(Duration::from_millis(400))
        .backoff(Backoff::Custom(std::sync::Arc::new(|_| Duration::ZERO)));
    let error = call.timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(
        (error.code(), began.elapsed()),
        (408, Duration::from_secs(1))
    );
    assert!(error.attempts().count() >= 3, "{error:?}");
}
