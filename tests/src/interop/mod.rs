//! The interop program: a server or a client of the test services, made of nothing but this
//! project's public API.
//!
//! Flags and lines on the standard output are those of the Go peers (`tests/peers/README.md`), with
//! two dashes, so that a test says the same to both. What this has besides: `--service` (one program
//! serves all), `--set`, `--next` and `--trace` (see [`Args`]).

mod args;
mod client;
mod greeter;
mod greeter_calls;
mod kitchen;
mod server;
mod tally;

pub use args::{Args, Call, Mode, ProtocolName, RegistryName, ServiceName};

use std::process::ExitCode;

use clap::Parser;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let ended = runtime.block_on(async {
        match args.mode {
            Mode::Server => server::serve(&args).await.map(|()| 0),
            Mode::Client => client::run(args).await,
        }
    });
    // Streams that were left open on purpose must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => refuse(&error),
    }
}

/// Says why the program could not do what it was asked to.
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("micro-interop: {error}");
    ExitCode::FAILURE
}
