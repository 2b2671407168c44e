//! Serves or calls the greeter with tonic and nothing of ours. Flags and output are those of grpcpeer.

mod client;
mod flags;
mod server;

/// What tonic's generator makes of the greeter.
#[allow(clippy::all)]
mod proto {
    tonic::include_proto!("greeter");
}

use flags::Flags;

/// The largest message either way.
const LARGEST: usize = 16 << 20;

#[tokio::main]
async fn main() {
    let flags = Flags::of(std::env::args().skip(1));
    let code = match flags.text("mode", "server") {
        "server" => server::serve(&flags).await,
        "client" => client::run(&flags).await,
        other => panic!("unknown -mode {other}"),
    };
    std::process::exit(code);
}
