//! What Go Micro's gRPC plugins were recorded to send, both ways: their requests to our server, and
//! their answers to our client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::Frame;
use micro_runtime::client::Target;
use micro_runtime::method::{Kind, Method};
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::generated::greeter::GreeterServer;
use crate::greeter::Peer;
use crate::net::{channel, server};
use crate::pipes::{Direct, Pipes};

pub fn recorded(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/rpc");
    std::fs::read(folder.join(name)).unwrap()
}

/// A frame: its type, its flags, its stream, and what it holds.
#[derive(Debug)]
struct Piece<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

fn pieces(mut bytes: &[u8]) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    while let [a, b, c, kind, flags, s1, s2, s3, s4, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        all.push(Piece {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*s1, *s2, *s3, *s4]),
            payload,
        });
        bytes = rest;
    }
    all
}

/// All data of the first stream, how many heads it has, and whether it ended.
fn answer(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let of_call = |piece: &&Piece<'_>| piece.stream == 1;
    let all = pieces(bytes);
    let data = all.iter().filter(of_call).filter(|piece| piece.kind == 0);
    let data = data
        .flat_map(|piece| piece.payload.iter().copied())
        .collect();
    let heads = all.iter().filter(of_call).filter(|piece| piece.kind == 1);
    let ended = all
        .iter()
        .filter(of_call)
        .any(|piece| piece.kind <= 1 && piece.flags & 1 == 1);
    (data, heads.count(), ended)
}

#[tokio::test]
async fn what_go_micros_client_sends_is_answered_as_its_server_does() {
    for name in [
        "grpc_unary",
        "grpc_unary_json",
        "grpc_unary_protobuf_ct",
        "grpc_wrong_package",
        "grpc_unknown_method",
        "grpc_unknown_service",
        "grpc_error_notfound",
        "grpc_error_custom418",
        "grpc_error_plain",
        "grpc_error_panic",
        "grpc_server_stream",
        "grpc_server_stream_error",
        "grpc_client_stream",
        "grpc_bidi_stream",
    ] {
        let tasks = Tasks::new();
        let service = GreeterServer::new(Peer::default());
        let server = server(&Grpc::new(), service, Limits::default(), &tasks);
        let (mut client, io) = tokio::io::duplex(64 * 1024);
        server.attach(Connection::new(io, "caller", "server"));
        client
            .write_all(&recorded(&format!("{name}.c2s.bin")))
            .await
            .unwrap();
        let (data, heads, ended) = answer(&recorded(&format!("{name}.s2c.bin")));
        let mut ours = Vec::new();
        let read = async {
            // A recording that the client broke off has no end.
            while answer(&ours).2 != ended || answer(&ours).0.len() < data.len() {
                assert_ne!(client.read_buf(&mut ours).await.unwrap(), 0, "{name}");
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap_or_else(|_| {
                panic!("{name}: {:?}", answer(&ours));
            });
        assert_eq!(answer(&ours), (data, heads, ended), "{name}");
    }
}

#[tokio::test]
async fn what_go_micros_server_answers_is_understood() {
    let not_found = Error::not_found("greeter.fail", "no such thing");
    let teapot = Error::new("greeter.fail", "short and stout", 418);
    for (name, kind, expected) in [
        ("grpc_unary", Kind::Unary, Ok(1)),
        ("grpc_unary_json", Kind::Unary, Ok(1)),
        (
            "grpc_error_notfound",
            Kind::Unary,
            Err((5, not_found.code())),
        ),
        ("grpc_error_custom418", Kind::Unary, Err((2, teapot.code()))),
        ("grpc_error_plain", Kind::Unary, Err((2, 500))),
        ("grpc_error_panic", Kind::Unary, Err((13, 500))),
        ("grpc_unknown_method", Kind::Unary, Err((12, 501))),
        ("grpc_unknown_service", Kind::Unary, Err((12, 501))),
        ("grpc_server_stream", Kind::ServerStream, Ok(3)),
        (
            "grpc_server_stream_error",
            Kind::ServerStream,
            Err((6, 409)),
        ),
    ] {
        let bytes = recorded(&format!("{name}.s2c.bin"));
        let tasks = Tasks::new();
        let (pipes, mut dialled) = Pipes::new(64 * 1024);
        let channel = channel(&Grpc::new(), pipes, &tasks, "server");
        let target = Target::new("greeter", Arc::new(Direct(channel)));
        let recorded = bytes.clone();
        let playing = tokio::spawn(async move {
            let mut io = dialled.recv().await.unwrap();
            // The settings first; the answer once the call is there.
            io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            let mut asked = Vec::new();
            let preface = 24;
            while !pieces(asked.get(preface..).unwrap_or_default())
                .iter()
                .any(|piece| piece.kind == 0 && piece.flags & 1 == 1)
            {
                assert_ne!(io.read_buf(&mut asked).await.unwrap(), 0);
            }
            io.write_all(&recorded).await.unwrap();
            io
        });
        let method = Method::dynamic("Greeter.Any", kind);
        let mut came = 0;
        let result = match kind {
            Kind::Unary => target
                .unary::<Frame, Frame>(method, Frame::default())
                .await
                .map(|message| {
                    let (data, ..) = answer(&bytes);
                    assert_eq!(&message.0[..], &data[5..], "{name}");
                    came = 1;
                }),
            _ => {
                async {
                    let mut all = target
                        .server_stream::<Frame, Frame>(method, Frame::default())
                        .await?;
                    while all.message().await?.is_some() {
                        came += 1;
                    }
                    Ok(())
                }
                .await
            }
        };
        match (result, expected) {
            (Ok(()), Ok(messages)) => assert_eq!(came, messages, "{name}"),
            (Err(error), Err((grpc, code))) => {
                assert_eq!(
                    (error.grpc_code(), error.code()),
                    (Some(grpc), code),
                    "{name}: {error}"
                );
                let id = match name {
                    "grpc_error_notfound" | "grpc_error_custom418" => "greeter.fail",
                    "grpc_server_stream_error" => "greeter.count",
                    "grpc_error_panic" => "go.micro.server",
                    _ => "go.micro.client",
                };
                assert_eq!(error.id(), id, "{name}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
        drop(playing.await.unwrap());
    }
}
