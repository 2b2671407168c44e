//! When a try ends, and when the call.

use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::{Backoff, Frame};
use tokio::time::Instant;

use crate::scripted::{Answer, Setup, cut};

#[tokio::test(start_paused = true)]
async fn a_try_gets_no_more_than_what_is_left_of_the_call() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Never).await;
    let began = Instant::now();
    let call = setup
        .call()
        .idempotent()
        .attempt_timeout(Duration::from_secs(3));
    let error = call.timeout(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.detail(), "call timeout: context deadline exceeded");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let took: Vec<_> = error
        .attempts()
        .map(|attempt| attempt.took.as_secs())
        .collect();
    assert_eq!(took, [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn no_try_begins_that_cannot_be_answered_in_time() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Fail(cut())).await;
    let began = Instant::now();
    let pause =
        |micros| Backoff::Custom(std::sync::Arc::new(move |_| Duration::from_micros(micros)));
    let call = || setup.call().idempotent().timeout(Duration::from_secs(1));
    let error = call().backoff(pause(999_500)).await.unwrap_err();
    assert_eq!((error.code(), setup.asked()), (408, 1));
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "nothing is waited for in vain"
    );
    let refusal = error.why().unwrap().refusals().next().unwrap().clone();
    assert_eq!(refusal.by, "deadline");
    call().backoff(pause(500_000)).retries(1).await.unwrap_err();
    assert_eq!(setup.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_streams_opening_is_bounded_by_the_try_and_by_the_call() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Never).await;
    let target = setup.client.target("greeter");
    let open = || target.server_stream::<_, Frame>("Say.Count", Frame("hi".into()));
    let began = Instant::now();
    open().await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(5), "the try");
    let began = Instant::now();
    let error = open().timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(
        (error.code(), began.elapsed()),
        (408, Duration::from_secs(2))
    );
    let began = Instant::now();
    let call = open().idempotent().attempt_timeout(Duration::from_secs(1));
    call.timeout(Duration::from_millis(2_500))
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_millis(2_500));
}

#[tokio::test(start_paused = true)]
async fn a_servers_word_that_the_time_is_up_is_no_answer() {
    // It was told the try's limit, and noticed first.
    let setup = Setup::new(&["slow", "quick"], |address, _| match address {
        "slow" => Answer::FailAfter(
            Duration::from_millis(999),
            Error::timeout("go.micro.server", "the deadline passed"),
        ),
        _ => Answer::Echo,
    })
    .await;
    for _ in 0..4 {
        let call = setup
            .call()
            .idempotent()
            .attempt_timeout(Duration::from_secs(1));
        call.await.unwrap();
    }
}
