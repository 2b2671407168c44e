//! What each wrapper costs a call: time computed, and allocations, beyond those of a call without any.
//!
//!     bench-wrappers [--calls N]
//!
//! A call goes through one wrapper to an answer that is there at once, on one thread and without a
//! network, so that nothing else is measured. Each line is of one round in turn with all others, and
//! tells the median of the rounds.

#[path = "../../discovery/src/clock.rs"]
mod clock;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bench_common::Args;
use micro_runtime::call::{Body, BoxFuture, Invoke};
use micro_runtime::codec::Protobuf;
use micro_runtime::method::{Kind, Method, MethodRef};
use micro_runtime::wrapper::breaker::HystrixSettings;
use micro_runtime::wrapper::{
    AccessLog, AdaptiveLimit, GoBreaker, Hystrix, Next, RateLimit, Recover, RequestId, Shed,
    Wrapper, from_fn,
};
use micro_runtime::{Context, Metadata, Reply, Request, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use clock::Clock;

const ROUNDS: usize = 7;

fn main() {
    let args = Args::read();
    let calls = args.number("calls", 200_000) as usize;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine gives a runtime");
    let way = Way::new();
    let wrappers = {
        let _entered = runtime.enter();
        all()
    };
    let mut times = vec![[0.0; ROUNDS]; wrappers.len()];
    for round in 0..ROUNDS {
        for ((_, wrapper), times) in wrappers.iter().zip(&mut times) {
            times[round] = way.nanos(&runtime, wrapper, calls);
        }
    }
    let lines: Vec<_> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect();
    let allocations = |wrapper| {
        let counted = measure(|| way.run(&runtime, wrapper, 1_000));
        counted.count_total as f64 / 1_000.0
    };
    println!("| wrapper | ns a call | allocations a call |");
    println!("|---|---|---|");
    let (none, without) = (lines[0], allocations(&wrappers[0].1));
    println!("| a call without any | {none:.0} | {without:.2} |");
    for ((name, wrapper), nanos) in wrappers.iter().zip(&lines).skip(1) {
        let more = allocations(wrapper) - without;
        println!("| {name} | +{:.0} | +{more:.2} |", nanos - none);
    }
}

/// All that come with the runtime, behind none at all.
fn all() -> Vec<(&'static str, Vec<Arc<dyn Wrapper>>)> {
    fn one(wrapper: impl Wrapper) -> Vec<Arc<dyn Wrapper>> {
        vec![Arc::new(wrapper)]
    }
    let mut settings = HystrixSettings::default();
    settings.max_concurrent = 100;
    let many = || RateLimit::token_bucket(u32::MAX, u32::MAX);
    vec![
        ("none", Vec::new()),
        (
            "a function that passes on",
            one(from_fn(|request: Request, next: Next| next.run(request))),
        ),
        ("Recover", one(Recover::new())),
        ("RequestId", one(RequestId::new())),
        ("AccessLog, nobody listening", one(AccessLog::new())),
        ("Hystrix", one(Hystrix::with(settings))),
        ("GoBreaker", one(GoBreaker::new())),
        ("RateLimit of all", one(many())),
        ("RateLimit per method", one(many().per_method())),
        ("RateLimit per metadata", one(many().per_metadata("Tenant"))),
        ("AdaptiveLimit", one(AdaptiveLimit::new())),
        ("Shed", one(Shed::new())),
    ]
}

/// Answers at once.
struct Echo;

impl Invoke for Echo {
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        Box::pin(async move { Ok(Reply::new(request.body)) })
    }
}

/// What calls are made of.
struct Way {
    codec: Arc<Protobuf>,
    method: Arc<Method>,
    end: Arc<dyn Invoke>,
}

impl Way {
    fn new() -> Self {
        Self {
            codec: Arc::new(Protobuf::new("application/protobuf")),
            method: Arc::new(Method::dynamic("Say.Hello", Kind::Unary)),
            end: Arc::new(Echo),
        }
    }

    fn nanos(&self, runtime: &Runtime, wrappers: &[Arc<dyn Wrapper>], calls: usize) -> f64 {
        self.run(runtime, wrappers, calls / 10);
        let clock = Clock::start();
        self.run(runtime, wrappers, calls);
        clock.read().as_secs_f64() * 1e9 / calls as f64
    }

    fn run(&self, runtime: &Runtime, wrappers: &[Arc<dyn Wrapper>], calls: usize) {
        let wrappers: Arc<[Arc<dyn Wrapper>]> = wrappers.into();
        runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(3600);
            for _ in 0..calls {
                let metadata: Metadata = [("Tenant", "blue")].into_iter().collect();
                let cx = Context::build(metadata, Some(deadline), None);
                let method = MethodRef::Shared(self.method.clone());
                let body = Body::One(b"hi"[..].into());
                let request = Request::new(cx, "greeter", method, self.codec.clone(), body);
                let next = Next::to_invoke(wrappers.clone(), self.end.clone());
                let reply = next.run(black_box(request)).await;
                assert!(reply.is_ok(), "nothing refuses here");
            }
        });
    }
}
