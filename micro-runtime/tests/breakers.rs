//! Circuit breakers around a client's calls, on nodes that do as they are told.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "support/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::wrapper::Wrapper;
use micro_runtime::wrapper::breaker::{
    GoBreaker, GoBreakerSettings, Hystrix, HystrixSettings, State,
};
use micro_runtime::{Error, Result};
use tokio::time::{Instant, advance};

use scripted::{Answer, Setup};

/// A node that answers as it is told to at the moment, and a client with `wrapper`.
struct Told {
    setup: Setup,
    fails: Arc<AtomicBool>,
}

impl Told {
    async fn new(wrapper: impl Wrapper) -> Self {
        Self::with(wrapper, Answer::Fail(Error::internal("greeter", "broken"))).await
    }

    async fn with(wrapper: impl Wrapper, ill: Answer) -> Self {
        let fails = Arc::new(AtomicBool::new(true));
        let told = fails.clone();
        let behaviour = move |_: &str, _| match told.load(Ordering::SeqCst) {
            true => ill.clone(),
            false => Answer::Echo,
        };
        let wrapper: Arc<dyn Wrapper> = Arc::new(wrapper);
        let setup = Setup::with(&["a"], behaviour, |options| {
            options.wrappers.push(wrapper);
        });
        Self {
            setup: setup.await,
            fails,
        }
    }

    fn fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    async fn call(&self) -> Result<Frame> {
        self.setup.call().await
    }

    /// Calls so many times; gives the last error.
    async fn calls(&self, many: usize) -> Error {
        let mut last = None;
        for _ in 0..many {
            last = self.call().await.err();
        }
        last.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn hystrix_opens_after_twenty_calls_and_closes_after_a_test_that_went_well() {
    let breaker = Hystrix::new();
    let told = Told::new(breaker.clone()).await;
    let error = told.calls(20).await;
    assert_eq!((error.id(), told.setup.asked()), ("greeter", 20));
    assert_eq!(breaker.circuits()[0].state, State::Open);

    let error = told.calls(5).await;
    assert_eq!(
        (error.code(), error.detail()),
        (503, "hystrix: circuit open")
    );
    assert_eq!((error.id(), told.setup.asked()), ("greeter", 20));
    assert!(error.is_unprocessed());
    let refusals: Vec<_> = error.why().unwrap().refusals().collect();
    assert_eq!(refusals.len(), 1, "{error:?}");
    assert_eq!(refusals[0].by, "breaker");
    assert!(refusals[0].words.contains("5s"), "{error:?}");

    // One test for each sleep, whatever becomes of it.
    advance(Duration::from_secs(5)).await;
    told.calls(3).await;
    assert_eq!(told.setup.asked(), 21);
    advance(Duration::from_secs(5)).await;
    told.fails(false);
    for _ in 0..3 {
        told.call().await.unwrap();
    }
    assert_eq!(told.setup.asked(), 24);
    assert_eq!(breaker.circuits()[0].state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn hystrix_gives_up_calls_that_take_too_long_and_tells_why() {
    let mut settings = HystrixSettings::default();
    settings.volume = 5;
    let told = Told::with(Hystrix::with(settings), Answer::Never).await;
    let since = Instant::now();
    let error = told.call().await.unwrap_err();
    assert_eq!(since.elapsed(), Duration::from_secs(1));
    assert_eq!((error.code(), error.detail()), (408, "hystrix: timeout"));
    // The one try is told, and what ended it.
    let why = error.why().unwrap();
    assert_eq!(why.attempts().count(), 1, "{error:?}");
    assert_eq!(why.refusals().last().unwrap().by, "breaker");
    told.calls(4).await;
    assert_eq!(told.call().await.unwrap_err().code(), 503);

    // The node was told whole milliseconds, and notices first.
    let first = Answer::FailAfter(
        Duration::from_millis(999),
        Error::timeout("go.micro.server", "the deadline passed").with_grpc_code(1),
    );
    let told = Told::with(Hystrix::new(), first).await;
    let error = told.call().await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (408, "hystrix: timeout"));
}

#[tokio::test(start_paused = true)]
async fn hystrix_lets_ten_calls_run_at_once() {
    let slow = Answer::After(Duration::from_millis(500));
    let told = Told::with(Hystrix::new(), slow).await;
    let all = async {
        let calls = [(); 11].map(|()| Box::pin(told.call()));
        let [a, b, c, d, e, f, g, h, i, j, k] = calls;
        tokio::join!(a, b, c, d, e, f, g, h, i, j, k)
    };
    let last = all.await.10.unwrap_err();
    assert_eq!(last.detail(), "hystrix: max concurrency");
    assert_eq!(told.setup.asked(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_gives_up_is_no_failure_and_gives_its_place_back() {
    let settings = GoBreakerSettings::default();
    let breaker = GoBreaker::with(settings).failures(|_| true);
    let told = Told::new(breaker.clone()).await;
    told.calls(6).await;
    assert_eq!(breaker.circuits()[0].state, State::Open);
    advance(Duration::from_secs(61)).await;
    // The test is given up: another one may take its place at once.
    let pending = Told::with(breaker.clone(), Answer::Never).await;
    let limit = Duration::from_millis(10);
    let given_up = tokio::time::timeout(limit, pending.call()).await;
    assert!(given_up.is_err());
    assert_eq!(breaker.circuits()[0].state, State::HalfOpen);
    told.fails(false);
    told.call().await.unwrap();
    assert_eq!(breaker.circuits()[0].state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn gobreaker_opens_after_six_failures_in_a_row_and_counts_as_go_does() {
    let breaker = GoBreaker::new();
    let told = Told::new(breaker.clone()).await;
    told.calls(5).await;
    told.fails(false);
    told.call().await.unwrap();
    told.fails(true);
    told.calls(6).await;
    assert_eq!(told.setup.asked(), 12);
    let error = told.calls(2).await;
    assert_eq!(
        (error.code(), error.id(), error.detail()),
        (502, "greeter", "circuit breaker is open")
    );
    assert!(error.is_unprocessed());
    assert_eq!(told.setup.asked(), 12);

    // Below 500 is a success, and no code at all is a failure.
    for (ill, asked) in [
        (Error::not_found("greeter", "nobody"), 20),
        (Error::timeout("greeter", "slow"), 20),
        (Error::plain("words"), 6),
    ] {
        let told = Told::with(GoBreaker::new(), Answer::Fail(ill)).await;
        told.calls(20).await;
        assert_eq!(told.setup.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_what_failed_and_what_was_refused() {
    let breaker = GoBreaker::new().fallback(|failed| async move {
        assert_eq!(
            (&*failed.service, &*failed.method.endpoint),
            ("greeter", "Say.Hello")
        );
        failed.reply(&Frame(failed.error.code().to_string().into()))
    });
    let told = Told::new(breaker).await;
    for _ in 0..6 {
        assert_eq!(told.call().await.unwrap().0, "500");
    }
    assert_eq!(told.call().await.unwrap().0, "502");
    assert_eq!(told.setup.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_has_no_message_for_a_stream() {
    let breaker = GoBreaker::new().fallback(|failed| async move {
        let reply = failed.reply(&Frame("instead".into()));
        assert!(reply.is_err(), "{reply:?}");
        reply
    });
    let told = Told::new(breaker).await;
    let target = told.setup.client.target("greeter");
    let open = target.server_stream::<_, Frame>("Say.Count", Frame("x".into()));
    let error = open.await.unwrap_err();
    assert_eq!((error.id(), error.detail()), ("greeter", "broken"));
}

#[tokio::test(start_paused = true)]
async fn methods_have_circuits_of_their_own_and_settings_where_they_are_given() {
    let mut settings = HystrixSettings::default();
    settings.volume = 2;
    let breaker = Hystrix::new().method("greeter", "Say.Other", settings);
    let told = Told::new(breaker.clone()).await;
    let client = &told.setup.client;
    for _ in 0..5 {
        let other = client.request("greeter", "Say.Other", Frame("x".into()));
        assert!(other.await.is_err());
        told.call().await.unwrap_err();
    }
    assert_eq!(told.setup.asked(), 7);
    let circuits = breaker.circuits();
    let states: Vec<_> = circuits
        .iter()
        .map(|circuit| (&*circuit.endpoint, circuit.state))
        .collect();
    assert_eq!(
        states,
        [("Say.Hello", State::Closed), ("Say.Other", State::Open)]
    );
    let inspected = breaker.inspect().unwrap();
    assert_eq!(inspected.standings[0].of, "greeter Say.Other");
    assert_eq!(inspected.standings[0].state, "open");

    let one = GoBreaker::new().per_service();
    let told = Told::new(one.clone()).await;
    told.calls(6).await;
    let other = told
        .setup
        .client
        .request("greeter", "Say.Other", Frame("x".into()));
    assert_eq!(other.await.unwrap_err().code(), 502);
    assert_eq!(one.circuits().len(), 1);

    // Settings of its own are for a circuit of its own.
    let mut settings = GoBreakerSettings::default();
    settings.ready_to_trip = Arc::new(|counts| counts.consecutive_failures > 1);
    let one = one.method("greeter", "Say.Other", settings);
    let other = Told::new(one.clone()).await;
    let call = || {
        let client = &other.setup.client;
        client.request("greeter", "Say.Other", Frame("x".into()))
    };
    for code in [500, 500, 502] {
        assert_eq!(call().await.unwrap_err().code(), code);
    }
    assert_eq!(one.circuits().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_destinations_take_bounded_room_and_the_one_in_use_stays() {
    let breaker = GoBreaker::new().most(1_000);
    let told = Told::new(breaker.clone()).await;
    told.calls(6).await;
    for number in 0..10_000 {
        let name = format!("service-{number}");
        let error = told
            .setup
            .client
            .request(name, "Say.Hello", Frame("x".into()));
        assert!(error.await.is_err());
        if number % 100 == 0 {
            assert_eq!(told.call().await.unwrap_err().code(), 502, "{number}");
        }
    }
    assert!(breaker.circuits().len() <= 1_000);
    assert_eq!(told.setup.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_explained_tells_of_the_breaker() {
    let told = Told::new(GoBreaker::new()).await;
    told.calls(6).await;
    let error = told.call().await.unwrap_err();
    assert!(
        error.why().unwrap().to_string().contains("breaker: "),
        "{error:?}"
    );
}
