//! cargo run -p example-deadline
//!
//! A deadline passes on from call to call, and so does giving up: front calls back, back is slow.

use std::time::Duration;

use micro_runtime::{Context, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

/// Passes every call on. It names neither deadline nor context: its calls belong to the one it serves.
struct Front(SayClient);

impl Say for Front {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        self.0.hello(request).await
    }
}

/// Needs longer than anyone waits.
struct Back;

impl Say for Back {
    async fn hello(&self, cx: &Context, request: Request) -> Result<Response> {
        let left = cx.remaining().unwrap_or_default();
        // As full seconds, which are the same on a slow machine.
        let left = left.as_secs_f32().ceil();
        println!("back: {left} s left for {}", request.name);
        let _told = Dropped;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(Response {
            msg: "too late".into(),
        })
    }
}

/// Says that a handler was dropped before its end.
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        println!("back: nobody waits any more");
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let back = Service::new("examples.back")
        .init()?
        .handle(SayServer::new(Back))
        .start()
        .await?;
    let to_back = SayClient::new("examples.back", back.client());
    let front = Service::new("examples.front")
        .init()?
        .handle(SayServer::new(Front(to_back)))
        .start()
        .await?;
    let say = SayClient::new("examples.front", front.client());

    let reply = say
        .hello(Request {
            name: "John".into(),
        })
        .timeout(Duration::from_secs(2))
        .await;
    let error = reply.expect_err("two seconds are not enough");
    println!("caller: code {}", error.code());

    front.stop().await?;
    back.stop().await
}
