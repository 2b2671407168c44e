//! cargo run -p example-shutdown
//!
//! How a service stops: a signal comes (here from a handler, as from `kill` or an orchestrator), the
//! service is deregistered, calls that run are answered, and only then it ends.

use std::process::{Command, id};
use std::time::Duration;

use micro_runtime::{Context, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

struct Slow;

impl Say for Slow {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        println!("handler: begun, and asking the process to stop");
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", id())])
            .status()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("handler: done");
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

/// A hook that says when it runs; real ones open and close what handlers need.
async fn say(what: &'static str) -> Result<()> {
    println!("{what}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let service = Service::new("examples.shutdown")
        .init()?
        .handle(SayServer::new(Slow))
        // Others' caches lag: for so long it serves on after it is deregistered.
        .linger(Duration::from_secs(1))
        // Calls that run longer than this are cut off.
        .drain(Duration::from_secs(10))
        .before_start(|| say("hook: before start"))
        .after_start(|| say("hook: after start"))
        .before_stop(|| say("hook: before stop"))
        .after_stop(|| say("hook: after stop, nothing is served any more"));

    let client = SayClient::new("examples.shutdown", service.client());
    let service = service.after_start(move || async move {
        tokio::spawn(async move {
            let john = Request {
                name: "John".into(),
            };
            match client.hello(john).await {
                Ok(reply) => println!("caller: {}", reply.msg),
                Err(error) => println!("caller: {error}"),
            }
        });
        Ok(())
    });
    service.run().await
}
