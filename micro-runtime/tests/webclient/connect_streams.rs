//! Connect's streams over HTTP/1.1.

use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Connect;
use micro_runtime::{Error, Result};

use crate::net::{Peer, client, framed, gzipped, opened};
use crate::say::{SayClient, Word, word};

const OK: &str = "200 OK\r\nContent-Type: application/connect+proto";

fn bytes(text: &str) -> Vec<u8> {
    word(text).encode_to_vec()
}

async fn say(connect: Connect) -> (Peer, SayClient) {
    let peer = Peer::new().await;
    let say = client(connect, &peer.address).await;
    (peer, say)
}

/// What a server stream comes to whose answer is this: its messages and its end.
async fn streamed(head: &str, body: impl AsRef<[u8]>) -> (Vec<Word>, Result<()>) {
    let (peer, say) = say(Connect::new()).await;
    let call = async {
        let mut words = Vec::new();
        let mut stream = match say.count(word("x")).retries(0).await {
            Ok(stream) => stream,
            Err(error) => return (words, Err(error)),
        };
        loop {
            match stream.message().await {
                Ok(Some(word)) => words.push(word),
                Ok(None) => return (words, Ok(())),
                Err(error) => return (words, Err(error)),
            }
        }
    };
    let serve = async {
        let mut wire = peer.accept().await;
        wire.request().await;
        wire.answer(head, body).await;
        wire
    };
    tokio::join!(call, serve).0
}

async fn ended(end: &str) -> Result<()> {
    streamed(OK, framed(2, end)).await.1
}

async fn failed(end: &str) -> Error {
    ended(end).await.unwrap_err()
}

#[tokio::test]
async fn a_server_stream_comes_message_by_message() {
    let (peer, say) = say(Connect::new()).await;
    let call = async {
        let mut reply = say
            .count(word("x"))
            .metadata("Tenant", "blue")
            .full()
            .await
            .unwrap();
        assert_eq!(reply.metadata.get("opening"), Some("here"));
        let first = reply.message.message().await.unwrap();
        (first, reply)
    };
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        assert_eq!(head.line, "POST /test.Say/Count HTTP/1.1");
        for (name, value) in [
            ("content-type", "application/connect+proto"),
            ("connect-protocol-version", "1"),
            ("tenant", "blue"),
        ] {
            assert_eq!(head.get(name), value, "{name}");
        }
        assert!(head.get("connect-accept-encoding").contains("gzip"));
        // A stream has no timeout of its own accord, and one message has a length.
        assert!(!head.has("connect-timeout-ms") && head.has("content-length"));
        assert_eq!(opened(&body), [(0, bytes("x"))]);
        wire.begin(&format!(
            "{OK}\r\nConnect-Content-Encoding: gzip\r\nOpening: here"
        ))
        .await;
        wire.send_chunk(framed(0, bytes("1"))).await;
        wire
    };
    let ((first, mut reply), mut wire) = tokio::join!(call, serve);
    assert_eq!(first, Some(word("1")));
    let rest = async {
        let second = reply.message.message().await.unwrap();
        assert_eq!(second, Some(word("2")));
        assert_eq!(reply.message.message().await.unwrap(), None);
        reply.message.trailers().get("took").map(str::to_owned)
    };
    let serve = async {
        // However the bytes are cut.
        for byte in framed(1, gzipped(&bytes("2"))) {
            wire.send_chunk([byte]).await;
        }
        let end = gzipped(br#"{"metadata":{"Took":["long","and longer"]}}"#);
        wire.send_chunk(framed(3, end)).await;
        wire.write("0\r\n\r\n").await;
    };
    let (took, ()) = tokio::join!(rest, serve);
    assert_eq!(took.as_deref(), Some("long, and longer"));
    // The connection serves the next call.
    let call = async { say.hello(word("next")).await };
    let serve = async {
        let (head, _) = wire.request().await;
        let ok = "200 OK\r\nContent-Type: application/proto";
        wire.answer(ok, bytes("same")).await;
        head.line
    };
    let (reply, line) = tokio::join!(call, serve);
    assert_eq!(
        (reply.unwrap(), &*line),
        (word("same"), "POST /test.Say/Hello HTTP/1.1")
    );
}

#[tokio::test]
async fn a_client_stream_is_sent_as_it_is_made() {
    let (peer, say) = say(Connect::new()).await;
    let call = async {
        let mut upload = say.collect().await.unwrap();
        upload.send(word("1")).await.unwrap();
        upload
    };
    let serve = async {
        let mut wire = peer.accept().await;
        let head = wire.head().await;
        assert_eq!(head.get("transfer-encoding"), "chunked");
        assert!(!head.has("content-length"));
        let chunk = wire.chunk().await.unwrap();
        assert_eq!(opened(&chunk), [(0, bytes("1"))]);
        wire
    };
    let (mut upload, mut wire) = tokio::join!(call, serve);
    let call = async {
        upload.send(word("2")).await.unwrap();
        upload.finish().await
    };
    let serve = async {
        let chunk = wire.chunk().await.unwrap();
        assert_eq!(opened(&chunk), [(0, bytes("2"))]);
        assert_eq!(wire.chunk().await, None);
        let mut body = framed(0, bytes("12"));
        body.extend(framed(2, "{}"));
        wire.answer(OK, body).await;
        wire
    };
    let (reply, _wire) = tokio::join!(call, serve);
    assert_eq!(reply.unwrap(), word("12"));
}

#[tokio::test]
async fn the_end_of_a_stream_is_read_leniently_where_that_is_safe() {
    assert!(ended("{}").await.is_ok());
    assert!(
        ended(r#"{"error":null,"metadata":null,"more":1}"#)
            .await
            .is_ok()
    );
    for (json, code) in [
        (r#"{"error":{"message":"oops"}}"#, 2),
        (r#"{"error":{"code":null,"message":"oops"}}"#, 2),
        (r#"{"error":{"code":"foobar","message":"oops"}}"#, 2),
        (
            r#"{"error":{"code":"unauthenticated","message":"oops"}}"#,
            16,
        ),
    ] {
        let error = failed(json).await;
        assert_eq!(
            (error.grpc_code(), error.detail()),
            (Some(code), "oops"),
            "{json}"
        );
    }
    let error = failed(
        r#"{"error":{"code":"aborted","details":[{"type":"a.B","value":"AQ"}]},"metadata":{"k":["v"]}}"#,
    )
    .await;
    assert_eq!(
        error.details().first().unwrap().type_url,
        "type.googleapis.com/a.B"
    );
    assert_eq!((error.metadata().get("k"), error.detail()), (Some("v"), ""));
}

#[tokio::test]
async fn messages_before_an_error_are_given() {
    let mut body = framed(0, bytes("1"));
    body.extend(framed(
        2,
        r#"{"error":{"code":"not_found","message":"no more"}}"#,
    ));
    let (words, end) = streamed(&format!("{OK}\r\nSeen: yes"), body).await;
    assert_eq!(words, [word("1")]);
    let error = end.unwrap_err();
    assert_eq!((error.grpc_code(), error.detail()), (Some(5), "no more"));
    assert_eq!(error.metadata().get("seen"), Some("yes"));
}

#[tokio::test]
async fn a_call_that_reached_no_handler_is_told() {
    let end = framed(2, r#"{"error":{"code":"unavailable"}}"#);
    for (head, told) in [
        (OK.to_owned(), false),
        (format!("{OK}\r\nMicro-Unprocessed: 1"), true),
    ] {
        let (_, answer) = streamed(&head, &end).await;
        assert_eq!(answer.unwrap_err().is_unprocessed(), told);
    }
    let (_, answer) = streamed("503 Full\r\nMicro-Unprocessed: 1", "").await;
    assert!(answer.unwrap_err().is_unprocessed());
}

#[tokio::test]
async fn what_is_no_stream_of_connect_is_refused() {
    let end = framed(2, "{}");
    for (head, code) in [
        ("200 OK\r\nContent-Type: image/jpeg", 2),
        ("200 OK\r\nContent-Type: application/proto", 2),
        ("200 OK\r\nContent-Type: application/connect+json", 13),
        (
            "200 OK\r\nContent-Type: application/connect+proto\r\nConnect-Content-Encoding: br",
            13,
        ),
        (
            "429 Slow Down\r\nContent-Type: application/connect+proto",
            14,
        ),
        ("404 Not Found", 12),
    ] {
        let (_, answer) = streamed(head, &end).await;
        assert_eq!(answer.unwrap_err().grpc_code(), Some(code), "{head}");
    }
    let two = [end.clone(), end.clone()].concat();
    let metadata = format!(r#"{{"metadata":{{"k":["{}"]}}}}"#, "v".repeat(1 << 20));
    for (body, code) in [
        (framed(2, &metadata), 8),
        (Vec::new(), 13),
        (framed(0, bytes("1")), 13),
        (framed(1, bytes("1")), 13),
        (framed(4, bytes("1")), 13),
        (framed(2, "no json"), 13),
        (vec![0, 0, 0, 0, 9, 1], 13),
        (vec![0, 0xff, 0xff, 0xff, 0xff, 1], 8),
        (two, 13),
    ] {
        let (_, answer) = streamed(OK, &body).await;
        assert_eq!(
            answer.unwrap_err().grpc_code(),
            Some(code),
            "{:?}",
            &body[..body.len().min(99)]
        );
    }
}

#[tokio::test]
async fn a_client_stream_has_exactly_one_answer() {
    let message = framed(0, bytes("1"));
    for messages in [0, 2] {
        let (peer, say) = say(Connect::new()).await;
        let call = async { say.collect().await?.finish().await };
        let serve = async {
            let mut wire = peer.accept().await;
            wire.request().await;
            let mut body = message.repeat(messages);
            body.extend(framed(2, "{}"));
            wire.answer(OK, body).await;
            wire
        };
        let (reply, _wire) = tokio::join!(call, serve);
        assert_eq!(reply.unwrap_err().grpc_code(), Some(12), "{messages}");
    }
}
