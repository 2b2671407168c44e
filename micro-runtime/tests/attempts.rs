//! Which calls are tried again, where, and when they are given up.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "support/scripted.rs"]
mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::{Backoff, Body, Request, Retry};
use micro_runtime::error::why::Cause;
use micro_runtime::wrapper::{Next, from_fn};
use tokio::time::Instant;

use scripted::{Answer, Setup, cut, refused};

#[tokio::test(start_paused = true)]
async fn what_reached_nobody_goes_to_another_node() {
    let setup = Setup::new(&["a", "b", "c"], |address, _| {
        if address == "c" {
            Answer::Echo
        } else {
            Answer::Fail(refused())
        }
    })
    .await;
    for _ in 0..10 {
        assert_eq!(setup.call().await.unwrap().0, "hi");
    }
    // a and b were each found out once, and left alone from then on.
    assert_eq!(setup.asked(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_run_is_not_sent_again() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Fail(cut())).await;
    let error = setup.call().await.unwrap_err();
    assert_eq!((error.detail(), setup.asked()), ("unexpected EOF", 1));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_is_sent_again() {
    let setup = Setup::new(&["a", "b"], |_, call| {
        if call == 0 {
            Answer::Fail(cut())
        } else {
            Answer::Echo
        }
    })
    .await;
    assert_eq!(setup.call().idempotent().await.unwrap().0, "hi");
    assert_eq!(
        setup.asked(),
        3,
        "both nodes fail once, then the first answers"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_refuses_may_have_run() {
    let proxy = || {
        Error::new("go.micro.client.transport", "503 Service Unavailable", 503)
            .caused_by(Cause::Refused)
    };
    let setup = Setup::new(&["a", "b"], move |address, _| match address {
        "a" => Answer::Fail(proxy()),
        _ => Answer::Echo,
    })
    .await;
    let error = setup.call().await.unwrap_err();
    assert_eq!((error.code(), setup.asked()), (503, 1));
    let words = &error.why().unwrap().refusals().next().unwrap().words;
    assert_eq!(
        words,
        "the call may have run, and is not marked as idempotent"
    );
    for _ in 0..4 {
        assert_eq!(setup.call().idempotent().await.unwrap().0, "hi");
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_error_is_never_tried_again() {
    let setup = Setup::new(&["a", "b"], |_, _| {
        Answer::Fail(Error::internal("greeter", "broken"))
    })
    .await;
    assert_eq!(setup.call().idempotent().await.unwrap_err().id(), "greeter");
    assert_eq!(setup.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_end_and_the_error_tells_each_try() {
    let setup = Setup::new(&["a"], |_, _| Answer::Fail(refused())).await;
    let error = setup.call().retries(2).await.unwrap_err();
    assert_eq!((setup.asked(), error.attempts().count()), (3, 3));
    assert!(
        error.attempts().all(|attempt| attempt.address == "a"
            && attempt
                .result
                .as_ref()
                .is_err_and(|failure| failure.error.contains("refused"))),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn go_micros_policy_tries_408_again_whatever_the_method() {
    let setup = Setup::new(&["a"], |_, call| {
        if call < 2 {
            Answer::Fail(Error::timeout("x", "slow"))
        } else {
            Answer::Echo
        }
    })
    .await;
    assert!(setup.call().await.is_err(), "our own policy does not");
    let started = Instant::now();
    setup
        .call()
        .retry(Retry::GoMicro)
        .backoff(Backoff::GoMicro)
        .await
        .unwrap();
    assert_eq!(
        started.elapsed(),
        Duration::from_millis(100),
        "the pause before the second try"
    );
}

#[tokio::test(start_paused = true)]
async fn the_attempt_timeout_ends_a_try_and_the_timeout_the_call() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Never).await;
    let started = Instant::now();
    let error = setup.call().await.unwrap_err();
    assert_eq!(
        (error.code(), started.elapsed(), setup.asked()),
        (408, Duration::from_secs(5), 1)
    );

    let started = Instant::now();
    let error = setup
        .call()
        .timeout(Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "call timeout: context deadline exceeded");
    assert_eq!(started.elapsed(), Duration::from_millis(300));

    let started = Instant::now();
    let error = setup
        .call()
        .idempotent()
        .retries(50)
        .timeout(Duration::from_secs(12))
        .await
        .unwrap_err();
    assert_eq!(error.code(), 408);
    assert!(
        started.elapsed() <= Duration::from_secs(12),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_service_is_named_in_go_micros_words() {
    let setup = Setup::new(&[], |_, _| Answer::Echo).await;
    let error = setup.call().await.unwrap_err();
    assert_eq!((error.id(), error.code()), ("go.micro.client", 500));
    assert!(
        error.detail().starts_with("service greeter: not found"),
        "{error}"
    );
    assert!(
        error.detail().contains("--registry"),
        "it says what to do: {error}"
    );
}

#[tokio::test(start_paused = true)]
async fn addresses_given_by_hand_need_no_registry() {
    let setup = Setup::new(&[], |address, _| {
        if address == "10.0.0.2:1" {
            Answer::Echo
        } else {
            Answer::Fail(refused())
        }
    })
    .await;
    setup
        .call()
        .address("10.0.0.1:1")
        .address("10.0.0.2:1")
        .await
        .unwrap();
    let asked = setup.asked();
    setup
        .call()
        .address("10.0.0.1:1")
        .address("10.0.0.2:1")
        .await
        .unwrap();
    assert_eq!(
        setup.asked(),
        asked + 1,
        "what was learned about the addresses is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn wrappers_stand_in_order_and_the_calls_own_innermost() {
    let setup = Setup::new(&["a"], |_, _| Answer::Echo).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let seen = seen.clone();
        micro_runtime::wrapper::from_fn(
            move |request: Request, next: micro_runtime::wrapper::Next| {
                let seen = seen.clone();
                async move {
                    seen.lock().unwrap().push(name);
                    next.run(request).await
                }
            },
        )
    };
    setup
        .call()
        .wrap(note("first"))
        .wrap(note("second"))
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), ["first", "second"]);
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0xff).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_wrapper_says_it_will_change_is_read_when_it_has() {
    let turns = |says: bool| {
        from_fn(move |mut request: Request, next: Next| async move {
            if says {
                request.will_change_reply();
            }
            let mut reply = next.run(request).await?;
            reply.message = Body::One(turned(reply.message.as_bytes()).into());
            Ok(reply)
        })
    };
    // What "hi" is in protobuf, turned.
    let hi = Answer::Say(b"\xf5\xfd\x97\x96");
    for says in [true, false] {
        let (hi, wrapper) = (hi.clone(), Arc::new(turns(says)));
        let setup = Setup::with(
            &["a", "b"],
            move |_, _| hi.clone(),
            |options| options.wrappers.push(wrapper),
        );
        let setup = setup.await;
        let target = setup.client.target("greeter");
        let call = || target.unary::<_, String>("Say.Hello", "x".to_owned());
        assert_eq!(call().await.unwrap(), "hi");
        let answer = call().idempotent().await;
        // As the wrapper finds it, else it is garbage.
        match says {
            true => assert_eq!((answer.unwrap().as_str(), setup.asked()), ("hi", 2)),
            false => assert_eq!(Cause::of(&answer.unwrap_err()), Cause::Garbled),
        }
    }
}
