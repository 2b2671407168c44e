//! What other peers send, Go Micro's plugins above all, and what must come back to them.

use std::time::Duration;

use h2::Reason;
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;

use crate::net::Net;
use crate::raw::{Raw, first, framed, post, read};
use crate::say::{Word, count, word};

async fn raw(net: &Net) -> Raw {
    Raw::new(net.connection().await).await
}

#[tokio::test]
async fn the_package_in_the_path_may_be_any() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    for path in [
        "/test.Say/Hello",
        "/go.micro.srv.say.Say/Hello",
        "/Say/Hello",
    ] {
        let answer = raw.ask(post(path, &[]), framed(&word("x"))).await;
        assert_eq!(
            (answer.status, answer.text("grpc-status")),
            (200, "0"),
            "{path}"
        );
        assert_eq!(answer.messages, [word("x")]);
        assert_eq!(answer.head["content-type"], "application/grpc");
    }
    for (path, status, words) in [
        ("/test.Other/Hello", "12", "unknown service Other"),
        ("/test.Say/Other", "12", "unknown service Say.Other"),
        ("/Hello", "3", "malformed method name: \"/Hello\""),
        ("/a/b/c", "3", "malformed method name: \"/a/b/c\""),
    ] {
        let answer = raw.ask(post(path, &[]), framed(&word("x"))).await;
        assert_eq!(
            (answer.text("grpc-status"), answer.text("grpc-message")),
            (status, words)
        );
        assert!(answer.trailers.is_none(), "one head is all: {answer:?}");
    }
}

#[tokio::test]
async fn the_content_type_comes_back_as_it_was_asked() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let mut ask = async |content_type, body: Bytes| {
        raw.ask(
            post("/test.Say/Hello", &[("content-type", content_type)]),
            body,
        )
        .await
    };
    let answer = ask("application/grpc+proto", framed(&word("x"))).await;
    assert_eq!(answer.head["content-type"], "application/grpc+proto");
    assert_eq!(answer.messages, [word("x")]);
    let answer = ask("application/grpc+thrift", framed(&word("x"))).await;
    assert_eq!(answer.text("grpc-status"), "12");
    for other in ["text/plain", "application/grpcish"] {
        let answer = ask(other, framed(&word("x"))).await;
        assert_eq!(answer.status, 415, "{other}");
    }
}

#[tokio::test]
async fn only_posts_are_calls() {
    let net = Net::new();
    let mut request = post("/test.Say/Hello", &[]);
    *request.method_mut() = http::Method::GET;
    let answer = raw(&net).await.ask(request, framed(&word("x"))).await;
    assert_eq!(answer.status, 405);
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn pages_of_unknown_origins_may_not_call() {
    let mut settings = Grpc::new();
    settings.origins = vec!["https://good.example".into()];
    settings.loopback_only = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = raw(&net).await;
    for (origin, status) in [("https://good.example", 200), ("https://evil.example", 403)] {
        let request = post("/test.Say/Hello", &[("origin", origin)]);
        let answer = raw.ask(request, framed(&word("x"))).await;
        assert_eq!(answer.status, status, "{origin}");
    }
    let mut request = post("/test.Say/Hello", &[]);
    *request.uri_mut() = "http://evil.example:80/test.Say/Hello".parse().unwrap();
    let answer = raw.ask(request, framed(&word("x"))).await;
    assert_eq!((answer.status, answer.text("grpc-status")), (403, "7"));
    assert_eq!(count(&net.probe.started), 1);
}

#[tokio::test]
async fn a_server_stream_begins_before_the_input_ends() {
    // Go Micro opens every stream as bidirectional and never ends its input.
    let net = Net::new();
    let mut raw = raw(&net).await;
    let (response, mut out) = raw.open(post("/test.Say/Count", &[]));
    let three = Word {
        number: 3,
        ..word("")
    };
    out.send_data(framed(&three), false).unwrap();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(answer.messages.len(), 3);
    assert_eq!(answer.text("grpc-status"), "0");
    drop(out);
    assert_eq!(
        raw.ask(post("/test.Say/Hello", &[]), framed(&word("x")))
            .await
            .messages
            .len(),
        1
    );
}

#[tokio::test]
async fn a_unary_call_is_answered_though_its_input_stays_open() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let (response, mut out) = raw.open(post("/test.Say/Hello", &[]));
    out.send_data(framed(&word("x")), false).unwrap();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(answer.messages, [word("x")]);
}

#[tokio::test]
async fn a_unary_call_takes_exactly_one_message() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let answer = raw.ask(post("/test.Say/Hello", &[]), Bytes::new()).await;
    assert_eq!(answer.text("grpc-status"), "12");
    let mut two = framed(&word("x")).to_vec();
    two.extend_from_slice(&framed(&word("y")));
    let answer = raw.ask(post("/test.Say/Hello", &[]), two).await;
    assert_eq!(answer.text("grpc-status"), "12");
    let answer = raw
        .ask(post("/test.Say/Hello", &[]), &b"\0\0\0\0\x09abc"[..])
        .await;
    assert_eq!(answer.text("grpc-status"), "13");
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn an_error_reads_as_each_caller_reads_errors() {
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes, tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    let net = Net::new();
    let mut raw = raw(&net).await;
    let mut ask = async |headers: &[(&str, &str)]| {
        let answer = raw
            .ask(post("/test.Say/Hello", headers), framed(&word("error")))
            .await;
        assert_eq!(answer.text("grpc-status"), "5");
        assert!(answer.trailers.is_none());
        let details = base64_of(answer.text("grpc-status-details-bin"));
        let status = Status::decode(&*details).unwrap();
        let types: Vec<_> = status.details.into_iter().map(|any| any.type_url).collect();
        (answer.text("grpc-message").to_owned(), types)
    };
    let (message, types) = ask(&[
        ("x-content-type", "application/grpc+proto"),
        ("user-agent", "grpc-go/1.53.0"),
    ])
    .await;
    assert!(
        message.starts_with(r#"{"id":"say.hello","code":404,"detail":"no such "#),
        "{message}"
    );
    assert!(message.contains("%C3%A9"), "{message}");
    assert_eq!(types, ["type.googleapis.com/errors.Error"]);
    let (message, types) = ask(&[("user-agent", "grpc-go/1.53.0")]).await;
    assert_eq!(message, "no such <thing> %C3%A9");
    assert_eq!(types, ["type.test/One", "type.test/Two"]);
}

fn base64_of(text: &str) -> Vec<u8> {
    let metadata = micro_runtime::Metadata::from_iter([("x-bin", text.to_owned())]);
    metadata.get_binary("x-bin").unwrap()
}

#[tokio::test]
async fn both_timeouts_are_deadlines_and_the_sooner_counts() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let mut left = async |headers: &[(&str, &str)]| {
        let request = post("/test.Say/Hello", headers);
        let answer = raw.ask(request, framed(&word("remaining"))).await;
        Duration::from_micros(answer.messages[0].number)
    };
    let standard = left(&[("grpc-timeout", "10S")]).await;
    assert!(standard > Duration::from_secs(9) && standard <= Duration::from_secs(10));
    let go_micro = left(&[("timeout", "5000000000"), ("grpc-timeout", "10S")]).await;
    assert!(go_micro > Duration::from_secs(4) && go_micro <= Duration::from_secs(5));
    assert_eq!(
        left(&[("timeout", "soon")]).await,
        Duration::from_micros(u64::MAX)
    );

    let request = post("/test.Say/Hello", &[("grpc-timeout", "20m")]);
    let answer = raw.ask(request, framed(&word("wait"))).await;
    assert_eq!(answer.text("grpc-status"), "4");
    let request = post("/test.Say/Hello", &[("grpc-timeout", "soon")]);
    let answer = raw.ask(request, framed(&word("x"))).await;
    assert_eq!(answer.text("grpc-status"), "13");
}

#[tokio::test]
async fn a_reset_drops_the_handler() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let (_response, mut out) = raw.open(post("/test.Say/Hello", &[]));
    out.send_data(framed(&word("wait")), true).unwrap();
    net.probe.until(|probe| count(&probe.started) == 1).await;
    out.send_reset(Reason::CANCEL);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(count(&net.probe.cancelled), 1);

    let (response, mut out) = raw.open(post("/test.Say/Sum", &[]));
    out.send_data(framed(&word("x")), false).unwrap();
    let mut input = response.await.unwrap().into_body();
    assert_eq!(first(&mut input).await.text, "x");
    out.send_reset(Reason::CANCEL);
    net.probe.until(|probe| count(&probe.dropped) == 2).await;
    assert_eq!(count(&net.probe.cancelled), 2);
}

#[tokio::test]
async fn a_lost_connection_drops_its_handlers() {
    let net = Net::new();
    let (requests, connection) = h2::client::handshake(net.connection().await.io)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let mut raw = Raw { requests };
    let (_response, mut out) = raw.open(post("/test.Say/Hello", &[]));
    out.send_data(framed(&word("wait")), true).unwrap();
    let (_streaming, mut more) = raw.open(post("/test.Say/Sum", &[]));
    more.send_data(framed(&word("x")), false).unwrap();
    net.probe
        .until(|probe| count(&probe.received) == 1 && count(&probe.started) == 2)
        .await;
    driver.abort();
    let _ = driver.await;
    drop((out, more, raw));
    net.probe.until(|probe| count(&probe.dropped) == 2).await;
    assert_eq!(count(&net.probe.cancelled), 2);
    net.server.core().tasks().idle().await;
}

#[tokio::test]
async fn compression_is_used_only_where_it_is_understood() {
    let mut settings = Grpc::new();
    settings.compress = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = raw(&net).await;
    // Go Micro's plugins link no gzip and say so by silence.
    let long = word(&"x".repeat(5000));
    let answer = raw.ask(post("/test.Say/Hello", &[]), framed(&long)).await;
    assert_eq!(answer.messages, std::slice::from_ref(&long));
    assert!(!answer.head.contains_key("grpc-encoding"));
    let request = post("/test.Say/Hello", &[("grpc-accept-encoding", "gzip")]);
    let answer = raw.ask(request, framed(&long)).await;
    assert_eq!(answer.head["grpc-encoding"], "gzip");
    let request = post("/test.Say/Hello", &[("grpc-encoding", "snappy")]);
    let answer = raw.ask(request, framed(&long)).await;
    assert_eq!(answer.text("grpc-status"), "12");
    let reads = match cfg!(feature = "zstd") {
        true => "identity,gzip,zstd",
        false => "identity,gzip",
    };
    assert_eq!(answer.head["grpc-accept-encoding"], reads);
    let mut compressed = framed(&long).to_vec();
    compressed[0] = 1;
    let answer = raw.ask(post("/test.Say/Hello", &[]), compressed).await;
    assert_eq!(answer.text("grpc-status"), "13");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let mut limits = Limits::default();
    limits.head = 4 << 10;
    limits.headers = 20;
    let net = Net::with(Grpc::new(), limits);
    let mut raw = raw(&net).await;
    let large = "x".repeat(5000);
    let request = post("/test.Say/Hello", &[("large", &large)]);
    let answer = raw.ask(request, framed(&word("x"))).await;
    assert_eq!(answer.status, 431);
    let many: Vec<_> = (0..30).map(|i| (format!("key-{i}"), "v")).collect();
    let many: Vec<_> = many.iter().map(|(key, value)| (&**key, *value)).collect();
    let answer = raw
        .ask(post("/test.Say/Hello", &many), framed(&word("x")))
        .await;
    assert_eq!(answer.text("grpc-status"), "8");
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn a_caller_that_is_refused_may_finish_what_it_sends() {
    let net = Net::new();
    let mut raw = raw(&net).await;
    let (response, mut out) = raw.open(post("/test.Say/Nothing", &[]));
    let answer = response.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
    // By now a reset would be here.
    raw.ask(post("/test.Say/Hello", &[]), framed(&word("x")))
        .await;
    out.send_data(framed(&word("x")), true)
        .expect("the stream is not reset");
}
