//! When a try ends, and when the call.

use std::time::Duration;

use micro_runtime::call::{Backoff, Frame};
use micro_runtime::client::ClientOptions;
use micro_runtime::registry::{RegisterOptions, Registry, Service, Watcher};
use micro_runtime::{Error, Result};
use tokio::time::Instant;

use crate::scripted::{Answer, Setup, cut};

/// Never says anything.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Registry for Silent {
    fn name(&self) -> &str {
        "silent"
    }
    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        std::future::pending().await
    }
    async fn deregister(&self, _: &Service) -> Result<()> {
        std::future::pending().await
    }
    async fn get(&self, _: &str) -> Result<Vec<Service>> {
        std::future::pending().await
    }
    async fn list(&self) -> Result<Vec<Service>> {
        std::future::pending().await
    }
    async fn watch(&self, _: Option<&str>) -> Result<Box<dyn Watcher>> {
        std::future::pending().await
    }
}

/// Says what the other does, after a while.
#[derive(Debug)]
struct Slow(std::sync::Arc<dyn Registry>);

const SLOW: Duration = Duration::from_millis(300);

#[async_trait::async_trait]
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
        tokio::time::sleep(SLOW).await;
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
async fn a_try_gets_no_more_than_what_is_left_of_the_call() {
    let never = |_: &str, _| Answer::Never;
    // Nobody finds out sooner that the nodes are silent.
    let patient = |options: &mut ClientOptions| options.outliers.patience = None;
    let setup = Setup::with(&["a", "b"], never, patient).await;
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

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_is_waited_for_until_the_calls_deadline() {
    let setup = Setup::with(
        &[],
        |_, _| Answer::Echo,
        |options| {
            options.registry = std::sync::Arc::new(Silent);
        },
    )
    .await;
    for idempotent in [false, true] {
        let began = Instant::now();
        let call = setup.call().timeout(Duration::from_millis(700));
        let call = if idempotent {
            call.idempotent().hedge(Duration::from_millis(50))
        } else {
            call
        };
        let error = call.await.unwrap_err();
        assert_eq!(
            (error.code(), began.elapsed().as_millis(), setup.asked()),
            (408, 700, 0)
        );
        assert!(error.is_unprocessed(), "{error}");
    }
    let began = Instant::now();
    let target = setup.client.target("greeter");
    let open = target.server_stream::<_, Frame>("Say.Count", Frame("hi".into()));
    let error = open.timeout(Duration::from_millis(700)).await.unwrap_err();
    assert_eq!((error.code(), began.elapsed().as_millis()), (408, 700));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_its_nodes_too_long_has_reached_nobody() {
    for hedged in [false, true] {
        let setup = Setup::with(
            &["a"],
            |_, _| Answer::Echo,
            |options| options.registry = std::sync::Arc::new(Slow(options.registry.clone())),
        )
        .await;
        // Less than a millisecond is left.
        let call = setup.call().timeout(SLOW + Duration::from_micros(500));
        let call = match hedged {
            true => call.idempotent().hedge(Duration::from_millis(50)),
            false => call,
        };
        let error = call.await.unwrap_err();
        assert_eq!((error.code(), setup.asked()), (408, 0));
        assert!(error.is_unprocessed(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_counts_into_the_calls_time() {
    let setup = Setup::new(&["a", "b"], |_, _| {
        Answer::FailAfter(Duration::from_millis(100), cut())
    })
    .await;
    let began = Instant::now();
    let pause = Backoff::Custom(std::sync::Arc::new(|_| Duration::from_millis(300)));
    let call = setup.call().idempotent().retries(9).backoff(pause);
    let error = call.timeout(Duration::from_secs(1)).await.unwrap_err();
    // 100 of a try, 300 of a pause, 100, 300, 100: the next pause would end after the deadline.
    assert_eq!(
        (error.code(), setup.asked(), began.elapsed().as_millis()),
        (408, 3, 900)
    );
}
