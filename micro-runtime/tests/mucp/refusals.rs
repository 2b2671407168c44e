//! What the server does not take, and that it says so.

use std::time::Duration;

use micro_runtime::protocol::mucp::Mucp;
use tokio::io::AsyncWriteExt;

use crate::capture::cut_all;
use crate::generated::greeter::*;
use crate::harness::*;
use crate::server::{errors, limits, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_refusal_is_heard_though_more_was_sent() {
    let mut setup = limits(|limits| limits.message = 1000);
    setup.transport = std::sync::Arc::new(micro_runtime::transport::Tcp);
    let server = setup.serve().await;
    let mut raw = server.dial().await;
    // More than the sockets hold: closing at once would break the write off.
    raw.send(post("Greeter.Hello", "", &vec![0; 20_000_000]))
        .await;
    let mut read = Vec::new();
    while find(&read, b"\r\n\r\n").is_none() {
        let n = tokio::io::AsyncReadExt::read_buf(&mut raw.0.io, &mut read).await;
        assert!(n.unwrap() > 0);
    }
    assert_eq!(errors(&read), [413]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reached_no_handler_may_be_sent_to_another_node() {
    let server = limits(|limits| limits.calls = 1).serve().await;
    let greeter = server.client();
    let sleep = || greeter.sleep(SleepRequest { ms: 10 }).into_future();
    let (one, two) = tokio::join!(sleep(), sleep());
    one.unwrap();
    let refused = two.unwrap_err();
    assert_eq!(refused.code(), 503);
    assert!(refused.is_unprocessed());
    // What a handler says of a call of its own says nothing about this one.
    let failed = greeter.fail(FailRequest {
        kind: "unprocessed".into(),
        detail: "nobody there".into(),
    });
    let failed = failed.await.unwrap_err();
    assert_eq!(failed.code(), 503);
    assert!(!failed.is_unprocessed());
    let mut raw = server.dial().await;
    let own = "Micro-Id: 7\r\nMicro-Unprocessed: 7\r\n";
    raw.send(post("Greeter.Hello", own, b"")).await;
    let (head, _) = raw.response().await;
    assert_eq!(field(&head, "Micro-Unprocessed"), None, "{head}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_mucp_gets_a_real_status_and_is_closed() {
    let server = serve().await;
    let named = "Micro-Endpoint: Greeter.Hello\r\n";
    for (request, status) in [
        (
            "GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "404 Not Found",
        ),
        (
            "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "404 Not Found",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request"),
        (format!("POST / HTTP/1.1\r\n{named}\r\n"), "400 Bad Request"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(),
            "400 Bad Request",
        ),
        (
            format!("HEAD / HTTP/1.1\r\nHost: x\r\n{named}\r\n"),
            "405 Method Not Allowed",
        ),
        (
            format!("OPTIONS / HTTP/1.1\r\nHost: x\r\n{named}\r\n"),
            "405 Method Not Allowed",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://example.org\r\n\r\n".to_owned(),
            "403 Forbidden",
        ),
    ] {
        let mut raw = server.dial().await;
        raw.send(&request).await;
        let messages = cut_all(&raw.read_all().await);
        assert_eq!(messages.len(), 1, "{request}");
        assert_eq!(messages[0].start, format!("HTTP/1.1 {status}"), "{request}");
        assert_eq!(messages[0].get("Connection"), Some("close"));
        assert!(messages[0].body.starts_with(status.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_may_not_call() {
    let mut mucp = Mucp::default();
    mucp.origins.push("https://good.example".into());
    let setup = Setup {
        mucp,
        ..Setup::default()
    };
    let server = setup.serve().await;
    let mut raw = server.dial().await;
    for (origin, code) in [
        ("https://good.example", 0),
        ("https://good.example.org", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ] {
        raw.send(sleep(1, &format!("Origin: {origin}\r\n"))).await;
        let (read, _) = raw.read_for(SECOND).await;
        assert_eq!(errors(&read), [code], "{origin}");
    }
    assert_eq!(server.peer.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_on_loopback_is_called_by_a_loopback_name() {
    let mut mucp = Mucp::default();
    mucp.loopback_only = true;
    let setup = Setup {
        mucp,
        ..Setup::default()
    };
    let server = setup.serve().await;
    let mut raw = server.dial().await;
    for (host, code) in [
        ("localhost:80", 0),
        ("[::1]:80", 0),
        ("rebound.example", 403),
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nMicro-Endpoint: Greeter.Hello\r\n\r\n");
        raw.send(request).await;
        let (read, _) = raw.read_for(SECOND).await;
        assert_eq!(errors(&read), [code], "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_answered_and_the_connection_closed() {
    let server = limits(|limits| limits.message = 1000).serve().await;
    let mut raw = server.dial().await;
    // The call before it is answered first.
    let large = post("Greeter.Hello", "", &[0; 1001]);
    raw.send([sleep(100, ""), large].concat()).await;
    let read = raw.read_all().await;
    assert_eq!(errors(&read), [0, 413]);

    let mut raw = server.dial().await;
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nMicro-Endpoint: Greeter.Hello\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3e9\r\n";
    raw.send(chunked).await;
    assert_eq!(errors(&raw.read_all().await), [413]);
    assert_eq!(server.core.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_of_a_hundred_thousand_fields_is_refused() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let many = "A: b\r\n".repeat(100_000);
    // The server closes before it has read all of it.
    let _ = raw
        .0
        .io
        .write_all(post("Greeter.Hello", &many, b"").as_slice())
        .await;
    let read = raw.read_all().await;
    assert!(read.starts_with(b"HTTP/1.1 431 "), "{}", show(&read));
    // The next caller is served.
    let mut raw = server.dial().await;
    raw.send(post("Greeter.Hello", "", b"")).await;
    raw.response().await;
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_answered_after_the_calls_before_them() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send([sleep(100, ""), b"nonsense\r\n\r\n".to_vec()].concat())
        .await;
    let messages = cut_all(&raw.read_all().await);
    assert_eq!(messages[0].start, "HTTP/1.1 200 OK");
    assert_eq!(messages[1].start, "HTTP/1.1 400 Bad Request");
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn captures_cut_anywhere_leave_no_handler_behind() {
    let server = serve().await;
    for name in [
        "unary_protobuf",
        "bidi_stream",
        "server_stream",
        "proto_rpc",
    ] {
        let bytes = crate::capture::read(&format!("{name}.c2s.bin"));
        for end in 0..bytes.len() {
            let mut raw = server.dial().await;
            raw.send(&bytes[..end]).await;
            raw.0.io.shutdown().await.unwrap();
            raw.read_all().await;
        }
    }
    settle().await;
    assert_eq!(server.core.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn mutated_captures_end_in_an_answer_or_a_close() {
    let server = limits(|limits| limits.message = 10_000).serve().await;
    let mut random = fastrand::Rng::with_seed(3);
    let seeds: Vec<_> = crate::capture::names()
        .iter()
        .map(|name| crate::capture::read(&format!("{name}.c2s.bin")))
        .collect();
    for _ in 0..2000 {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => {
                    let from = random.usize(..bytes.len());
                    let part = bytes[from..(from + 20).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        let mut raw = server.dial().await;
        raw.send(&bytes).await;
        raw.0.io.shutdown().await.unwrap();
        raw.read_all().await;
    }
    // Handlers of streams whose end came may be about to finish.
    tokio::time::sleep(61 * SECOND).await;
    assert_eq!(server.core.running(), 0);
}
