//! The client: closed-loop load through generated stubs.

use std::time::{Duration, Instant};

use bench_common::{Args, Bench, Recorder, Workload};
use micro_runtime::Result;

use crate::bench::{EchoClient, Msg, StreamReq};
use crate::places::Places;

/// Runs the load that the arguments ask for, and prints its line.
pub(crate) async fn run(args: &Args, places: &Places) -> Result<()> {
    places.add_by_hand(args).await?;
    // A client has one braid connection to a node, and for mucp a pool, as go-micro has.
    let services: Vec<_> = (0..args.connections())
        .map(|_| places.service("bench-client"))
        .collect();
    let clients: Vec<_> = services
        .iter()
        .map(|service| EchoClient::new(crate::NAME, service.client()))
        .collect();
    for client in &clients {
        call(client, vec![7]).await?;
    }
    let (workload, size, count) = (args.workload(), args.size(), args.count());
    let workers = clients.iter().cycle().take(args.workers()).map(|client| {
        let client = client.clone();
        move |recorder: Recorder| async move {
            let ended = match workload {
                Workload::Unary => unary(&client, recorder, size).await,
                Workload::ServerStream => server_stream(&client, recorder, size, count).await,
                Workload::Bidi => bidi(&client, recorder, size).await,
            };
            ended.expect("every call is answered");
        }
    });
    Bench::new(args).drive(workers).await;
    Ok(())
}

/// A call as careful users make it: with a deadline, and with metadata.
async fn call(client: &EchoClient, payload: Vec<u8>) -> Result<Msg> {
    client
        .unary(Msg { payload })
        .timeout(Duration::from_secs(10))
        .metadata("Tenant", "blue")
        .metadata("Request-Kind", "bench")
        .await
}

async fn unary(client: &EchoClient, mut recorder: Recorder, size: usize) -> Result<()> {
    let payload = vec![7; size];
    while !recorder.over() {
        let start = Instant::now();
        assert_eq!(call(client, payload.clone()).await?.payload.len(), size);
        recorder.done(start);
    }
    Ok(())
}

async fn server_stream(
    client: &EchoClient,
    mut recorder: Recorder,
    size: usize,
    count: u32,
) -> Result<()> {
    while !recorder.over() {
        let mut messages = client
            .server_stream(StreamReq {
                count,
                size: size as u32,
            })
            .await?;
        while !recorder.over()
            && let Some(message) = messages.message().await?
        {
            assert_eq!(message.payload.len(), size);
            recorder.count(1);
        }
    }
    Ok(())
}

async fn bidi(client: &EchoClient, mut recorder: Recorder, size: usize) -> Result<()> {
    let payload = vec![7; size];
    let (mut out, mut replies) = client.bidi().await?;
    while !recorder.over() {
        let start = Instant::now();
        out.send(Msg {
            payload: payload.clone(),
        })
        .await?;
        let reply = replies
            .message()
            .await?
            .expect("the stream lasts as long as its input");
        assert_eq!(reply.payload.len(), size);
        recorder.done(start);
    }
    Ok(())
}
