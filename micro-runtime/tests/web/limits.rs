//! What a caller can make a server hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;

use crate::raw::{Raw, frame, framed, gzip, post, read};
use crate::teller::{Net, Words, count};

const LIMIT: usize = 10_000;

fn net() -> Net {
    let mut limits = Limits::default();
    limits.message = LIMIT;
    Net::with(Grpc::new(), limits)
}

/// A message whose encoding has so many bytes.
fn long(length: usize) -> Vec<u8> {
    // The tag and two bytes of length, as below 16 KiB.
    let data = vec![0; length - 3].into();
    let words = Words {
        data,
        ..Words::default()
    };
    let encoded = words.encode_to_vec();
    assert_eq!(encoded.len(), length);
    encoded
}

#[tokio::test]
async fn a_message_has_a_limit_in_every_dialect() {
    let net = net();
    let mut raw = Raw::new(&net).await;
    for (length, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let message = long(length);
        let envelope = frame(0, &message);
        let text = STANDARD.encode(&envelope).into_bytes();
        for (method, content_type, body) in [
            ("Say", "application/proto", &message),
            ("Collect", "application/connect+proto", &envelope),
            ("Say", "application/grpc-web", &envelope),
            ("Say", "application/grpc-web-text", &text),
        ] {
            let asked = post(method, &[("content-type", content_type)]);
            let answer = raw.ask(asked, body.clone()).await;
            let all = format!("{:?}{}", answer.head, String::from_utf8_lossy(&answer.body));
            let refused = all.contains("resource_exhausted") || answer.header("grpc-status") == "8";
            assert_eq!(refused, !fits, "{content_type} of {length}: {all}");
        }
    }
}

#[tokio::test]
async fn what_counts_is_what_comes_out_of_compression() {
    let net = net();
    let mut raw = Raw::new(&net).await;
    let bomb = gzip(&long(16_000));
    assert!(bomb.len() < 200);
    let envelope = frame(1, &bomb);
    let text = STANDARD.encode(&envelope).into_bytes();
    let encoded = [
        ("content-encoding", "gzip"),
        ("connect-content-encoding", "gzip"),
        ("grpc-encoding", "gzip"),
    ];
    for (method, content_type, encoding, body) in [
        ("Say", "application/proto", 0, &bomb),
        ("Collect", "application/connect+proto", 1, &envelope),
        ("Say", "application/grpc-web", 2, &envelope),
        ("Say", "application/grpc-web-text", 2, &text),
    ] {
        let headers = [("content-type", content_type), encoded[encoding]];
        let answer = raw.ask(post(method, &headers), body.clone()).await;
        let all = format!("{:?}{}", answer.head, String::from_utf8_lossy(&answer.body));
        let refused = all.contains("resource_exhausted") || answer.header("grpc-status") == "8";
        assert!(refused, "{content_type}: {all}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_the_limit() {
    let net = net();
    let mut raw = Raw::new(&net).await;
    let asked = post("Say", &[("content-type", "application/json")]);
    let (response, mut out) = raw.open(asked);
    for _ in 0..=LIMIT / 1000 {
        out.send_data(vec![b' '; 1000].into(), false).unwrap();
    }
    let answer = read(response.await.unwrap()).await;
    assert_eq!(answer.status, 429);
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn a_caller_that_does_not_read_stops_a_stream() {
    for content_type in [
        "application/connect+proto",
        "application/grpc-web",
        "application/grpc-web-text",
    ] {
        let net = Net::new();
        let mut raw = Raw::new(&net).await;
        let asked = Words {
            big_number: 10_000,
            data: vec![7; 1000].into(),
            ..Words::default()
        };
        let mut body = framed(&asked);
        if content_type.ends_with("text") {
            body = STANDARD.encode(body).into_bytes();
        }
        let (response, mut out) = raw.open(post("Count", &[("content-type", content_type)]));
        out.send_data(body.into(), true).unwrap();
        let response = response.await.unwrap();
        net.probe.until(|probe| count(&probe.sent) > 10).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        // The caller takes 64 KiB, and some more lies on the way.
        let sent = count(&net.probe.sent);
        assert!(sent < 500, "{content_type}: {sent} messages");
        let answer = read(response).await;
        assert!(answer.body.len() > 10_000_000);
    }
}

#[tokio::test]
async fn heads_have_limits() {
    let mut limits = Limits::default();
    limits.headers = 20;
    let net = Net::with(Grpc::new(), limits);
    let mut raw = Raw::new(&net).await;
    let names: Vec<_> = (0..25).map(|i| format!("key-{i}")).collect();
    let mut headers: Vec<_> = names.iter().map(|name| (&**name, "v")).collect();
    headers.push(("content-type", "application/json"));
    let answer = raw.ask(post("Say", &headers), "{}").await;
    assert_eq!(answer.status, 429);
}
