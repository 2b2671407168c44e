//! gRPC-Web over HTTP/1.1.

use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::GrpcWeb;
use micro_runtime::{Reply, Result};

use crate::net::{Peer, client, framed, gunzipped, gzipped, opened};
use crate::say::{SayClient, Word, word};

const OK: &str = "200 OK\r\nContent-Type: application/grpc-web+proto";

fn bytes(text: &str) -> Vec<u8> {
    word(text).encode_to_vec()
}

async fn say(web: GrpcWeb) -> (Peer, SayClient) {
    let peer = Peer::new().await;
    let say = client(web, &peer.address).await;
    (peer, say)
}

async fn answered(head: &str, body: impl AsRef<[u8]>) -> Result<Reply<Word>> {
    let (peer, say) = say(GrpcWeb::new()).await;
    let call = say.hello(word("x")).retries(0).full();
    let serve = async {
        let mut wire = peer.accept().await;
        wire.request().await;
        wire.answer(head, body).await;
        wire
    };
    tokio::join!(call, serve).0
}

fn whole(message: &str, trailers: &str) -> Vec<u8> {
    let mut body = framed(0, bytes(message));
    body.extend(framed(0x80, trailers));
    body
}

#[tokio::test]
async fn a_call_has_frames_and_trailers_in_the_body() {
    let (peer, say) = say(GrpcWeb::new()).await;
    let call = say.hello(word("hi")).metadata("Tenant", "blue").full();
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        let trailers = "grpc-status: 0\r\ntook: long\r\nTook:and longer\r\n";
        wire.answer(&format!("{OK}\r\nSeen: yes"), whole("answer", trailers))
            .await;
        (head, body, wire)
    };
    let (reply, (head, body, _wire)) = tokio::join!(call, serve);
    assert_eq!(head.line, "POST /test.Say/Hello HTTP/1.1");
    for (name, value) in [
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
        ("tenant", "blue"),
    ] {
        assert_eq!(head.get(name), value, "{name}");
    }
    assert!(head.get("grpc-accept-encoding").contains("gzip"));
    assert!(head.has("grpc-timeout") && !head.has("grpc-encoding"));
    assert_eq!(opened(&body), [(0, bytes("hi"))]);
    let reply = reply.unwrap();
    assert_eq!(reply.message, word("answer"));
    assert_eq!(reply.metadata.get("seen"), Some("yes"));
    assert_eq!(reply.trailers.get("took"), Some("long, and longer"));
    assert_eq!(reply.peer.unwrap().protocol, "grpc-web");
}

#[tokio::test]
async fn the_end_is_in_the_last_frame_whatever_the_case_of_its_names() {
    for trailers in [
        "grpc-status: 9\r\ngrpc-message: error\r\ncustom: bing\r\n",
        "Grpc-Status: 9\r\ngRPC-Message: error\r\nCustom: bing\r\n",
        "grpc-status:9\ngrpc-message:error\ncustom:bing",
    ] {
        let head = format!("{OK}\r\nSeen: yes");
        let error = answered(&head, framed(0x80, trailers)).await.unwrap_err();
        assert_eq!((error.grpc_code(), error.detail()), (Some(9), "error"));
        assert_eq!(error.metadata().get("custom"), Some("bing"));
        assert_eq!(error.metadata().get("seen"), Some("yes"));
    }
    let packed = framed(0x81, gzipped(b"grpc-status: 9\r\n"));
    let head = format!("{OK}\r\nGrpc-Encoding: gzip");
    let error = answered(&head, packed).await.unwrap_err();
    assert_eq!(error.grpc_code(), Some(9));
}

#[tokio::test]
async fn an_answer_without_a_body_has_its_end_in_the_head() {
    let head = |more: &str| format!("200 OK\r\nContent-Type: application/grpc-web{more}");
    let error = answered(
        &head("\r\nGrpc-Status: 9\r\nGrpc-Message: error\r\nCustom: a\r\nCustom: b"),
        "",
    )
    .await
    .unwrap_err();
    assert_eq!((error.grpc_code(), error.detail()), (Some(9), "error"));
    assert_eq!(error.metadata().get("custom"), Some("a, b"));
    let code = |result: Result<Reply<Word>>| result.unwrap_err().grpc_code();
    assert_eq!(
        code(answered(&head("\r\nGrpc-Status: 0"), "").await),
        Some(12)
    );
    assert_eq!(
        code(answered(&head("\r\nGrpc-Message: x"), "").await),
        Some(13)
    );
    // Where there is a body, that says it.
    let both = head("\r\nGrpc-Status: 8");
    assert_eq!(
        code(answered(&both, framed(0x80, "grpc-status: 9\r\n")).await),
        Some(9)
    );
    let reply = answered(&both, whole("good", "grpc-status: 0\r\n")).await;
    assert_eq!(reply.unwrap().message, word("good"));
}

#[tokio::test]
async fn what_is_no_answer_of_grpc_web_is_refused() {
    let code = |result: Result<Reply<Word>>| result.unwrap_err().grpc_code();
    let good = whole("x", "grpc-status: 0\r\n");
    for (head, expected) in [
        ("200 OK\r\nContent-Type: image/jpeg", 2),
        ("200 OK\r\nContent-Type: application/grpc", 2),
        ("200 OK\r\nContent-Type: application/grpc-web+json", 13),
        (
            "200 OK\r\nContent-Type: application/grpc-web\r\nGrpc-Encoding: br",
            13,
        ),
        ("400 Bad Request", 13),
        ("404 Not Found", 12),
        (
            "503 Gone\r\nContent-Type: application/grpc-web\r\nGrpc-Status: 5",
            5,
        ),
    ] {
        assert_eq!(code(answered(head, &good).await), Some(expected), "{head}");
    }
    let message = framed(0, bytes("x"));
    let end = framed(0x80, "grpc-status: 0\r\n");
    for (body, expected) in [
        (end.clone(), 12),
        (message.clone(), 13),
        ([message.clone(), message.clone(), end.clone()].concat(), 12),
        (
            [message.clone(), framed(0x80, "grpc-message: error\r\n")].concat(),
            2,
        ),
        ([end.clone(), message.clone()].concat(), 13),
        (framed(1, bytes("x")), 13),
        (framed(0x81, b"grpc-status: 0\r\n"), 13),
    ] {
        assert_eq!(code(answered(OK, &body).await), Some(expected), "{body:?}");
    }
}

#[tokio::test]
async fn long_messages_are_compressed_where_that_is_wanted() {
    let mut web = GrpcWeb::new();
    web.compress = true;
    let (peer, say) = say(web).await;
    let long = "x".repeat(5000);
    let call = say.hello(word(&long));
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        assert_eq!(head.get("grpc-encoding"), "gzip");
        let frames = opened(&body);
        let [(1, packed)] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(gunzipped(packed), bytes(&long));
        wire.answer(OK, whole("x", "grpc-status: 0\r\n")).await;
        wire
    };
    let (reply, _wire) = tokio::join!(call, serve);
    assert_eq!(reply.unwrap(), word("x"));
}

#[tokio::test]
async fn a_stream_comes_message_by_message_and_ends_in_its_last_frame() {
    let (peer, say) = say(GrpcWeb::new()).await;
    let call = async {
        let mut stream = say.count(word("x")).await.unwrap();
        let first = stream.message().await.unwrap();
        (first, stream)
    };
    let serve = async {
        let mut wire = peer.accept().await;
        wire.request().await;
        wire.begin(OK).await;
        wire.send_chunk(framed(0, bytes("1"))).await;
        wire
    };
    let ((first, mut stream), mut wire) = tokio::join!(call, serve);
    assert_eq!(first, Some(word("1")));
    let serve = async {
        let end = "grpc-status: 5\r\ngrpc-message: no%20more\r\n";
        wire.send_chunk(framed(0x80, end)).await;
        wire.write("0\r\n\r\n").await;
    };
    let (end, ()) = tokio::join!(stream.message(), serve);
    let error = end.unwrap_err();
    assert_eq!((error.grpc_code(), error.detail()), (Some(5), "no more"));
}
