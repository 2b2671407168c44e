//! A bound, not a product: how near the ceiling a multiplexed protocol on tokio can come.
//!
//! Frame: u32 length | u32 call id | u16 method | u16 flags | body, little endian. There is no
//! deadline, cancellation, metadata, codec, wrapper or flow control, so a framework cannot be as fast.
//!
//! Client: calls in flight are slots of a slab; callers append to one shared buffer, and one of them
//! has it written. Server: each handler is polled once in place; where it is ready its reply goes into
//! the batch's buffer, else (or with `--spawn 1`) it is spawned. One write for each batch read.

mod client;
mod server;
mod writer;

use bench_common::{Args, Bench, Recorder, runtime};
use std::time::Instant;

fn main() {
    let args = Args::read();
    match args.mode() {
        "server" => runtime().block_on(server::run(args.address(), args.number("spawn", 0) == 1)),
        "client" => runtime().block_on(load(&args)),
        other => panic!("server or client, not {other:?}"),
    }
}

async fn load(args: &Args) {
    // With one call in flight on a connection there is nothing to batch: its caller writes at once.
    let alone = u64::from(args.workers() <= args.connections());
    let inline = args.number("inline", alone) == 1;
    let mut clients = Vec::new();
    for _ in 0..args.connections() {
        clients.push(client::Client::connect(args.address(), inline).await);
    }
    let size = args.size();
    let workers = clients.iter().cycle().take(args.workers()).map(|client| {
        let client = client.clone();
        move |mut recorder: Recorder| async move {
            let payload = vec![7; size];
            while !recorder.over() {
                let start = Instant::now();
                assert_eq!(client.call(1, &payload).await.len(), size);
                recorder.done(start);
            }
        }
    });
    Bench::new(args).drive(workers).await;
}
