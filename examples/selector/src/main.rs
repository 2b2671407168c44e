//! cargo run -p example-selector
//!
//! Which node a call goes to: filters say which may be called at all, a strategy chooses one of them.

use micro_runtime::registry::NodeEntry;
use micro_runtime::selector::{Filter, Strategy};
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
    for (id, version, region) in [
        ("a", "1.9.0", "eu"),
        ("b", "1.10.0", "eu"),
        ("c", "1.10.0", "us"),
    ] {
        let node = Service::new(NAME)
            .id(id)
            .version(version)
            .metadata("region", region)
            .init()?
            .handle(SayServer::new(Greeter(id)));
        running.push(node.start().await?);
    }

    // Nodes in turn, over all calls of this client. `--selector` chooses between the two by name.
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
