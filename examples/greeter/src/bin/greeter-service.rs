//! cargo run -p example-greeter --bin greeter-service
//!
//! A service: it says hello. Stop it with Ctrl-C.

use micro_runtime::{Context, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayServer};

struct Greeter;

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    Service::new("go.micro.srv.greeter")
        .init()?
        .handle(SayServer::new(Greeter))
        .run()
        .await
}
