//! Connect's unary calls.

use std::time::Duration;

use micro_runtime::codegen::prost::Message;
use micro_runtime::codegen::{Idempotency, Kind, Method};
use micro_runtime::protocol::Connect;
use micro_runtime::{Error, Reply, Result};

use crate::net::{Peer, client, gunzipped, gzipped};
use crate::say::{SayClient, Word, word};

const OK: &str = "200 OK\r\nContent-Type: application/proto";

fn bytes(text: &str) -> Vec<u8> {
    word(text).encode_to_vec()
}

async fn say(connect: Connect) -> (Peer, SayClient) {
    let peer = Peer::new().await;
    let say = client(connect, &peer.address).await;
    (peer, say)
}

/// What a call comes to whose answer is this.
async fn answered(head: &str, body: impl AsRef<[u8]>) -> Result<Reply<Word>> {
    let (peer, say) = say(Connect::new()).await;
    let call = say.hello(word("x")).retries(0).full();
    let serve = async {
        let mut wire = peer.accept().await;
        wire.request().await;
        wire.answer(head, body).await;
        wire
    };
    tokio::join!(call, serve).0
}

async fn refused(head: &str, body: impl AsRef<[u8]>) -> Error {
    answered(head, body).await.unwrap_err()
}

#[tokio::test]
async fn a_call_is_a_post_of_the_message_and_nothing_else() {
    let (peer, say) = say(Connect::new()).await;
    let call = say
        .hello(word("hi"))
        .timeout(Duration::from_secs(3))
        .metadata("Tenant", "blue")
        .metadata("Connect-Timeout-Ms", "1")
        .full();
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        wire.answer(
            &format!("{OK}\r\nSeen: yes\r\nTrailer-Took: long\r\nTrailer-Took: and longer"),
            bytes("answer"),
        )
        .await;
        (head, body, wire)
    };
    let (reply, (head, body, _wire)) = tokio::join!(call, serve);
    assert_eq!(head.line, "POST /test.Say/Hello HTTP/1.1");
    for (name, value) in [
        ("host", &*peer.address),
        ("content-type", "application/proto"),
        ("content-length", "4"),
        ("connect-protocol-version", "1"),
        ("tenant", "blue"),
    ] {
        assert_eq!(head.get(name), value, "{name}");
    }
    assert!(head.get("accept-encoding").contains("gzip"));
    assert!(!head.has("content-encoding") && !head.has("te"));
    let timeout: u64 = head.get("connect-timeout-ms").parse().unwrap();
    assert!((2000..=3000).contains(&timeout), "{timeout}");
    assert_eq!(body, bytes("hi"));
    let reply = reply.unwrap();
    assert_eq!(reply.message, word("answer"));
    assert_eq!(reply.metadata.get("seen"), Some("yes"));
    assert_eq!(reply.trailers.get("took"), Some("long, and longer"));
    assert!(!reply.metadata.contains("trailer-took"));
    let peer = reply.peer.unwrap();
    assert_eq!((peer.protocol, &*peer.node), ("connect", "node-1"));
}

#[tokio::test]
async fn json_is_named_as_connect_names_it() {
    let (peer, say) = say(Connect::new()).await;
    let call = say
        .0
        .unary::<_, micro_runtime::call::Frame>(
            "Say.Hello",
            micro_runtime::call::Frame(b"{}"[..].into()),
        )
        .content_type("application/json");
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, _) = wire.request().await;
        let json = "200 OK\r\nContent-Type: application/json; charset=utf-8";
        wire.answer(json, r#"{"text":"yes"}"#).await;
        (head, wire)
    };
    let (reply, (head, _wire)) = tokio::join!(call, serve);
    assert_eq!(head.get("content-type"), "application/json");
    assert_eq!(&*reply.unwrap().0, br#"{"text":"yes"}"#);
}

#[tokio::test]
async fn an_error_has_code_words_details_and_metadata() {
    let json = r#"{"code":"out_of_range","message":"oops","more":[1],"details":[
        {"type":"test.One","value":"AQID","debug":"anything"},
        {"type":"test.Two","value":"AQ==","frob":1},
        {"type":"test.Bad","value":"?"}]}"#;
    let head =
        "400 Bad Request\r\nContent-Type: application/json\r\nSeen: yes\r\nTrailer-Took: long";
    let error = refused(head, json).await;
    assert_eq!((error.grpc_code(), error.detail()), (Some(11), "oops"));
    assert_eq!(error.code(), 400);
    let details: Vec<_> = error
        .details()
        .iter()
        .map(|detail| (&*detail.type_url, &*detail.value))
        .collect();
    let one = ("type.googleapis.com/test.One", &[1, 2, 3][..]);
    assert_eq!(details, [one, ("type.googleapis.com/test.Two", &[1])]);
    assert_eq!(error.metadata().get("seen"), Some("yes"));
    assert_eq!(error.metadata().get("took"), Some("long"));
    assert!(!error.is_unprocessed());
    let error = refused(&format!("{head}\r\nMicro-Unprocessed: 1"), json).await;
    assert!(error.is_unprocessed() && !error.metadata().contains("micro-unprocessed"));
    let packed = format!("{head}\r\nContent-Encoding: gzip");
    let error = refused(&packed, gzipped(json.as_bytes())).await;
    assert_eq!((error.grpc_code(), error.detail()), (Some(11), "oops"));
}

#[tokio::test]
async fn an_error_that_names_no_code_has_that_of_its_status() {
    for (json, words) in [
        (
            "null",
            "the server answered with HTTP status 401 Unauthorized",
        ),
        (r#"{"code":null,"message":"oops"}"#, "oops"),
        (r#"{"message":"oops"}"#, "oops"),
        (r#"{"code":"foobar","message":"oops"}"#, "oops"),
        (
            "no json",
            "the server answered with HTTP status 401 Unauthorized",
        ),
    ] {
        let head = "401 Unauthorized\r\nContent-Type: application/json";
        let error = refused(head, json).await;
        assert_eq!((error.grpc_code(), error.detail()), (Some(16), words));
    }
    let long = format!(
        r#"{{"code":"aborted","message":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    let json = "\r\nContent-Type: application/json";
    for (body, head, code) in [
        (long.as_bytes().to_vec(), json.to_owned(), 16),
        (
            gzipped(long.as_bytes()),
            format!("{json}\r\nContent-Encoding: gzip"),
            16,
        ),
    ] {
        let error = refused(&format!("401 Unauthorized{head}"), body).await;
        assert_eq!(error.grpc_code(), Some(code));
    }
    for (status, code) in [
        (400, 13),
        (403, 7),
        (404, 12),
        (409, 2),
        (418, 2),
        (429, 14),
        (502, 14),
        (503, 14),
        (504, 14),
        (505, 2),
        (800, 2),
    ] {
        let error = refused(&format!("{status} Other"), "").await;
        assert_eq!(error.grpc_code(), Some(code), "{status}");
        let other = format!("{status} Other\r\nContent-Type: application/proto");
        let error = refused(&other, r#"{"code":"aborted"}"#).await;
        assert_eq!(error.grpc_code(), Some(code), "{status}");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_connect_is_refused() {
    let body = bytes("x");
    for (head, code) in [
        ("200 OK\r\nContent-Type: image/jpeg", 2),
        ("200 OK", 2),
        ("200 OK\r\nContent-Type: application/json", 13),
        ("200 OK\r\nContent-Type: application/connect+proto", 13),
        (
            "200 OK\r\nContent-Type: application/proto\r\nContent-Encoding: br",
            13,
        ),
        (
            "200 OK\r\nContent-Type: application/proto\r\nContent-Encoding: gzip",
            13,
        ),
    ] {
        assert_eq!(refused(head, &body).await.grpc_code(), Some(code), "{head}");
    }
    let empty = answered(OK, "").await.unwrap();
    assert_eq!(empty.message, Word::default());
}

#[tokio::test]
async fn an_answer_is_bounded_before_and_after_decompression() {
    let mut connect = Connect::new();
    connect.max_message = 1000;
    let long = Word {
        data: vec![0; 2000].into(),
        ..Word::default()
    };
    let long = long.encode_to_vec();
    for (head, body) in [
        (OK.to_owned(), long.clone()),
        (format!("{OK}\r\nContent-Encoding: gzip"), gzipped(&long)),
    ] {
        let (peer, say) = say(connect.clone()).await;
        let call = say.hello(word("x"));
        let serve = async {
            let mut wire = peer.accept().await;
            wire.request().await;
            wire.answer(&head, body).await;
            wire
        };
        let (reply, _wire) = tokio::join!(call, serve);
        assert_eq!(reply.unwrap_err().grpc_code(), Some(8));
    }
}

#[tokio::test]
async fn a_request_is_compressed_from_the_size_that_is_set() {
    let mut connect = Connect::new();
    connect.compress = Some(100);
    let (peer, say) = say(connect).await;
    let long = "x".repeat(200);
    let calls = async {
        assert_eq!(say.hello(word(&long)).await.unwrap(), word("1"));
        assert_eq!(say.hello(word("short")).await.unwrap(), word("2"));
    };
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        assert_eq!(head.get("content-encoding"), "gzip");
        assert_eq!(gunzipped(&body), bytes(&long));
        let packed = format!("{OK}\r\nContent-Encoding: gzip");
        wire.answer(&packed, gzipped(&bytes("1"))).await;
        let (head, body) = wire.request().await;
        assert!(!head.has("content-encoding"));
        assert_eq!(body, bytes("short"));
        wire.answer(OK, bytes("2")).await;
        wire
    };
    tokio::join!(calls, serve);
}

static LOOK: Method = Method::new(
    "test",
    "Say.Look",
    "/test.Say/Look",
    Kind::Unary,
    Idempotency::NoSideEffects,
    0,
);

#[tokio::test]
async fn a_method_without_side_effects_is_got_where_that_is_wanted() {
    let mut connect = Connect::new();
    connect.get = true;
    connect.compress = Some(100);
    let (peer, say) = say(connect).await;
    let calls = async {
        let look = |text: &str| say.0.unary::<_, Word>(&LOOK, word(text));
        assert_eq!(look("ÿ?").await.unwrap(), word("1"));
        assert_eq!(look(&"x".repeat(200)).await.unwrap(), word("2"));
        let mut random = 1_u64;
        let long: String = std::iter::repeat_with(|| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!("{:x}", random >> 32)
        })
        .take(2000)
        .collect();
        assert_eq!(look(&long).await.unwrap(), word("3"));
        assert_eq!(say.hello(word("x")).await.unwrap(), word("4"));
    };
    let serve = async {
        let mut wire = peer.accept().await;
        let (head, body) = wire.request().await;
        assert_eq!(
            head.line,
            "GET /test.Say/Look?connect=v1&encoding=proto&base64=1&message=CgPDvz8 HTTP/1.1"
        );
        assert!(body.is_empty() && !head.has("content-type") && !head.has("content-length"));
        assert!(!head.has("connect-protocol-version") && head.has("connect-timeout-ms"));
        wire.answer(OK, bytes("1")).await;
        let (head, _) = wire.request().await;
        assert!(
            head.line.contains("&compression=gzip&base64=1&message=H4s"),
            "{}",
            head.line
        );
        wire.answer(OK, bytes("2")).await;
        let (head, _) = wire.request().await;
        // Too long, even compressed.
        assert_eq!(head.line, "POST /test.Say/Look HTTP/1.1");
        assert_eq!(head.get("content-encoding"), "gzip");
        wire.answer(OK, bytes("3")).await;
        let (head, _) = wire.request().await;
        assert_eq!(head.line, "POST /test.Say/Hello HTTP/1.1");
        wire.answer(OK, bytes("4")).await;
        wire
    };
    tokio::join!(calls, serve);
}
