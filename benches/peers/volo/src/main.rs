//! volo-grpc, client and server, with the types that it generates by default.

use std::net::SocketAddr;
use std::time::Instant;

use bench_common::{Args, Bench, Recorder, Workload, runtime};
use futures::{StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use volo_grpc::server::{Server, ServiceBuilder};
use volo_grpc::{BoxStream, RecvStream, Request, Response, Status};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/volo_gen.rs"));
}
use generated::volo_gen::bench::{Echo, EchoClient, EchoClientBuilder, EchoServer, Msg, StreamReq};

struct Echoes;

type Messages = BoxStream<'static, Result<Msg, Status>>;

impl Echo for Echoes {
    async fn unary(&self, request: Request<Msg>) -> Result<Response<Msg>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn server_stream(
        &self,
        request: Request<StreamReq>,
    ) -> Result<Response<Messages>, Status> {
        let request = request.into_inner();
        let payload = vec![7; request.size as usize];
        Ok(Response::new(Box::pin(stream::iter(
            (0..request.count).map(move |_| Ok(message(&payload))),
        ))))
    }

    async fn bidi(&self, request: Request<RecvStream<Msg>>) -> Result<Response<Messages>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }
}

fn message(payload: &[u8]) -> Msg {
    Msg {
        payload: payload.to_vec().into(),
        ..Default::default()
    }
}

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        let address: SocketAddr = args.address().parse().expect("an address");
        if args.mode() == "server" {
            let server =
                Server::new().add_service(ServiceBuilder::new(EchoServer::new(Echoes)).build());
            return server
                .run(volo::net::Address::from(address))
                .await
                .expect("it serves");
        }
        let clients: Vec<_> = (0..args.connections())
            .map(|_| EchoClientBuilder::new("bench").address(address).build())
            .collect();
        for client in &clients {
            client.unary(message(&[7])).await.expect("a server listens");
        }
        let (workload, size, count) = (args.workload(), args.size(), args.count());
        let workers = clients.iter().cycle().take(args.workers()).map(|client| {
            let client = client.clone();
            move |recorder: Recorder| async move {
                load(client, recorder, workload, size, count)
                    .await
                    .expect("every call is answered");
            }
        });
        Bench::new(&args).drive(workers).await;
    });
}

async fn load(
    client: EchoClient,
    mut recorder: Recorder,
    workload: Workload,
    size: usize,
    count: u32,
) -> Result<(), Status> {
    let payload = vec![7; size];
    match workload {
        Workload::Unary | Workload::Idle => {
            while !recorder.over() {
                let start = Instant::now();
                assert_eq!(
                    client
                        .unary(message(&payload))
                        .await?
                        .into_inner()
                        .payload
                        .len(),
                    size
                );
                recorder.done(start);
            }
        }
        Workload::ServerStream => {
            while !recorder.over() {
                let request = StreamReq {
                    count,
                    size: size as u32,
                    ..Default::default()
                };
                let mut messages = client.server_stream(request).await?.into_inner();
                while !recorder.over()
                    && let Some(message) = messages.next().await
                {
                    assert_eq!(message?.payload.len(), size);
                    recorder.count(1);
                }
            }
        }
        Workload::Bidi => {
            let (out, input) = tokio::sync::mpsc::channel(4);
            let mut replies = client.bidi(ReceiverStream::new(input)).await?.into_inner();
            while !recorder.over() {
                let start = Instant::now();
                out.send(message(&payload)).await.expect("the stream lasts");
                replies.next().await.expect("the stream lasts")?;
                recorder.done(start);
            }
        }
    }
    Ok(())
}
