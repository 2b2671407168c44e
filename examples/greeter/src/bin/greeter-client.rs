//! cargo run -p example-greeter --bin greeter-client
//!
//! A caller: it finds the service by its name and prints what it says.

use std::time::Duration;

use micro_runtime::{Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, SayClient};

#[tokio::main]
async fn main() -> Result<()> {
    let service = Service::new("greeter.client").init()?;
    let say = SayClient::new("go.micro.srv.greeter", service.client());
    let reply = say
        .hello(Request {
            name: "John".into(),
        })
        .timeout(Duration::from_millis(200))
        .await?;
    println!("{}", reply.msg);
    Ok(())
}
