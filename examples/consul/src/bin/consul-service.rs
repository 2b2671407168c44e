//! cargo run -p example-consul --bin consul-service -- --registry=consul
//!
//! A service that Consul knows at a fixed address, as long as it is well. Consul is asked at
//! 127.0.0.1:8500, or where `--registry_address` or `CONSUL_HTTP_ADDR` says; one for a try-out is
//! started with `consul agent -dev`. Go Micro's services there call it, and are called.
//!
//! `--maintenance FILE` takes the service out of Consul while that file is there.

use std::path::PathBuf;
use std::time::Duration;

use micro_runtime::{Context, Error, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayServer};

#[derive(clap::Args, Debug)]
struct Own {
    /// A file that says, by being there, that nobody is to be sent here
    #[arg(long, value_name = "FILE")]
    maintenance: Option<PathBuf>,
}

struct Greeter;

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

/// Whether the service is well; a real one asks its database.
fn check(own: &Own) -> Result<()> {
    match &own.maintenance {
        Some(file) if file.exists() => Err(Error::unavailable("examples.consul", "in maintenance")),
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (service, own) = Service::new("examples.consul").init_with::<Own>()?;
    service
        .address("127.0.0.1:8091")
        .register_ttl(Duration::from_secs(60))
        .register_interval(Duration::from_secs(20))
        .register_check(move || std::future::ready(check(&own)))
        .handle(SayServer::new(Greeter))
        .run()
        .await
}
