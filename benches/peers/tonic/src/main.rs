//! tonic, client and server, with the types that it generates by default.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bench_common::{Args, Bench, Burden, Idle, Mix, Recorder, Workload, runtime};
use futures::{Stream, StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
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
        let message = request.into_inner();
        Burden::of(&message.payload).bear().await;
        Ok(Response::new(message))
    }

    type ServerStreamStream = Messages;
    async fn server_stream(
        &self,
        request: Request<StreamReq>,
    ) -> Result<Response<Messages>, Status> {
        let StreamReq { count, size, fed } = request.into_inner();
        let payload = vec![7; size as usize];
        let messages = (0..count).map(move |_| {
            Ok(Msg {
                payload: payload.clone(),
            })
        });
        if !fed {
            // The best case: always ready, so that many messages share a frame.
            return Ok(Response::new(Box::pin(stream::iter(messages))));
        }
        let (feed, fed) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            for message in messages {
                if feed.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(fed))))
    }

    type BidiStream = Messages;
    async fn bidi(&self, request: Request<Streaming<Msg>>) -> Result<Response<Messages>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }
}

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        match args.mode() {
            "server" => serve(&args).await,
            _ => load(&args).await,
        }
    });
}

async fn serve(args: &Args) {
    let address = args.address().parse().expect("an address");
    let mut server = Server::builder().tcp_nodelay(true);
    if let Some((chain, key)) = args.get("cert").zip(args.get("key")) {
        let identity = Identity::from_pem(read(chain), read(key));
        let tls = ServerTlsConfig::new().identity(identity);
        server = server.tls_config(tls).expect("a certificate and its key");
    }
    let server = server.add_service(EchoServer::new(Echoes));
    server.serve(address).await.expect("it serves");
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(file).expect("the file is there")
}

async fn connect(args: &Args) -> EchoClient<Channel> {
    let scheme = args.get("cert").map_or("http", |_| "https");
    let mut endpoint = Endpoint::new(format!("{scheme}://{}", args.address()))
        .expect("an address")
        .tcp_nodelay(true);
    if let Some(ca) = args.get("cert") {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)));
        endpoint = endpoint.tls_config(tls).expect("a certificate");
    }
    EchoClient::new(endpoint.connect().await.expect("a server listens"))
}

async fn load(args: &Args) {
    if args.workload() == Workload::Idle {
        return idle(args).await;
    }
    let mut clients = Vec::new();
    for _ in 0..args.connections() {
        clients.push(connect(args).await);
    }
    let (workload, size, count) = (args.workload(), args.size(), args.count());
    let (fed, slow) = (args.has("fed"), args.has("slow"));
    let workers = clients.iter().cycle().take(args.workers()).enumerate();
    let workers = workers.map(|(number, client)| {
        let caller = Caller::new(client.clone(), args);
        move |recorder: Recorder| async move {
            let ended = match workload {
                Workload::Unary if slow => caller.mixed(recorder, size, Mix::new(number)).await,
                Workload::Unary | Workload::Idle => caller.unary(recorder, size).await,
                Workload::ServerStream => {
                    server_stream(caller.client, recorder, size, count, fed).await
                }
                Workload::Bidi => bidi(caller.client, recorder, size).await,
            };
            ended.expect("every call is answered");
        }
    });
    Bench::new(args).drive(workers).await;
}

async fn idle(args: &Args) {
    let mut callers = vec![Caller::new(connect(args).await, args)];
    callers[0].call(vec![7]).await.expect("an answer");
    let memory = Idle::begin(args);
    for _ in 1..args.connections() {
        let mut caller = Caller::new(connect(args).await, args);
        caller.call(vec![7]).await.expect("an answer");
        callers.push(caller);
    }
    memory.report(args.connections() - 1);
}

/// Calls with a deadline and pairs of metadata, as ours.
struct Caller {
    client: EchoClient<Channel>,
    pairs: Vec<(&'static str, &'static str)>,
}

impl Caller {
    fn new(client: EchoClient<Channel>, args: &Args) -> Self {
        let pairs = args.metadata().collect();
        Self { client, pairs }
    }

    async fn call(&mut self, payload: Vec<u8>) -> Result<Msg, Status> {
        let mut request = Request::new(Msg { payload });
        request.set_timeout(Duration::from_secs(10));
        for (key, value) in &self.pairs {
            let value = MetadataValue::from_static(value);
            request.metadata_mut().insert(*key, value);
        }
        Ok(self.client.unary(request).await?.into_inner())
    }

    async fn unary(mut self, mut recorder: Recorder, size: usize) -> Result<(), Status> {
        let payload = vec![7; size];
        while !recorder.over() {
            let start = Instant::now();
            assert_eq!(self.call(payload.clone()).await?.payload.len(), size);
            recorder.done(start);
        }
        Ok(())
    }

    /// Calls of which some wait and some compute; those that do neither are counted.
    async fn mixed(
        mut self,
        mut recorder: Recorder,
        size: usize,
        mut mix: Mix,
    ) -> Result<(), Status> {
        while !recorder.over() {
            let burden = mix.draw();
            let start = Instant::now();
            self.call(vec![burden.byte(); size]).await?;
            if burden == Burden::None {
                recorder.done(start);
            }
        }
        Ok(())
    }
}

async fn server_stream(
    mut client: EchoClient<Channel>,
    mut recorder: Recorder,
    size: usize,
    count: u32,
    fed: bool,
) -> Result<(), Status> {
    while !recorder.over() {
        let mut messages = client
            .server_stream(StreamReq {
                count,
                size: size as u32,
                fed,
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
