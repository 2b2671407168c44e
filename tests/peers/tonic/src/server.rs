//! The serving side.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::metadata::{KeyAndValueRef, MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::LARGEST;
use crate::flags::Flags;
use crate::proto::greeter_server::{Greeter, GreeterServer};
use crate::proto::{
    CountRequest, CountResponse, EchoRequest, EchoResponse, FailRequest, HelloRequest,
    HelloResponse, SleepRequest, SumRequest, SumResponse,
};

pub async fn serve(flags: &Flags) -> i32 {
    let address = flags.text("address", "127.0.0.1:0");
    let listener = TcpListener::bind(address)
        .await
        .expect("the address is free");
    let address = listener.local_addr().expect("it listens");
    let mut greeter = GreeterServer::new(Peer)
        .max_decoding_message_size(LARGEST)
        .max_encoding_message_size(LARGEST)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    if flags.is_set("gzip") {
        greeter = greeter.send_compressed(Gzip);
    }
    if flags.is_set("zstd") {
        greeter = greeter.send_compressed(Zstd);
    }
    let mut asked = signal(SignalKind::terminate()).expect("signals can be had");
    println!("READY {address}");
    let served = Server::builder()
        .add_service(greeter)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            asked.recv().await;
        })
        .await;
    match served {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

struct Peer;

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Greeter for Peer {
    type CountStream = Replies<CountResponse>;
    type SumStream = Replies<SumResponse>;

    async fn hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloResponse>, Status> {
        let msg = format!("Hello {}", request.into_inner().name);
        Ok(Response::new(HelloResponse { msg }))
    }

    /// Answers with the status code in `kind`, details that are nobody's message, and metadata.
    async fn fail(&self, request: Request<FailRequest>) -> Result<Response<HelloResponse>, Status> {
        let FailRequest { kind, detail } = request.into_inner();
        let code = Code::from_i32(kind.parse().unwrap_or(2));
        let mut metadata = MetadataMap::new();
        metadata.insert("retry-after", MetadataValue::from_static("3"));
        Err(Status::with_metadata(code, detail, metadata))
    }

    async fn sleep(
        &self,
        request: Request<SleepRequest>,
    ) -> Result<Response<HelloResponse>, Status> {
        let ms = request.into_inner().ms;
        eprintln!("BEGIN {ms}");
        let guard = Guard;
        tokio::time::sleep(Duration::from_millis(ms.try_into().unwrap_or(0))).await;
        std::mem::forget(guard);
        let msg = "slept".to_owned();
        Ok(Response::new(HelloResponse { msg }))
    }

    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let mut reply = EchoResponse::default();
        for pair in request.metadata().iter() {
            let (key, value) = match pair {
                KeyAndValueRef::Ascii(key, value) => {
                    (key.as_str(), value.to_str().unwrap_or_default().to_owned())
                }
                KeyAndValueRef::Binary(key, value) => {
                    let bytes = value.to_bytes().unwrap_or_default();
                    (key.as_str(), hex(&bytes))
                }
            };
            reply.metadata.insert(key.to_owned(), value);
        }
        if let Some(left) = request.metadata().get("grpc-timeout") {
            reply.deadline_ns = nanoseconds(left.to_str().unwrap_or_default());
        }
        let mut response = Response::new(reply);
        let head = response.metadata_mut();
        head.insert("head", MetadataValue::from_static("yes"));
        head.insert_bin("both-bin", MetadataValue::from_bytes(&[0, 1, 254]));
        Ok(response)
    }

    async fn count(
        &self,
        request: Request<CountRequest>,
    ) -> Result<Response<Self::CountStream>, Status> {
        let CountRequest { to, fail } = request.into_inner();
        let numbers = tokio_stream::iter(1..=to).map(|n| Ok(CountResponse { n }));
        let end = fail.then(|| Err(Status::aborted("stream failed")));
        Ok(Response::new(Box::pin(
            numbers.chain(tokio_stream::iter(end)),
        )))
    }

    async fn sum(
        &self,
        request: Request<Streaming<SumRequest>>,
    ) -> Result<Response<Self::SumStream>, Status> {
        let mut total = 0;
        let sums = request.into_inner().map(move |asked| {
            let SumRequest { n, fail } = asked?;
            if fail {
                return Err(Status::aborted("stream failed"));
            }
            total += n;
            Ok(SumResponse { total })
        });
        Ok(Response::new(Box::pin(sums)))
    }

    async fn collect(
        &self,
        request: Request<Streaming<SumRequest>>,
    ) -> Result<Response<SumResponse>, Status> {
        let mut input = request.into_inner();
        let mut total = 0;
        while let Some(SumRequest { n, .. }) = input.message().await? {
            total += n;
        }
        Ok(Response::new(SumResponse { total }))
    }
}

/// Says that a handler was dropped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("DROPPED context canceled at {:?}", Instant::now());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a `grpc-timeout` says.
fn nanoseconds(timeout: &str) -> i64 {
    let (number, unit) = timeout.split_at(timeout.len().saturating_sub(1));
    let unit = match unit {
        "H" => 3600 * 1_000_000_000,
        "M" => 60 * 1_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        _ => 1,
    };
    number.parse::<i64>().unwrap_or(0).saturating_mul(unit)
}
