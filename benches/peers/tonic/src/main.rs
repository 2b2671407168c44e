//! tonic, client and server, with the types that it generates by default.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bench_common::{Args, Bench, Recorder, Workload, runtime};
use futures::{Stream, StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

mod pb {
    tonic::include_proto!("bench");
}
use pb::echo_client::EchoClient;
use pb::echo_server::{Echo, EchoServer};
use pb::{Msg, StreamReq};

struct Echoes;

type Messages = Pin<Box<dyn Stream<Item = Result<Msg, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Echoes {
    async fn unary(&self, request: Request<Msg>) -> Result<Response<Msg>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    type ServerStreamStream = Messages;
    async fn server_stream(
        &self,
        request: Request<StreamReq>,
    ) -> Result<Response<Messages>, Status> {
        let StreamReq { count, size } = request.into_inner();
        let payload = vec![7; size as usize];
        // The best case: always ready, so that many messages share a frame.
        let messages = stream::iter((0..count).map(move |_| {
            Ok(Msg {
                payload: payload.clone(),
            })
        }));
        Ok(Response::new(Box::pin(messages)))
    }

    type BidiStream = Messages;
    async fn bidi(&self, request: Request<Streaming<Msg>>) -> Result<Response<Messages>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }
}

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        if args.mode() == "server" {
            let address = args.address().parse().expect("an address");
            let server = Server::builder()
                .tcp_nodelay(true)
                .add_service(EchoServer::new(Echoes));
            return server.serve(address).await.expect("it serves");
        }
        let mut clients = Vec::new();
        for _ in 0..args.connections() {
            let endpoint = Endpoint::new(format!("http://{}", args.address()))
                .expect("an address")
                .tcp_nodelay(true);
            clients.push(EchoClient::new(
                endpoint.connect().await.expect("a server listens"),
            ));
        }
        let (workload, size, count, plain) = (
            args.workload(),
            args.size(),
            args.count(),
            args.number("plain", 0) == 1,
        );
        let workers = clients.iter().cycle().take(args.workers()).map(|client| {
            let client = client.clone();
            move |recorder: Recorder| async move {
                let ended = match workload {
                    Workload::Unary => unary(client, recorder, size, plain).await,
                    Workload::ServerStream => server_stream(client, recorder, size, count).await,
                    Workload::Bidi => bidi(client, recorder, size).await,
                };
                ended.expect("every call is answered");
            }
        });
        Bench::new(&args).drive(workers).await;
    });
}

/// Calls with a deadline and two pairs of metadata, as ours; without them with `--plain 1`.
async fn unary(
    mut client: EchoClient<Channel>,
    mut recorder: Recorder,
    size: usize,
    plain: bool,
) -> Result<(), Status> {
    let payload = vec![7; size];
    while !recorder.over() {
        let start = Instant::now();
        let mut request = Request::new(Msg {
            payload: payload.clone(),
        });
        if !plain {
            request.set_timeout(Duration::from_secs(10));
            request
                .metadata_mut()
                .insert("tenant", "blue".parse().expect("ascii"));
            request
                .metadata_mut()
                .insert("request-kind", "bench".parse().expect("ascii"));
        }
        assert_eq!(
            client.unary(request).await?.into_inner().payload.len(),
            size
        );
        recorder.done(start);
    }
    Ok(())
}

async fn server_stream(
    mut client: EchoClient<Channel>,
    mut recorder: Recorder,
    size: usize,
    count: u32,
) -> Result<(), Status> {
    while !recorder.over() {
        let mut messages = client
            .server_stream(StreamReq {
                count,
                size: size as u32,
            })
            .await?
            .into_inner();
        while !recorder.over()
            && let Some(message) = messages.next().await
        {
            assert_eq!(message?.payload.len(), size);
            recorder.count(1);
        }
    }
    Ok(())
}

async fn bidi(
    mut client: EchoClient<Channel>,
    mut recorder: Recorder,
    size: usize,
) -> Result<(), Status> {
    let payload = vec![7; size];
    let (out, input) = tokio::sync::mpsc::channel(4);
    let mut replies = client.bidi(ReceiverStream::new(input)).await?.into_inner();
    while !recorder.over() {
        let start = Instant::now();
        out.send(Msg {
            payload: payload.clone(),
        })
        .await
        .expect("the stream lasts");
        replies.next().await.expect("the stream lasts")?;
        recorder.done(start);
    }
    Ok(())
}
