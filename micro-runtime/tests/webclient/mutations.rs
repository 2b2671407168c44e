//! Answers changed at random: each call ends, well or with an error, and the next one is served.

use std::time::Duration;

use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::{Connect, GrpcWeb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::net::{LONG, answer, client, framed, gzipped};
use crate::say::{SayClient, sized, word};

const ROUNDS: u64 = 400;

/// Parts that make answers wrong in many ways.
const PARTS: [&[u8]; 16] = [
    b"\r\n",
    b"\0",
    b"\xff",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Grpc-Status: 5\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    &[2, 0, 0, 0, 2, b'{', b'}'],
    &[0x80, 0, 0, 0, 0],
    &[1, 0xff, 0xff, 0xff, 0xff],
    b"{\"error\":",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            2 => bytes.truncate(at),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {
                let part = PARTS[random.usize(..PARTS.len())];
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
}

/// Answers in chunks.
fn chunked(head: &str, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in pieces {
        all.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        all.extend(piece);
        all.extend(b"\r\n");
    }
    all.extend(b"0\r\nTook: long\r\n\r\n");
    all
}

/// Calls whose answers are seeds, changed; the last call's is as it was.
async fn run(say: SayClient, listener: TcpListener, seed: Vec<u8>, streams: bool) {
    let mut random = fastrand::Rng::with_seed(seed.len() as u64);
    let serve = async {
        for round in 0..=ROUNDS {
            let mut bytes = seed.clone();
            if round < ROUNDS {
                mutate(&mut random, &mut bytes);
            }
            let (mut io, _) = listener.accept().await.unwrap();
            let mut some = [0; 4096];
            let _ = io.read(&mut some).await;
            let _ = io.write_all(&bytes).await;
            // Closed: each call has a connection of its own.
        }
    };
    let calls = async {
        let mut good = false;
        for _ in 0..=ROUNDS {
            good = match streams {
                false => say.hello(word("x")).retries(0).await.is_ok(),
                true => match say.count(word("x")).retries(0).await {
                    Err(_) => false,
                    Ok(mut stream) => loop {
                        match stream.message().await {
                            Ok(Some(_)) => {}
                            Ok(None) => break true,
                            Err(_) => break false,
                        }
                    },
                },
            };
        }
        assert!(good, "the answer that is as it was");
    };
    timeout(LONG + Duration::from_secs(20), async {
        tokio::join!(calls, serve)
    })
    .await
    .expect("a call does not end");
}

async fn connect() -> (SayClient, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (client(Connect::new(), &address).await, listener)
}

async fn grpc_web() -> (SayClient, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (client(GrpcWeb::new(), &address).await, listener)
}

fn message() -> Vec<u8> {
    sized("text", 300).encode_to_vec()
}

#[tokio::test]
async fn of_connects_unary_calls() {
    let (say, listener) = connect().await;
    let head =
        "200 OK\r\nContent-Type: application/proto\r\nContent-Encoding: gzip\r\nTrailer-A: b";
    run(say, listener, answer(head, gzipped(&message())), false).await;
}

#[tokio::test]
async fn of_connects_streams() {
    let (say, listener) = connect().await;
    let head =
        "200 OK\r\nContent-Type: application/connect+proto\r\nConnect-Content-Encoding: gzip";
    let pieces = [
        framed(0, message()),
        framed(1, gzipped(&message())),
        framed(2, r#"{"metadata":{"took":["long"]}}"#),
    ];
    run(say, listener, chunked(head, &pieces), true).await;
}

#[tokio::test]
async fn of_grpc_webs_unary_calls() {
    let (say, listener) = grpc_web().await;
    let head = "200 OK\r\nContent-Type: application/grpc-web+proto\r\nGrpc-Encoding: gzip";
    let pieces = [
        framed(1, gzipped(&message())),
        framed(0x81, gzipped(b"grpc-status: 0\r\ntook: long\r\n")),
    ];
    run(say, listener, answer(head, pieces.concat()), false).await;
}

#[tokio::test]
async fn of_grpc_webs_streams() {
    let (say, listener) = grpc_web().await;
    let head = "200 OK\r\nContent-Type: application/grpc-web+proto";
    let pieces = [
        framed(0, message()),
        framed(0, message()),
        framed(0x80, "grpc-status: 0\r\ngrpc-message: fine\r\n"),
    ];
    run(say, listener, chunked(head, &pieces), true).await;
}
