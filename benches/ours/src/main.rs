//! Our own side of the benches: the program of the README, and a timer.
//!
//! Only what a user has: generated code, a service that registers, a client that finds it by name,
//! the default limits, and on every call a deadline and two pairs of metadata.
//!
//!     bench-ours server --addr H:P [--inline auto|always|never] [--cert FILE --key FILE]
//!     bench-ours client --addr H:P --protocol braid|grpc|mucp [--by-hand 1] [--selector NAME] [--cert FILE] …
//!     bench-ours memory --protocol braid|grpc|mucp …

mod echo;
mod load;
mod places;

use bench_common::{Args, runtime};
use micro_runtime::server::{Inline, Limits};
use micro_runtime::{Result, Service};

use echo::Echoes;
use places::Places;

micro_runtime::include_protos!();
use crate::bench::EchoServer;

/// The name that the service is registered under.
const NAME: &str = "bench";

fn main() -> Result<()> {
    let args = Args::read();
    runtime().block_on(async {
        let places = Places::new(&args)?;
        match args.mode() {
            // It answers all protocols on one port, as every service does; --protocol is the client's.
            "server" => server(&args, &places, args.address()).run().await,
            "client" => load::run(&args, &places).await,
            "memory" => {
                let server = server(&args, &places, "bench:1").start().await?;
                load::run(&args, &places).await?;
                server.stop().await
            }
            other => panic!("server, client or memory, not {other:?}"),
        }
    })
}

fn server(args: &Args, places: &Places, address: &str) -> Service {
    let mut limits = Limits::default();
    limits.inline = match args.get("inline").unwrap_or("auto") {
        "auto" => Inline::Auto,
        "always" => Inline::Always,
        "never" => Inline::Never,
        other => panic!("--inline must be auto, always or never, not {other}"),
    };
    places
        .service(NAME)
        .limits(limits)
        .address(address)
        .handle(EchoServer::new(Echoes))
}
