//! A node that multicast DNS tells of, and a caller that says what it sees: with a time to live of
//! seconds, which no setting gives, so that a test sees the end of it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use micro_runtime::call::Frame;
use micro_runtime::registry::{Directory, Mdns, MdnsOptions};
use micro_runtime::tasks::Tasks;
use micro_runtime::{Result, Service};
use tokio::time::{Instant, sleep};

/// Serves a name, or calls it and tells of its nodes.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long, value_enum)]
    mode: Mode,
    /// The name.
    #[arg(long)]
    service: String,
    /// Server: for how many seconds what it tells holds.
    #[arg(long, default_value_t = 120)]
    ttl: u32,
    /// Client: how long it calls, in seconds.
    #[arg(long, default_value_t = 10)]
    time: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Server,
    Client,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.mode {
        Mode::Server => serve(&args).await,
        Mode::Client => call(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> Result<()> {
    let registry = Mdns::new(&Tasks::new(), MdnsOptions::default().ttl(args.ttl))?;
    let running = Service::new(&args.service)
        .registry(registry)
        .address("127.0.0.1:0")
        .start()
        .await?;
    println!("READY {}", running.address());
    std::future::pending().await
}

/// Prints `NODES`, their number and the milliseconds since its begin whenever the number changes for
/// who only watches; for each call that fails `REFUSED` where it reached nobody, else `CUT`, with the
/// milliseconds. None is tried again.
async fn call(args: &Args) -> Result<()> {
    let begun = Instant::now();
    let registry = Arc::new(Mdns::new(&Tasks::new(), MdnsOptions::default())?);
    let tasks = Tasks::new();
    let view = Directory::new(registry.clone(), &tasks).view(&args.service);
    view.ready(begun + Duration::from_secs(5)).await?;
    let caller = Service::new("caller").shared_registry(registry).retries(0);
    let mut nodes = 0;
    while begun.elapsed() < Duration::from_secs(args.time) {
        let found = view.nodes().list.len();
        if found != nodes {
            nodes = found;
            println!("NODES {found} {}", begun.elapsed().as_millis());
        }
        let health = caller
            .client()
            .request(&args.service, "Debug.Health", Frame::default());
        if let Err(error) = health.await {
            let word = match error.is_unprocessed() {
                true => "REFUSED",
                false => "CUT",
            };
            println!("{word} {}", begun.elapsed().as_millis());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
