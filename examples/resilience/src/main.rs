//! cargo run -p example-resilience
//!
//! Nodes that are slow, full or ill, and what callers notice of it.

use std::time::{Duration, Instant};

use micro_runtime::call::Backoff;
use micro_runtime::router::Limits;
use micro_runtime::selector::Strategy;
use micro_runtime::service::Running;
use micro_runtime::wrapper::{AdaptiveLimit, GoBreaker, RateLimit, Shed};
use micro_runtime::{Context, Error, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

/// Answers after a while.
struct Greeter(Duration);

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        tokio::time::sleep(self.0).await;
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

const QUICK: Duration = Duration::ZERO;
const SLOW: Duration = Duration::from_secs(5);
/// Less than a slow node takes, and more than a quick one does on any machine.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A node of the service `name` that takes `calls` calls at once.
async fn node(name: &str, pause: Duration, calls: usize) -> Result<Running> {
    let mut limits = Limits::default();
    limits.calls = calls;
    Service::new(name)
        .limits(limits)
        .init()?
        .handle(SayServer::new(Greeter(pause)))
        .start()
        .await
}

fn john() -> Request {
    Request {
        name: "John".into(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let caller = Service::new("examples.caller")
        // In turn, so that each node is met here; calls go anywhere by themselves.
        .selector(Strategy::RoundRobin)
        .init()?;
    slow(&SayClient::new("examples.slow", caller.client())).await?;
    full(&SayClient::new("examples.full", caller.client())).await?;
    budget(&SayClient::new("examples.storm", caller.client())).await?;
    guarded(&SayClient::new("examples.guarded", caller.client())).await?;
    broken().await
}

/// One of two nodes is slow.
async fn slow(say: &SayClient) -> Result<()> {
    let nodes = [
        node("examples.slow", QUICK, 100).await?,
        node("examples.slow", SLOW, 100).await?,
    ];
    // A call that may have run is not made again: who meets the slow node is told so in time.
    let mut late = 0;
    for _ in 0..2 {
        let reply = say.hello(john()).timeout(PATIENCE).await;
        late += usize::from(reply.is_err_and(|error| error.is_timeout()));
    }
    println!("timeout: {late} of 2 calls gave up");

    // A call that may run twice goes on to the next node when a try has taken too long.
    for _ in 0..2 {
        say.hello(john())
            .idempotent()
            .attempt_timeout(PATIENCE)
            .await?;
    }
    println!("another try: 2 of 2 calls were answered");

    // Or it asks the next one before that, and takes the first answer.
    let began = Instant::now();
    for _ in 0..2 {
        say.hello(john())
            .idempotent()
            .hedge(Duration::from_millis(50))
            .await?;
    }
    let in_time = began.elapsed() < SLOW;
    println!("hedging: 2 of 2 calls were answered, quickly: {in_time}");
    stop(nodes).await
}

/// One of two nodes takes no calls: it says so, and no handler has run, so any call goes elsewhere.
async fn full(say: &SayClient) -> Result<()> {
    let nodes = [
        node("examples.full", QUICK, 100).await?,
        node("examples.full", QUICK, 0).await?,
    ];
    for _ in 0..10 {
        say.hello(john()).await?;
    }
    println!("a full node: 10 of 10 calls were answered");
    stop(nodes).await
}

/// No node takes calls: further tries would only add to the load, so that they end.
async fn budget(say: &SayClient) -> Result<()> {
    let nodes = [
        node("examples.storm", QUICK, 0).await?,
        node("examples.storm", QUICK, 0).await?,
    ];
    for number in 1..=3 {
        let no_pause = Backoff::Custom(std::sync::Arc::new(|_| Duration::ZERO));
        let reply = say.hello(john()).backoff(no_pause).await;
        let error = reply.expect_err("nobody takes it");
        let tries = error.attempts().count();
        println!("a storm: call {number} failed after {tries} tries");
        for refusal in error.why().into_iter().flat_map(|why| why.refusals()) {
            println!("  {}: {}", refusal.by, refusal.words);
        }
    }
    stop(nodes).await
}

/// A node has a rate limit, a limit of calls at once, and an eye on deadlines; its neighbour is free.
async fn guarded(say: &SayClient) -> Result<()> {
    let careful = Service::new("examples.guarded")
        .wrap_handler(RateLimit::token_bucket(1, 3).per_caller())
        .wrap_handler(Shed::new())
        .wrap_handler(AdaptiveLimit::new())
        .init()?
        .handle(SayServer::new(Greeter(QUICK)))
        .start()
        .await?;
    let nodes = [careful, node("examples.guarded", QUICK, 100).await?];
    for _ in 0..8 {
        say.hello(john()).await?;
    }
    println!("a rate limit: 8 of 8 calls were answered");
    stop(nodes).await
}

/// Fails.
struct Ill;

impl Say for Ill {
    async fn hello(&self, _cx: &Context, _request: Request) -> Result<Response> {
        Err(Error::internal("examples.ill", "not today"))
    }
}

/// A service fails each call: it is left alone for a while.
async fn broken() -> Result<()> {
    let breaker = GoBreaker::new();
    let ill = Service::new("examples.ill")
        .wrap_call(breaker.clone())
        .init()?
        .handle(SayServer::new(Ill))
        .start()
        .await?;
    let say = SayClient::new("examples.ill", ill.client());
    for number in 1..=7 {
        let error = say.hello(john()).await.expect_err("it is ill");
        if number >= 6 {
            println!("a breaker: call {number} failed: {}", error.detail());
        }
    }
    for circuit in breaker.circuits() {
        println!("  {} is {}", circuit.endpoint, circuit.state.name());
    }
    ill.stop().await
}

async fn stop(nodes: [Running; 2]) -> Result<()> {
    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}
