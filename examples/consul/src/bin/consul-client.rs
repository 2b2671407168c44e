//! cargo run -p example-consul --bin consul-client -- --registry=consul
//!
//! A program that only calls: it asks Consul for the service, listens nowhere, and ends.

use micro_runtime::{Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, SayClient};

#[tokio::main]
async fn main() -> Result<()> {
    let service = Service::new("examples.consul.client").init()?;
    let say = SayClient::new("examples.consul", service.client());
    let reply = say
        .hello(Request {
            name: "John".into(),
        })
        .full()
        .await?;
    let from = reply.peer.map(|peer| peer.address.to_string());
    println!("{} from {}", reply.message.msg, from.unwrap_or_default());
    Ok(())
}
