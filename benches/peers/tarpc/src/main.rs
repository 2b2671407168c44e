//! tarpc over TCP with bincode; it has no streams.

use std::time::{Duration, Instant};

use bench_common::{Args, Bench, Recorder, runtime};
use futures::future;
use futures::stream::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::serde_transport::tcp;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context};

#[tarpc::service]
trait Echo {
    async fn unary(payload: ByteBuf) -> ByteBuf;
}

#[derive(Clone)]
struct Echoes;

impl Echo for Echoes {
    async fn unary(self, _: context::Context, payload: ByteBuf) -> ByteBuf {
        payload
    }
}

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        if args.mode() == "server" {
            let incoming = tcp::listen(args.address(), Bincode::default)
                .await
                .expect("the address is free");
            let channels = incoming
                .filter_map(|accepted| future::ready(accepted.ok()))
                .map(|transport| {
                    transport.get_ref().set_nodelay(true).expect("nodelay");
                    BaseChannel::with_defaults(transport)
                });
            let serve = |channel: BaseChannel<_, _, _>| async move {
                let calls = channel.execute(Echoes.serve());
                tokio::spawn(calls.for_each(|call| async move { drop(tokio::spawn(call)) }));
            };
            return channels.for_each(serve).await;
        }
        let mut clients = Vec::new();
        for _ in 0..args.connections() {
            let transport = tcp::connect(args.address(), Bincode::default)
                .await
                .expect("a server listens");
            transport.get_ref().set_nodelay(true).expect("nodelay");
            clients.push(EchoClient::new(client::Config::default(), transport).spawn());
        }
        let size = args.size();
        let workers = clients.iter().cycle().take(args.workers()).map(|client| {
            let client = client.clone();
            move |mut recorder: Recorder| async move {
                let payload = ByteBuf::from(vec![7; size]);
                while !recorder.over() {
                    let start = Instant::now();
                    let mut cx = context::current();
                    cx.deadline = start + Duration::from_secs(10);
                    let reply = client
                        .unary(cx, payload.clone())
                        .await
                        .expect("every call is answered");
                    assert_eq!(reply.len(), size);
                    recorder.done(start);
                }
            }
        });
        Bench::new(&args).drive(workers).await;
    });
}
