//! How long a peer is waited for, and how much it can make the port hold.

use std::time::Duration;

use micro_runtime::protocol::Grpc;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::router::Limits;

use crate::net::{PIPE, Port, all, envelope, json, request, settle};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_is_not_waited_for() {
    let port = Port::new();
    for first in ["", &*json("Hello", "{}")] {
        let mut raw = port.dial();
        if !first.is_empty() {
            assert_eq!(raw.ask(first).await.status, 200);
        }
        raw.send("POST /greeter.Greeter/Hello HTTP/1.1\r\n").await;
        for _ in 0..4 {
            assert!(raw.is_silent_for(SECOND).await);
            raw.send("X: y\r\n").await;
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(raw.rest().await, "");
        assert!(begun.elapsed() <= 2 * SECOND, "{:?}", begun.elapsed());
    }
    assert_eq!(port.server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_in_is_waited_for_no_longer_than_a_request_may_take() {
    let mut limits = Limits::default();
    limits.request_read = Duration::from_secs(20);
    let port = Port::with(all(Grpc::new(), Mucp::new()), limits);
    let mut raw = port.dial();
    let fields = "Content-Type: application/json\r\n";
    let head = request("POST", "Hello", fields, &"x".repeat(1000));
    raw.send(head.trim_end_matches('x')).await;
    for _ in 0..19 {
        raw.send(" ").await;
        assert!(raw.is_silent_for(SECOND).await);
    }
    let answer = raw.answer().await;
    assert!(answer.status >= 400, "{answer:?}");
    // What is missing of it is not waited for.
    raw.rest().await;
    settle().await;
    assert_eq!(port.server.connections(), 0);
    assert_eq!(port.server.core().totals().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_refused_at_the_limit_and_not_read_on() {
    let mut limits = Limits::default();
    limits.message = 100_000;
    let port = Port::with(all(Grpc::new(), Mucp::new()), limits);
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 9000000000\r\n",
    ] {
        let mut raw = port.dial();
        raw.send(format!(
            "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}\r\n"
        ))
        .await;
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        let sent = raw.fill(chunk.as_bytes(), Duration::from_millis(10)).await;
        let all = raw.rest().await;
        let line = all.lines().next().unwrap_or_default();
        let status: u16 = line.get(9..12).unwrap().parse().unwrap();
        assert!(status == 429 || status == 413, "{all}");
        let head = all.to_ascii_lowercase();
        assert!(head.contains("\r\nconnection: close\r\n"), "{all}");
        assert!(sent < 3_000_000, "{sent} bytes were taken");
        settle().await;
        assert_eq!(port.server.connections(), 0);
    }
    assert_eq!(port.server.core().totals().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_closes_drops_the_handler() {
    let port = Port::new();
    let stream = envelope(0, "{\"to\":\"1000000\"}");
    let stream = request(
        "POST",
        "Count",
        "Content-Type: application/connect+json\r\n",
        &String::from_utf8(stream).unwrap(),
    );
    for (n, call) in [json("Sleep", "{\"ms\":\"100000\"}"), stream]
        .iter()
        .enumerate()
    {
        let mut raw = port.dial();
        raw.send(call).await;
        settle().await;
        assert_eq!((port.peer.started(), port.peer.dropped()), (n + 1, n));
        drop(raw);
        settle().await;
        assert_eq!(port.peer.dropped(), n + 1);
        assert_eq!(port.server.connections(), 0);
    }
    assert_eq!(port.server.core().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_stops_the_stream_and_is_given_up_after_a_while() {
    let port = Port::new();
    let mut raw = port.dial();
    let stream = envelope(0, "{\"to\":\"1000000\"}");
    let stream = request(
        "POST",
        "Count",
        "Content-Type: application/connect+json\r\n",
        &String::from_utf8(stream).unwrap(),
    );
    raw.send(stream).await;
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!((port.peer.started(), port.peer.dropped()), (1, 0));
    tokio::time::sleep(40 * SECOND).await;
    assert_eq!(port.peer.dropped(), 1);
    assert_eq!(port.server.connections(), 0);
    // All that it had made: what waits in the connection, and what the pipe holds.
    let made = raw.rest().await.len();
    assert!(made <= PIPE, "{made}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_makes_the_caller_wait() {
    let mut grpc = Grpc::new();
    grpc.stream_window = 32 * 1024;
    let port = Port::with(all(grpc, Mucp::new()), Limits::default());
    let mut raw = port.dial();
    raw.send(
        "POST /greeter.Greeter/Sum HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    // The number that makes the handler pause for a second.
    let pause = envelope(0, "{\"n\":\"100\"}");
    raw.send(format!("{:x}\r\n", pause.len())).await;
    raw.send(pause).await;
    raw.send("\r\n").await;
    let one = envelope(0, "{\"n\":\"1\"}");
    let mut chunk = format!("{:x}\r\n", one.len() * 100).into_bytes();
    chunk.extend(one.repeat(100));
    chunk.extend(b"\r\n");
    let taken = raw.fill(&chunk, Duration::from_millis(10)).await;
    assert!(taken > 32 * 1024, "{taken}");
    // What is read at once, and what the pipe holds.
    assert!(taken < 32 * 1024 + 8 * PIPE, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_pipelined_without_end_wait_unread() {
    let port = Port::new();
    let mut raw = port.dial();
    raw.send(json("Sleep", "{\"ms\":\"100000\"}")).await;
    let taken = raw
        .fill(json("Hello", "{}").as_bytes(), Duration::from_millis(10))
        .await;
    assert!(taken < 200_000, "{taken}");
    assert_eq!(port.peer.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_over_its_limits_is_refused() {
    let port = Port::new();
    for fields in [
        format!("X: {}\r\n", "y".repeat(70_000)),
        "X: y\r\n".repeat(300),
    ] {
        let mut raw = port.dial();
        assert_eq!(raw.ask(json("Hello", "{}")).await.status, 200);
        let answer = raw.ask(request("POST", "Hello", &fields, "{}")).await;
        assert_eq!(answer.status, 431, "{answer:?}");
        assert_eq!(raw.rest().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_with_an_answer() {
    let mut grpc = Grpc::new();
    grpc.max_age = Some(60 * SECOND);
    let port = Port::with(all(grpc, Mucp::new()), Limits::default());
    let mut raw = port.dial();
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(answer.field("connection"), None);
    tokio::time::sleep(70 * SECOND).await;
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(raw.rest().await, "");
}
