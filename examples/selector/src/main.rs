//! cargo run -p example-selector
//!
//! Which node a call goes to: filters say which may be called at all, a strategy chooses one of them,
//! and a zone or a canary narrows its choice. The guide to it is `micro_runtime::selector`.

use micro_runtime::registry::NodeEntry;
use micro_runtime::selector::{Affinity, Filter, Locality, Strategy};
use micro_runtime::{Context, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

const NAME: &str = "examples.selector";

/// Says which node it is.
struct Greeter(&'static str);

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, _: Request) -> Result<Response> {
        Ok(Response {
            msg: self.0.to_owned(),
        })
    }
}

/// Asks three times, and prints who has answered.
async fn ask(what: &str, filters: &[Filter], client: &SayClient) -> Result<()> {
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut call = client.hello(Request::default());
        for filter in filters {
            call = call.filter(filter.clone());
        }
        answers.push(call.await?.msg);
    }
    println!("{what}: {}", answers.join(", "));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut running = Vec::new();
    for (id, version, region, weight) in [
        ("a", "1.9.0", "eu", "0"),
        ("b", "1.10.0", "eu", "1"),
        ("c", "1.10.0", "us", "0"),
    ] {
        let node = Service::new(NAME)
            .id(id)
            .version(version)
            .metadata("region", region)
            .metadata("weight", weight)
            .init()?
            .handle(SayServer::new(Greeter(id)));
        running.push(node.start().await?);
    }

    // Nodes in turn, over all calls of this client. `--selector` chooses strategies by name; without
    // a word it is the better of two by latency and calls in flight.
    let caller = Service::new("examples.caller").selector(Strategy::RoundRobin);
    let caller = caller.init()?;
    let say = SayClient::new(NAME, caller.client());
    ask("all in turn", &[], &say).await?;

    // Ten is more than nine. Filters go on with what those before them have left.
    let (latest, eu) = (Filter::latest(), Filter::label("region", "eu"));
    ask("the latest", std::slice::from_ref(&latest), &say).await?;
    ask("the latest in Europe", &[eu.clone(), latest], &say).await?;
    ask("1.9.0", &[Filter::version("1.9.0")], &say).await?;

    // One's own: which nodes, and which of those that are left.
    let not_a = Filter::from(|node: &NodeEntry| !node.id().ends_with("-a"));
    ask("not a", &[not_a], &say).await?;
    let last = say
        .hello(Request::default())
        .strategy(|nodes: &[std::sync::Arc<NodeEntry>]| nodes.len().checked_sub(1))
        .await?;
    println!("the last: {}", last.msg);

    // By the weights that nodes name: nodes without any are the last resort.
    let by_weight = say.hello(Request::default()).strategy(Strategy::Weighted);
    println!("by weight: {}", by_weight.await?.msg);

    // Calls of one key go to one node.
    for user in ["user-1", "user-2", "user-3"] {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let call = say.hello(Request::default()).key(user);
            let call = call.strategy(Strategy::Hash(Affinity::Key));
            nodes.push(call.await?.msg);
        }
        println!("{user}: {}", nodes.join(", "));
    }

    // Three users in ten try 1.9.0 out; a user stays on one side.
    let careful = Service::new("examples.careful").canary(Filter::version("1.9.0"), 0.3);
    let careful = careful.init()?;
    let say = SayClient::new(NAME, careful.client());
    let mut brave = Vec::new();
    for user in 1..=10 {
        let call = say.hello(Request::default()).key(format!("user-{user}"));
        if call.await?.msg == "a" {
            brave.push(user.to_string());
        }
    }
    println!("on the canary: {}", brave.join(", "));

    // Near nodes first: in a fleet of zones `.zone("eu-1")`, or `--zone`, says it for both sides.
    let near = Locality::label("region", "us");
    let american = Service::new("examples.american").locality(near).init()?;
    let say = SayClient::new(NAME, american.client());
    ask("near", &[], &say).await?;

    // For every call of a client.
    let european = Service::new("examples.european").filter(eu).init()?;
    let say = SayClient::new(NAME, european.client());
    let us = say.hello(Request::default());
    let none = us.filter(Filter::label("region", "us")).await;
    println!(
        "in both: {}",
        none.expect_err("no node is in both").detail()
    );

    for node in running {
        node.stop().await?;
    }
    Ok(())
}
