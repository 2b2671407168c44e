//! How many further tries all calls to a service may make together.

use micro_runtime::Error;
use micro_runtime::call::{Frame, Retry};
use micro_runtime::client::RetryBudget;
use micro_runtime::error::why::Cause;

use crate::scripted::{Answer, Setup, cut, refused};

/// A node that takes no more calls.
fn full() -> Error {
    Error::unavailable("go.micro.server", "9 calls run already").unprocessed()
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_with_its_own_error_when_the_budget_is_used_up() {
    let setup = Setup::new(&["a", "b", "c"], |_, _| Answer::Fail(full())).await;
    for _ in 0..2 {
        setup.call().await.unwrap_err();
    }
    assert_eq!(
        setup.asked(),
        12,
        "ten further tries in ten seconds are free"
    );
    let error = setup.call().await.unwrap_err();
    assert_eq!((error.code(), setup.asked()), (503, 13));
    let refusals: Vec<_> = error.why().unwrap().refusals().collect();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].by, "budget");
    assert_eq!(
        refusals[0].words,
        "10 further tries were made in the last 10 s, of 10 that 3 calls allow"
    );
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_one_for_all_who_call_the_service() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Fail(full())).await;
    let one = setup.client.target("greeter");
    for _ in 0..2 {
        let call = one.unary::<_, Frame>("Say.Hello", Frame("hi".into()));
        call.await.unwrap_err();
    }
    // By another handle to the same name.
    setup.call().await.unwrap_err();
    assert_eq!(setup.asked(), 13);
}

#[tokio::test(start_paused = true)]
async fn it_fills_again_with_time_and_with_calls() {
    let setup = Setup::with(
        &["a", "b"],
        |_, call| match call < 4 {
            true => Answer::Fail(full()),
            false => Answer::Echo,
        },
        |options| {
            options.selector = micro_runtime::selector::Strategy::RoundRobin;
            options.call.retry_budget = Some(RetryBudget::percent(50).at_least(0));
        },
    )
    .await;
    setup.call().await.unwrap_err();
    assert_eq!(setup.asked(), 1, "one call has no half of a try");
    setup.call().await.unwrap_err();
    assert_eq!(setup.asked(), 3, "two calls have one");
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    setup.call().await.unwrap_err();
    assert_eq!(setup.asked(), 4, "both are forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_met_nobody_costs_nothing() {
    let setup = Setup::with(
        &["a"],
        |_, _| Answer::Fail(refused()),
        |options| options.call.retry_budget = Some(RetryBudget::percent(0).at_least(0)),
    )
    .await;
    let error = setup.call().await.unwrap_err();
    assert_eq!(setup.asked(), 6);
    assert!(
        error
            .attempts()
            .all(|attempt| { attempt.result.as_ref().unwrap_err().cause == Cause::Unreachable })
    );
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_paid_for_and_met_nobody_pays_for_the_next() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let setup = Setup::with(
        &["a", "b", "c"],
        move |_, _| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Answer::Fail(full()),
            1 => Answer::Fail(refused()),
            _ => Answer::Echo,
        },
        |options| options.call.retry_budget = Some(RetryBudget::percent(0).at_least(1)),
    )
    .await;
    setup.call().await.unwrap();
    assert_eq!(setup.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn it_holds_whatever_the_policy_and_can_be_turned_off() {
    let slow = |_: &str, _| Answer::Fail(Error::timeout("greeter", "slow"));
    let setup = Setup::new(&["a"], slow).await;
    for _ in 0..10 {
        setup.call().retry(Retry::GoMicro).await.unwrap_err();
    }
    assert_eq!(setup.asked(), 20);

    let setup = Setup::with(&["a"], slow, |options| options.call.retry_budget = None).await;
    for _ in 0..10 {
        setup.call().retry(Retry::GoMicro).await.unwrap_err();
    }
    assert_eq!(setup.asked(), 60);
}

/// What a try may have ended with, and whether a call that is idempotent, or any call, is tried again.
type Case = (fn() -> Error, bool, bool);

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_follows_from_what_the_failure_says() {
    let cases: [Case; 7] = [
        (refused, true, true),
        (full, true, true),
        (
            || Error::too_many_requests("go.micro.server", "slow down").unprocessed(),
            true,
            true,
        ),
        (cut, true, false),
        (
            || Error::timeout("go.micro.client", "no answer within 5s"),
            true,
            false,
        ),
        (
            || Error::internal("go.micro.client", "no answer at all").caused_by(Cause::Garbled),
            true,
            false,
        ),
        (
            || Error::unavailable("greeter", "my own database is away"),
            false,
            false,
        ),
    ];
    for (error, idempotent, any) in cases {
        for (declared, expected) in [(true, idempotent), (false, any)] {
            let setup = Setup::new(&["bad", "good"], move |address, _| match address {
                "bad" => Answer::Fail(error()),
                _ => Answer::Echo,
            })
            .await;
            let mut again = true;
            // Both nodes are the first of one of them.
            for _ in 0..2 {
                let call = setup.call();
                let call = if declared { call.idempotent() } else { call };
                again &= call.await.is_ok();
            }
            assert_eq!(again, expected, "{} idempotent: {declared}", error());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_goes_elsewhere_when_its_reply_cannot_be_read() {
    let setup = Setup::new(&["bad", "good"], |address, _| match address {
        "bad" => Answer::Say(b"\xff garbage"),
        _ => Answer::Say(b"\x0a\x02hi"),
    })
    .await;
    let target = setup.client.target("greeter");
    let call = || target.unary::<_, String>("Say.Hello", Frame("".into()));
    for _ in 0..4 {
        assert_eq!(call().idempotent().await.unwrap(), "hi");
    }
    let mut failed = 0;
    for _ in 0..2 {
        match call().await {
            Ok(reply) => assert_eq!(reply, "hi"),
            Err(error) => {
                assert_eq!(error.id(), "go.micro.client.codec");
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 1, "a call that has run is not made again");
}
