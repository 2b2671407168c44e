//! cargo run -p example-function
//!
//! A function: a service that serves one call, or one event, and exits.

use micro_runtime::{Context, Result, Service};
use tokio::sync::oneshot;

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

struct Greeter;

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        println!("function: called by {}", request.name);
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (started, has_started) = oneshot::channel();
    let function = Service::new("examples.function")
        .init()?
        .handle(SayServer::new(Greeter))
        .after_start(|| async {
            let _ = started.send(());
            Ok(())
        });
    // As a rule it is a program of its own, and this line its last.
    let function = tokio::spawn(function.serve_once());
    let _ = has_started.await;

    let caller = Service::new("examples.function.caller").init()?;
    let say = SayClient::new("examples.function", caller.client());
    let john = || Request {
        name: "John".into(),
    };
    println!("caller: {}", say.hello(john()).await?.msg);

    function.await.expect("it does not panic")?;
    println!("function: deregistered, drained, done");
    if say.hello(john()).await.is_err() {
        println!("caller: nobody is there any more");
    }
    Ok(())
}
