//! The client: closed-loop load through generated stubs.

use std::time::{Duration, Instant};

use bench_common::{Args, Bench, Burden, Idle, Mix, Recorder, Workload};
use micro_runtime::Result;

use crate::bench::{EchoClient, Msg, StreamReq};
use crate::places::Places;

/// What every worker does.
#[derive(Clone)]
struct Load {
    client: EchoClient,
    pairs: Vec<(&'static str, &'static str)>,
    size: usize,
    count: u32,
    fed: bool,
    slow: bool,
}

/// Runs the load that the arguments ask for, and prints its line.
pub(crate) async fn run(args: &Args, places: &Places) -> Result<()> {
    places.add_by_hand(args).await?;
    let load = |client| Load {
        client,
        pairs: args.metadata().collect(),
        size: args.size(),
        count: args.count(),
        fed: args.has("fed"),
        slow: args.has("slow"),
    };
    if args.workload() == Workload::Idle {
        let service = places.service("bench-client");
        return idle(args, load(EchoClient::new(crate::NAME, service.client()))).await;
    }
    // A client has one connection of braid or gRPC to a node, and for mucp a pool, as go-micro has.
    let services: Vec<_> = (0..args.connections())
        .map(|_| places.service("bench-client"))
        .collect();
    let loads: Vec<_> = services
        .iter()
        .map(|service| load(EchoClient::new(crate::NAME, service.client())))
        .collect();
    for load in &loads {
        load.call(vec![7]).await?;
    }
    let workload = args.workload();
    let workers = loads.iter().cycle().take(args.workers()).enumerate();
    let workers = workers.map(|(number, load)| {
        let load = load.clone();
        move |recorder: Recorder| async move {
            let ended = match workload {
                Workload::Unary if load.slow => load.mixed(recorder, Mix::new(number)).await,
                Workload::Unary | Workload::Idle => load.unary(recorder).await,
                Workload::ServerStream => load.server_stream(recorder).await,
                Workload::Bidi => load.bidi(recorder).await,
            };
            ended.expect("every call is answered");
        }
    });
    Bench::new(args).drive(workers).await;
    Ok(())
}

/// One client that has called each of many nodes once: they are all the same server.
async fn idle(args: &Args, load: Load) -> Result<()> {
    load.call(vec![7]).await?;
    let memory = Idle::begin(args);
    for _ in 1..args.connections() {
        load.call(vec![7]).await?;
    }
    memory.report(args.connections() - 1);
    Ok(())
}

impl Load {
    /// A call as careful users make it: with a deadline, and with metadata.
    async fn call(&self, payload: Vec<u8>) -> Result<Msg> {
        let call = self.client.unary(Msg { payload });
        let call = call.timeout(Duration::from_secs(10));
        self.pairs
            .iter()
            .fold(call, |call, (key, value)| call.metadata(*key, *value))
            .await
    }

    async fn unary(&self, mut recorder: Recorder) -> Result<()> {
        let payload = vec![7; self.size];
        while !recorder.over() {
            let start = Instant::now();
            assert_eq!(self.call(payload.clone()).await?.payload.len(), self.size);
            recorder.done(start);
        }
        Ok(())
    }

    /// Calls of which some wait and some compute; those that do neither are counted.
    async fn mixed(&self, mut recorder: Recorder, mut mix: Mix) -> Result<()> {
        while !recorder.over() {
            let burden = mix.draw();
            let start = Instant::now();
            self.call(vec![burden.byte(); self.size]).await?;
            if burden == Burden::None {
                recorder.done(start);
            }
        }
        Ok(())
    }

    async fn server_stream(&self, mut recorder: Recorder) -> Result<()> {
        while !recorder.over() {
            let request = StreamReq {
                count: self.count,
                size: self.size as u32,
                fed: self.fed,
            };
            let mut messages = self.client.server_stream(request).await?;
            while !recorder.over()
                && let Some(message) = messages.message().await?
            {
                assert_eq!(message.payload.len(), self.size);
                recorder.count(1);
            }
        }
        Ok(())
    }

    async fn bidi(&self, mut recorder: Recorder) -> Result<()> {
        let payload = vec![7; self.size];
        let (mut out, mut replies) = self.client.bidi().await?;
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
            assert_eq!(reply.payload.len(), self.size);
            recorder.done(start);
        }
        Ok(())
    }
}
