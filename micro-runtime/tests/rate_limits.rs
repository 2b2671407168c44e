//! Rate limits around a client's calls and around a server's handlers.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::metadata::Text;
use micro_runtime::service::Running;
use micro_runtime::wrapper::{RateLimit, Wrapper};
use micro_runtime::{Error, Result};
use tokio::time::{Instant, advance};

use scripted::{Answer, Setup};
use support::{Say, World, frame};

async fn client(wrapper: impl Wrapper) -> Setup {
    let wrapper: Arc<dyn Wrapper> = Arc::new(wrapper);
    Setup::with(
        &["a"],
        |_, _| Answer::Echo,
        |options| {
            options.wrappers.push(wrapper);
        },
    )
    .await
}

async fn server(world: &World, protocol: &str, wrapper: impl Wrapper) -> Running {
    let say = Say::hello(|_, frame| async move { Ok(frame) });
    let service = world.service("limited", protocol).wrap_handler(wrapper);
    service.handle(say).start().await.unwrap()
}

async fn ask(server: &Running, tenant: Option<&str>) -> Result<Frame> {
    let call = server.client().request("limited", "Say.Hello", frame("x"));
    let call = match tenant {
        Some(tenant) => call.metadata("Tenant", tenant.to_owned()),
        None => call,
    };
    call.retries(0).await
}

/// How many of so many calls go through.
async fn passed(server: &Running, tenant: Option<&str>, calls: usize) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        passed += usize::from(ask(server, tenant).await.is_ok());
    }
    passed
}

fn assert_refused(error: &Error) {
    assert_eq!((error.code(), error.detail()), (429, "too many request"));
    assert!(error.is_unprocessed(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_refuses_what_is_too_many_and_says_when_to_come_again() {
    let protocols: &[&str] = match cfg!(feature = "grpc") {
        true => &["mucp", "braid", "grpc", "connect", "grpc-web"],
        false => &["mucp", "braid"],
    };
    for &protocol in protocols {
        let limit = RateLimit::token_bucket(6, 3).per(Duration::from_secs(60));
        let server = server(&World::default(), protocol, limit.clone()).await;
        assert_eq!(passed(&server, None, 3).await, 3, "{protocol}");
        let error = ask(&server, None).await.unwrap_err();
        assert_refused(&error);
        assert_eq!(error.id(), "go.micro.server");
        // mucp carries no metadata of errors.
        if protocol != "mucp" {
            let after = error.metadata().get("retry-after");
            assert_eq!(after, Some("10"), "{protocol}: {error:?}");
        }
        advance(Duration::from_secs(10)).await;
        assert_eq!(passed(&server, None, 2).await, 1, "{protocol}");
        let refused = limit.inspect().unwrap().standings[0].figures[1].clone();
        assert_eq!(refused, ("refused", 2_u64.into()));
        server.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_have_limits_of_their_own() {
    let limit = RateLimit::token_bucket(1, 2);
    let server_of = async |limit| server(&World::default(), "braid", limit).await;
    let by_tenant = server_of(limit.clone().per_metadata("tenant")).await;
    assert_eq!(passed(&by_tenant, Some("blue"), 5).await, 2);
    assert_eq!(passed(&by_tenant, Some("green"), 5).await, 2);
    // Who leaves it out does not escape.
    assert_eq!(passed(&by_tenant, None, 5).await, 2);

    let limit = RateLimit::token_bucket(1, 2);
    let by_address = server_of(limit.per_caller()).await;
    assert_eq!(passed(&by_address, Some("blue"), 5).await, 2);
    assert_eq!(passed(&by_address, Some("green"), 5).await, 0);

    let limit = RateLimit::token_bucket(1, 2).by(|request| {
        let tenant = request.cx.metadata().get_text("Tenant")?;
        (*tenant != "ours").then(|| tenant.clone())
    });
    let by_function = server_of(limit).await;
    assert_eq!(passed(&by_function, Some("blue"), 5).await, 2);
    assert_eq!(passed(&by_function, Some("ours"), 5).await, 5);
    assert_eq!(passed(&by_function, None, 5).await, 5);
    for server in [by_tenant, by_address, by_function] {
        server.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn methods_have_limits_of_their_own() {
    let setup = client(RateLimit::token_bucket(1, 2).per_method()).await;
    let call = |service: &'static str, endpoint: &'static str| {
        setup.client.request(service, endpoint, Frame("x".into()))
    };
    for endpoint in ["Say.Hello", "Say.Other"] {
        call("greeter", endpoint).await.unwrap();
        call("greeter", endpoint).await.unwrap();
        assert_refused(&call("greeter", endpoint).await.unwrap_err());
    }
    // Of another service: that it is not there is found out.
    let error = call("stranger", "Say.Hello").await.unwrap_err();
    assert_ne!(error.code(), 429, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_keeps_calls_apart_and_makes_up_for_ten() {
    let setup = client(RateLimit::leaky_bucket(10)).await;
    let since = Instant::now();
    for number in 0..5_u32 {
        setup.call().await.unwrap();
        assert_eq!(since.elapsed(), Duration::from_millis(100) * number);
    }
    advance(Duration::from_secs(60)).await;
    let since = Instant::now();
    for _ in 0..11 {
        setup.call().await.unwrap();
    }
    assert_eq!(since.elapsed(), Duration::ZERO);
    setup.call().await.unwrap();
    assert_eq!(since.elapsed(), Duration::from_millis(100));

    let strict = client(RateLimit::leaky_bucket(10).slack(0)).await;
    advance(Duration::from_secs(60)).await;
    let since = Instant::now();
    for _ in 0..3 {
        strict.call().await.unwrap();
    }
    assert_eq!(since.elapsed(), Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn what_would_wait_beyond_its_deadline_is_refused_at_once() {
    let setup = client(RateLimit::token_bucket(1, 1).wait()).await;
    setup.call().await.unwrap();
    let since = Instant::now();
    let hurried = setup.call().timeout(Duration::from_millis(999));
    let error = hurried.await.unwrap_err();
    assert_refused(&error);
    let why = error.why().unwrap();
    assert_eq!((&*why.service, &*why.endpoint), ("greeter", "Say.Hello"));
    assert_eq!(why.refusals().next().unwrap().by, "rate limit");
    assert_eq!(since.elapsed(), Duration::ZERO);
    let patient = setup.call().timeout(Duration::from_millis(1_500));
    patient.await.unwrap();
    assert_eq!(since.elapsed(), Duration::from_secs(1));

    let setup = client(RateLimit::token_bucket(1, 1).wait_up_to(Duration::from_secs(1))).await;
    setup.call().await.unwrap();
    let (second, third) = (setup.call(), setup.call());
    let since = Instant::now();
    let (second, third) = tokio::join!(async { second.await.map(|_| since.elapsed()) }, async {
        third.await.map(|_| since.elapsed())
    });
    assert_eq!(second.unwrap(), Duration::from_secs(1));
    assert_refused(&third.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn waiting_is_part_of_the_time_that_a_caller_gives() {
    let wrapper: Arc<dyn Wrapper> = Arc::new(RateLimit::token_bucket(1, 1).wait());
    let never = |_: &str, number| match number {
        0 => Answer::Echo,
        _ => Answer::Never,
    };
    let setup = Setup::with(&["a"], never, |options| options.wrappers.push(wrapper)).await;
    setup.call().await.unwrap();
    let since = Instant::now();
    let call = setup.call().timeout(Duration::from_secs(3));
    assert_eq!(call.await.unwrap_err().code(), 408);
    assert_eq!(since.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_part_of_the_time_that_a_client_gives_all_its_calls() {
    let wrapper: Arc<dyn Wrapper> = Arc::new(RateLimit::token_bucket(1, 1).wait());
    let never = |_: &str, number| match number {
        0 => Answer::Echo,
        _ => Answer::Never,
    };
    let setup = Setup::with(&["a"], never, |options| {
        options.wrappers.push(wrapper);
        options.call.timeout = Duration::from_millis(1_500);
    });
    let setup = setup.await;
    setup.call().await.unwrap();
    let since = Instant::now();
    let (second, third) = tokio::join!(setup.call().full(), async {
        let refused = setup.call().await.unwrap_err();
        (refused, since.elapsed())
    });
    assert_eq!(second.unwrap_err().code(), 408);
    assert_eq!(since.elapsed(), Duration::from_millis(1_500));
    assert_refused(&third.0);
    assert_eq!(third.1, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_asks_a_server_how_it_is_is_not_limited() {
    let server = server(&World::default(), "braid", RateLimit::token_bucket(1, 1)).await;
    let ask_how = |endpoint: &'static str| {
        let client = server.client();
        client.request("limited", endpoint, Frame::default())
    };
    for _ in 0..5 {
        ask_how("Debug.Health").await.unwrap();
        #[cfg(feature = "grpc")]
        ask_how("grpc.health.v1.Health.Check").await.unwrap();
    }
    // Calls are, and had their turns left.
    assert_eq!(passed(&server, None, 3).await, 1);
    server.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_take_bounded_room() {
    let limit = RateLimit::token_bucket(1, 1)
        .most(1_000)
        .by(|request| request.cx.metadata().get_text("tenant").cloned());
    let setup = client(limit.clone()).await;
    let call = |tenant: String| setup.call().metadata("tenant", Text::from(tenant));
    for number in 0..10_000 {
        call(number.to_string()).await.unwrap();
        // The latest are remembered.
        assert_refused(&call(number.to_string()).await.unwrap_err());
    }
    let (name, keys) = &limit.inspect().unwrap().standings[0].figures[0];
    assert_eq!(*name, "keys");
    assert!(matches!(keys, micro_runtime::wrapper::Figure::Count(keys) if *keys <= 1_000));
}

#[tokio::test(start_paused = true)]
async fn what_one_node_has_no_room_for_another_one_answers() {
    let world = World::default();
    let limited = server(&world, "braid", RateLimit::token_bucket(1, 1)).await;
    let free = server(&world, "braid", RateLimit::token_bucket(1_000, 1_000)).await;
    for _ in 0..20 {
        let call = free.client().request("limited", "Say.Hello", frame("x"));
        call.await.unwrap();
    }
    limited.stop().await.unwrap();
    free.stop().await.unwrap();
}
