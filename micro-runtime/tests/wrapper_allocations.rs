//! What wrappers allocate: nothing where there are none, and no more than is planned for each.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use micro_runtime::call::{Body, BoxFuture, Dispatch, Invoke};
use micro_runtime::codec::Protobuf;
use micro_runtime::method::Kind;
use micro_runtime::method::Method;
use micro_runtime::router::{Core, CoreOptions};
use micro_runtime::wrapper::breaker::HystrixSettings;
use micro_runtime::wrapper::{
    AdaptiveLimit, GoBreaker, Hystrix, Next, RateLimit, Shed, Wrapper, from_fn,
};
use micro_runtime::{Context, Metadata, Reply, Request, Result};
use tokio::runtime::Builder;
use tokio::time::Instant;

const CALLS: u64 = 1_000;
/// The wrapper's future.
const WRAPPER: u64 = 1;
/// The future of the whole chain, on a server; its share of the context is the call's own.
const CHAIN: u64 = 1;

/// The wrappers that are to cost no more than their future.
fn all() -> Vec<(&'static str, Arc<dyn Wrapper>)> {
    let mut settings = HystrixSettings::default();
    settings.max_concurrent = 100;
    let many = u32::MAX;
    vec![
        (
            "none of ours",
            Arc::new(from_fn(|request, next: Next| next.run(request))),
        ),
        ("hystrix", Arc::new(Hystrix::with(settings))),
        ("gobreaker", Arc::new(GoBreaker::new())),
        ("rate limit", Arc::new(RateLimit::token_bucket(many, many))),
        (
            "rate limit by method and caller",
            Arc::new(
                RateLimit::token_bucket(many, many)
                    .per_method()
                    .per_caller(),
            ),
        ),
        (
            "rate limit by metadata",
            Arc::new(RateLimit::token_bucket(many, many).per_metadata("Tenant")),
        ),
        ("adaptive limit", Arc::new(AdaptiveLimit::new())),
        ("shed", Arc::new(Shed::new())),
    ]
}

/// Answers at once.
struct Echo;

impl Invoke for Echo {
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        Box::pin(async move { Ok(Reply::new(request.body)) })
    }
}

fn request(codec: &Arc<Protobuf>, method: &Arc<Method>) -> Request {
    let metadata: Metadata = [("Tenant", "blue")].into_iter().collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    let cx = Context::build(metadata, Some(deadline), None);
    let method = micro_runtime::method::MethodRef::Shared(method.clone());
    Request::new(
        cx,
        "greeter",
        method,
        codec.clone(),
        Body::One(b"hi"[..].into()),
    )
}

/// What a call allocates, on a client through `wrappers` and on a server.
fn run(wrappers: Vec<Arc<dyn Wrapper>>) -> (f64, f64) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let codec = Arc::new(Protobuf::new("application/protobuf"));
    let method = Arc::new(Method::dynamic("Say.Hello", Kind::Unary));
    let end: Arc<dyn Invoke> = Arc::new(Echo);
    let chain: Arc<[Arc<dyn Wrapper>]> = wrappers.clone().into();
    let mut options = CoreOptions::default();
    options.wrappers = wrappers;
    let say: Arc<dyn Dispatch> = Arc::new(support::Say::hello(|_, frame| async { Ok(frame) }));
    let core = Core::new(options, [say]).unwrap();
    let route = core.find("Say.Hello").unwrap();
    let client = || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                let next = Next::to_invoke(chain.clone(), end.clone());
                next.run(request(&codec, &method)).await.unwrap();
            }
        });
    };
    let server = || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                route
                    .start(request(&codec, &method))
                    .unwrap()
                    .await
                    .unwrap();
            }
        });
    };
    client();
    server();
    let a_call = |work: &dyn Fn()| measure(work).count_total as f64 / CALLS as f64;
    (a_call(&client), a_call(&server))
}

#[test]
fn a_wrapper_allocates_its_future_and_none_allocates_nothing() {
    let (client, server) = run(Vec::new());
    println!("none: client {client}, server {server}");
    // The metadata, the context and the future of what is called; the server's handler decodes too.
    assert!((client, server) <= (3.0, 4.0), "{client}, {server}");
    for (name, wrapper) in all() {
        let with = run(vec![wrapper.clone()]);
        println!(
            "{name}: client {} more, server {} more",
            with.0 - client,
            with.1 - server
        );
        // Windows that turn, and the like, now and then.
        let rare = 0.1;
        let own = if name == "none of ours" { 0.0 } else { rare };
        assert!(
            with.0 <= client + WRAPPER as f64 + own,
            "{name}: {} a call",
            with.0
        );
        // The served call's context is shared: another deadline is a change to a copy.
        let deadline = f64::from(u8::from(name == "hystrix"));
        let most = server + (WRAPPER + CHAIN) as f64 + deadline + own;
        assert!(with.1 <= most, "{name}: {} a call", with.1);
        // A second one costs its own future and no more.
        let pass: Arc<dyn Wrapper> = Arc::new(from_fn(|request, next: Next| next.run(request)));
        let two = run(vec![pass, wrapper]);
        assert!(
            two.0 <= with.0 + WRAPPER as f64 + own,
            "{name}: {} a call",
            two.0
        );
        assert!(
            two.1 <= with.1 + WRAPPER as f64 + own,
            "{name}: {} a call",
            two.1
        );
    }
}
