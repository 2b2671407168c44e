//! connectrpc in its gRPC protocol, client and server, with the types that it generates by default.

use std::sync::Arc;
use std::time::Instant;

use bench_common::{Args, Bench, Recorder, Workload, runtime};
use connectrpc::client::{ClientConfig, Http2Connection, SharedHttp2Connection};
use connectrpc::{
    ConnectError, ConnectRpcService, InboundStream, Protocol, RequestContext, Response,
    ServiceRequest, ServiceResult, ServiceStream,
};
use futures::{StreamExt, stream};

mod proto {
    connectrpc::include_generated!();
}
use proto::bench::{Echo, EchoClient, EchoServer, Msg, StreamReq};

struct Echoes;

impl Echo for Echoes {
    async fn unary(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, Msg>,
    ) -> ServiceResult<Msg> {
        Response::ok(message(request.payload))
    }

    async fn server_stream(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, StreamReq>,
    ) -> ServiceResult<ServiceStream<Msg>> {
        let (payload, count) = (vec![7; request.size as usize], request.count);
        Response::stream_ok(stream::iter((0..count).map(move |_| Ok(message(&payload)))))
    }

    async fn bidi(
        &self,
        _: RequestContext,
        requests: InboundStream<Msg>,
    ) -> ServiceResult<ServiceStream<Msg>> {
        Response::stream_ok(
            requests.map(|message| message.map(|message| message.to_owned_message())),
        )
    }
}

fn message(payload: &[u8]) -> Msg {
    Msg {
        payload: payload.to_vec(),
        ..Default::default()
    }
}

type Client = Arc<EchoClient<SharedHttp2Connection>>;

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        if args.mode() == "server" {
            let server = connectrpc::server::Server::bind(args.address())
                .await
                .expect("the address is free");
            return server
                .serve_with_service(ConnectRpcService::new(EchoServer::new(Echoes)))
                .await
                .expect("it serves");
        }
        let uri: http::Uri = format!("http://{}", args.address())
            .parse()
            .expect("an address");
        let config = ClientConfig::new(uri.clone()).with_protocol(Protocol::Grpc);
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..args.connections() {
            let connection = Http2Connection::connect_plaintext(uri.clone())
                .await
                .expect("a server listens");
            clients.push(Arc::new(EchoClient::new(
                connection.shared(1024),
                config.clone(),
            )));
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
    client: Client,
    mut recorder: Recorder,
    workload: Workload,
    size: usize,
    count: u32,
) -> Result<(), ConnectError> {
    let payload = vec![7; size];
    match workload {
        Workload::Unary | Workload::Idle => {
            while !recorder.over() {
                let start = Instant::now();
                assert_eq!(
                    client.unary(message(&payload)).await?.view().payload.len(),
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
                let mut messages = client.server_stream(request).await?;
                while !recorder.over()
                    && let Some(message) = messages.message().await?
                {
                    assert_eq!(message.view().payload.len(), size);
                    recorder.count(1);
                }
            }
        }
        Workload::Bidi => {
            let mut stream = client.bidi().await?;
            while !recorder.over() {
                let start = Instant::now();
                stream.send(message(&payload)).await?;
                stream.message().await?.expect("the stream lasts");
                recorder.done(start);
            }
        }
    }
    Ok(())
}
