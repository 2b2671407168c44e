//! Right requests with wrong bytes: each gets one answer, and the server lives on.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use tokio::time::timeout;

use crate::raw::{Raw, frame, framed, gzip, read, request};
use crate::teller::{Net, number};

/// Requests that are answered well, as method, content type, compression and body.
fn right() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let message = number("some words", 7);
    let plain = message.encode_to_vec();
    let packed = gzip(&plain);
    let twice = [framed(&message), framed(&message)].concat();
    let text = STANDARD.encode(&twice[..9]) + &STANDARD.encode(&twice[9..]);
    let json = br#"{"text":"some words","bigNumber":"7","metadata":{"a":"b"}}"#;
    vec![
        (
            "Say",
            "application/proto",
            "content-encoding: identity",
            plain,
        ),
        (
            "Say",
            "application/proto",
            "content-encoding: gzip",
            packed.clone(),
        ),
        (
            "Say",
            "application/json",
            "content-encoding: identity",
            json.to_vec(),
        ),
        (
            "Collect",
            "application/connect+proto",
            "x: y",
            twice.clone(),
        ),
        (
            "Collect",
            "application/connect+proto",
            "connect-content-encoding: gzip",
            [frame(1, &packed), framed(&message)].concat(),
        ),
        ("Count", "application/connect+json", "x: y", frame(0, json)),
        (
            "Talk",
            "application/grpc-web",
            "grpc-encoding: gzip",
            frame(1, &packed),
        ),
        (
            "Collect",
            "application/grpc-web-text",
            "x: y",
            text.into_bytes(),
        ),
    ]
}

#[tokio::test]
async fn wrong_bytes_get_an_answer() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut limits = Limits::default();
    limits.request_read = Duration::from_secs(5);
    let net = Net::with(Grpc::new(), limits);
    let mut raw = Raw::new(&net).await;
    for (method, content_type, encoding, body) in right() {
        let (name, value) = encoding.split_once(": ").unwrap();
        let headers = [("content-type", content_type), (name, value)];
        for round in 0..400 {
            let mut bytes = body.clone();
            for _ in 0..round.min(1) * (1 + random(4)) {
                let at = random(bytes.len());
                match random(4) {
                    0 if !bytes.is_empty() => bytes[at] = random(256) as u8,
                    1 if !bytes.is_empty() => bytes[at] ^= 1 << random(8),
                    2 => bytes.truncate(at),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            let cut = random(bytes.len() + 1);
            let asked = request(Method::POST, &format!("/test.Teller/{method}"), &headers);
            let (response, mut out) = raw.open(asked);
            // Frames of nothing are few in a connection's life.
            if cut > 0 {
                out.send_data(bytes[..cut].to_vec().into(), false).unwrap();
            }
            out.send_data(bytes[cut..].to_vec().into(), true).unwrap();
            let answer = async { read(response.await.unwrap()).await };
            let answer = timeout(Duration::from_secs(20), answer)
                .await
                .unwrap_or_else(|_| panic!("{method} {content_type} hangs: {bytes:?}"));
            if round == 0 {
                assert_eq!(answer.status, 200, "{method} {content_type}");
            }
            assert!(answer.status == 200 || answer.status >= 400);
        }
    }
    raw.ask(
        request(
            Method::POST,
            "/test.Teller/Say",
            &[("content-type", "application/json")],
        ),
        "{}",
    )
    .await;
    drop(raw);
    net.server.core().tasks().idle().await;
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn wrong_heads_get_an_answer() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let names = [
        "content-type",
        "connect-timeout-ms",
        "connect-protocol-version",
        "content-encoding",
        "connect-content-encoding",
        "grpc-encoding",
        "grpc-timeout",
        "accept-encoding",
    ];
    let values = [
        "application/json",
        "application/json;charset",
        "application/connect+json",
        "application/grpc-web-text+proto",
        "application/grpc-web+",
        "application/connect+",
        ";",
        "",
        "1",
        "99999999999999999999",
        "gzip",
        "gzip;q=0, identity;q=",
        "\u{ff}",
    ];
    let paths = [
        "/test.Teller/Say",
        "/test.Teller/Count",
        "/test.Teller/Look?encoding=json&message=%7B%7D",
        "/test.Teller/Look?message=%",
        "/?connect=v1&&&=&base64=1&message=%ff%",
        "//",
        "/test.Teller/",
    ];
    for _ in 0..2_000 {
        let headers: Vec<_> = (0..random(5))
            .map(|_| (names[random(names.len())], values[random(values.len())]))
            .collect();
        let method = [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD][random(4)].clone();
        let asked = request(method, paths[random(paths.len())], &headers);
        let what = format!("{asked:?}");
        let answer = timeout(Duration::from_secs(20), raw.get(asked))
            .await
            .unwrap_or_else(|_| panic!("{what} hangs"));
        assert!(answer.status == 200 || answer.status >= 400, "{what}");
    }
}
