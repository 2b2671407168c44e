//! The bare h2 crate with gRPC's headers, prefix and trailers; no hyper, tower, tonic or prost.

use std::time::Instant;

use bench_common::{Args, Bench, Recorder, runtime};
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::poll_fn;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use tokio::net::{TcpListener, TcpStream};

const WINDOW: u32 = 1 << 20;
/// Below it h2 may buffer; above it capacity is waited for.
const SMALL: usize = 16 << 10;

fn main() {
    let args = Args::read();
    runtime().block_on(async {
        if args.mode() == "server" {
            let listener = TcpListener::bind(args.address())
                .await
                .expect("the address is free");
            loop {
                let (socket, _) = listener.accept().await.expect("accept");
                tokio::spawn(serve(socket));
            }
        }
        let mut clients = Vec::new();
        for _ in 0..args.connections() {
            clients.push(connect(args.address()).await);
        }
        let uri: Uri = format!("http://{}/bench.Echo/Unary", args.address())
            .parse()
            .expect("a URI");
        let size = args.size();
        let workers = clients.iter().cycle().take(args.workers()).map(|client| {
            let (client, uri) = (client.clone(), uri.clone());
            move |mut recorder: Recorder| async move {
                let payload = vec![7; size];
                while !recorder.over() {
                    let start = Instant::now();
                    call(&client, &uri, &payload)
                        .await
                        .expect("every call is answered");
                    recorder.done(start);
                }
            }
        });
        Bench::new(&args).drive(workers).await;
    });
}

async fn connect(address: &str) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.expect("a server listens");
    socket.set_nodelay(true).expect("nodelay");
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let (client, connection) = builder.handshake(socket).await.expect("a handshake");
    tokio::spawn(connection);
    client
}

async fn call(client: &SendRequest<Bytes>, uri: &Uri, payload: &[u8]) -> Result<(), h2::Error> {
    let mut client = client.clone().ready().await?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "bench/0.1"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let (response, mut out) = client.send_request(request, false)?;
    send(&mut out, frame(payload), true).await?;
    let (message, mut body) = collect(response.await?.into_body()).await?;
    assert_eq!(message.len(), 5 + payload.len());
    let trailers = body.trailers().await?.unwrap_or_default();
    assert_eq!(
        trailers.get("grpc-status").map(HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    Ok(())
}

async fn serve(socket: TcpStream) {
    socket.set_nodelay(true).expect("nodelay");
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let Ok(mut connection) = builder.handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, out))) = connection.accept().await {
        tokio::spawn(async move { drop(answer(request, out).await) });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut out: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (message, _) = collect(request.into_body()).await?;
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut body = out.send_response(response, false)?;
    send(&mut body, message, false).await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers)
}

fn frame(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + payload.len());
    out.put_u8(0);
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out.freeze()
}

/// The whole body; without a copy where it is one frame.
async fn collect(mut body: RecvStream) -> Result<(Bytes, RecvStream), h2::Error> {
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.put_slice(&first);
            }
            whole.put_slice(&data);
        }
    }
    Ok((
        if whole.is_empty() {
            first
        } else {
            whole.freeze()
        },
        body,
    ))
}

async fn send(out: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    if data.len() <= SMALL {
        return out.send_data(data, end);
    }
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        let Some(room) = poll_fn(|task| out.poll_capacity(task)).await else {
            return Ok(());
        };
        let part = data.split_to(room?.min(data.len()));
        out.send_data(part, end && data.is_empty())?;
    }
    Ok(())
}
