//! gRPC-Web, in bytes and as text.

use std::future::poll_fn;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;

use crate::raw::{Answer, Raw, frame, framed, frames, gzip, post, read, request, some};
use crate::teller::{Net, Words, count, number, words};

const WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");
const TEXT: (&str, &str) = ("content-type", "application/grpc-web-text");

/// The answer with its body's text read, whose sender may pad it anywhere.
fn plain(mut answer: Answer) -> Answer {
    let mut bytes = Vec::new();
    for group in answer.body.chunks(4) {
        bytes.extend(STANDARD.decode(group).unwrap());
    }
    answer.body = bytes;
    answer
}

#[tokio::test]
async fn trailers_are_the_last_frame() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web+proto; charset=utf-8",
    ] {
        let headers = [("content-type", content_type), ("x-grpc-web", "1")];
        let answer = raw.ask(post("Say", &headers), framed(&words("x"))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), content_type);
        assert!(answer.trailers.is_none());
        let (messages, trailers) = answer.messages();
        assert_eq!(messages, [words("x")]);
        assert_eq!(trailers, "grpc-status: 0\r\n");
    }
    let answer = raw.ask(post("Say", &[WEB]), framed(&words("peer"))).await;
    assert_eq!(answer.messages().0, [words("grpc-web")]);
    let json = ("content-type", "application/grpc-web+json");
    let answer = raw
        .ask(post("Say", &[json]), frame(0, br#"{"bigNumber":7}"#))
        .await;
    assert_eq!(answer.frames()[0].1, br#"{"bigNumber":"7"}"#);
}

#[tokio::test]
async fn text_is_read_wherever_it_is_cut() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let body = [framed(&number("ab", 2)), framed(&number("c", 3))].concat();
    let whole = STANDARD.encode(&body);
    // As two texts, each padded.
    let (first, second) = body.split_at(7);
    let halves = STANDARD.encode(first) + &STANDARD.encode(second);
    for text in [whole, halves] {
        for at in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            let (response, mut out) = raw.open(post("Collect", &[TEXT]));
            out.send_data(first.to_vec().into(), false).unwrap();
            out.send_data(second.to_vec().into(), true).unwrap();
            let answer = plain(read(response.await.unwrap()).await);
            assert_eq!(answer.header("content-type"), TEXT.1);
            let (messages, trailers) = answer.messages();
            assert_eq!(messages, [number("abc", 5)], "cut at {at}");
            assert_eq!(trailers, "grpc-status: 0\r\ndone: yes\r\n");
        }
    }
}

#[tokio::test]
async fn every_message_of_a_stream_leaves_as_whole_text() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let ask = STANDARD.encode(framed(&number("", 3)));
    let answer = plain(raw.ask(post("Count", &[TEXT]), ask).await);
    let (messages, trailers) = answer.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(trailers, "grpc-status: 0\r\nsum: 3\r\n");
    // In turns: what came can be read before more comes.
    let (response, mut out) = raw.open(post("Talk", &[TEXT]));
    let ask = Bytes::from(STANDARD.encode(framed(&number("", 1))));
    out.send_data(ask.clone(), false).unwrap();
    let mut response = response.await.unwrap();
    for sum in 1..4 {
        let text = poll_fn(|task| response.body_mut().poll_data(task)).await;
        let read = frames(&STANDARD.decode(text.unwrap().unwrap()).unwrap());
        assert_eq!(Words::decode(&*read[0].1).unwrap().big_number, sum);
        out.send_data(ask.clone(), false).unwrap();
    }
}

#[tokio::test]
async fn text_that_is_none_is_refused() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    for text in ["AAAAA", "A", "!!!!", "AA=A"] {
        let answer = raw.ask(post("Say", &[TEXT]), text).await;
        assert_ne!(answer.header("grpc-status"), "", "{text}");
        assert_ne!(answer.header("grpc-status"), "0", "{text}");
    }
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn an_error_alone_is_in_the_head() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let answer = raw.ask(post("Say", &[WEB]), framed(&words("error"))).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "5"));
    assert_eq!(answer.header("content-type"), WEB.1);
    assert_eq!(
        answer.header("grpc-message"),
        "no such <thing> %C3%A9 \"%0A"
    );
    assert_eq!(answer.header("retry-after"), "3");
    assert!(answer.body.is_empty());
    // After messages it is in the last frame.
    let answer = raw
        .ask(post("Count", &[WEB]), framed(&number("error", 1)))
        .await;
    let (messages, trailers) = answer.messages();
    assert_eq!(messages.len(), 1);
    for line in ["grpc-status: 5\r\n", "retry-after: 3\r\n", "sum: 1\r\n"] {
        assert!(trailers.contains(line), "{trailers}");
    }
    // Where the handler has set metadata, the head goes first.
    let answer = raw
        .ask(post("Count", &[WEB]), framed(&number("error", 0)))
        .await;
    assert_eq!(answer.header("opening"), "here");
    assert!(answer.messages().1.contains("grpc-status: 5\r\n"));
}

#[tokio::test]
async fn metadata_and_deadlines_are_those_of_grpc() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let headers = [
        WEB,
        ("tenant", "blue"),
        ("key-bin", "AAEC"),
        ("x-user-agent", "grpc-web-javascript/0.1"),
        ("grpc-timeout", "5S"),
    ];
    let answer = raw
        .ask(post("Say", &headers), framed(&words("metadata")))
        .await;
    let (messages, trailers) = answer.messages();
    let seen = &messages[0].metadata;
    assert_eq!(seen["tenant"], "blue");
    assert_eq!(seen["key-bin"], "AAEC");
    assert_eq!(seen["x-user-agent"], "grpc-web-javascript/0.1");
    assert!(!seen.contains_key("grpc-timeout"));
    assert_eq!(answer.header("raw-bin"), "AAEC");
    assert_eq!(trailers, "grpc-status: 0\r\ntook: long\r\nend-bin: AwQ\r\n");

    let timeout = ("grpc-timeout", "20m");
    let answer = raw
        .ask(post("Say", &[WEB, timeout]), framed(&words("wait")))
        .await;
    assert_eq!(answer.header("grpc-status"), "4");
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
}

#[tokio::test]
async fn refusals_are_statuses_of_grpc() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let one = framed(&words("x"));
    let two = [one.clone(), one.clone()].concat();
    let ours = "/test.Teller/Say";
    for (method, path, content_type, body, status, code) in [
        (Method::POST, "/test.Other/Say", WEB.1, &one, 200, "12"),
        (Method::POST, "/test.Teller/Other", WEB.1, &one, 200, "12"),
        (
            Method::POST,
            ours,
            "application/grpc-web+foo",
            &one,
            200,
            "12",
        ),
        (Method::DELETE, ours, WEB.1, &one, 405, "2"),
        (Method::GET, "/test.Teller/Look", WEB.1, &one, 405, "2"),
        (Method::POST, ours, WEB.1, &vec![], 200, "12"),
        (Method::POST, ours, WEB.1, &two, 200, "12"),
        (
            Method::POST,
            "/test.Teller/Count",
            WEB.1,
            &vec![],
            200,
            "12",
        ),
        (Method::POST, "/test.Teller/Count", WEB.1, &two, 200, "12"),
        (
            Method::POST,
            ours,
            WEB.1,
            &frame(0x80, b"a: b\r\n"),
            200,
            "13",
        ),
        (Method::POST, ours, WEB.1, &frame(1, &gzip(b"")), 200, "13"),
    ] {
        let asked = request(method.clone(), path, &[("content-type", content_type)]);
        let answer = raw.ask(asked, body.clone()).await;
        assert_eq!(
            (answer.status, answer.header("grpc-status")),
            (status, code),
            "{method} {path} {content_type} {body:?}"
        );
    }
    let unknown = ("grpc-encoding", "zip");
    let answer = raw.ask(post("Say", &[WEB, unknown]), one).await;
    assert_eq!(answer.header("grpc-status"), "12");
    assert!(answer.header("grpc-accept-encoding").contains("gzip"));
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn messages_are_compressed_where_both_read_it() {
    let mut settings = Grpc::new();
    settings.compress = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = Raw::new(&net).await;
    let sent = words(&"again and ".repeat(500)).encode_to_vec();
    let headers = [
        WEB,
        ("grpc-encoding", "gzip"),
        ("grpc-accept-encoding", "gzip"),
    ];
    let answer = raw.ask(post("Say", &headers), frame(1, &gzip(&sent))).await;
    assert_eq!(answer.header("grpc-encoding"), "gzip");
    let frames = answer.frames();
    assert_eq!(frames[0].0, 1);
    assert_eq!(crate::raw::gunzip(&frames[0].1), sent);
    assert_eq!(frames[1], (0x80, b"grpc-status: 0\r\n".to_vec()));
}

#[tokio::test]
async fn all_kinds_are_served() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let three: Vec<u8> = (1..4).flat_map(|n| framed(&number("a", n))).collect();
    let answer = raw.ask(post("Collect", &[WEB]), three.clone()).await;
    assert_eq!(answer.messages().0, [number("aaa", 6)]);
    let answer = raw.ask(post("Talk", &[WEB]), three).await;
    let sums: Vec<_> = answer.messages().0.iter().map(|w| w.big_number).collect();
    assert_eq!(sums, [1, 3, 6]);
    let (response, mut out) = raw.open(post("Talk", &[WEB]));
    out.send_data(framed(&number("", 5)).into(), false).unwrap();
    let mut response = response.await.unwrap();
    let first = some(response.body_mut(), 1).await;
    assert_eq!(Words::decode(&*first[0].1).unwrap().big_number, 5);
    out.send_data(framed(&words("stop")).into(), false).unwrap();
    let last = some(response.body_mut(), 1).await;
    let trailers = String::from_utf8(last[0].1.clone()).unwrap();
    assert!(trailers.starts_with("grpc-status: 7\r\n"), "{trailers}");
}
