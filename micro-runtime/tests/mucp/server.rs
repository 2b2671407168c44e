//! How the server treats connections, calls and callers.

use std::time::Duration;

use micro_runtime::router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::capture::cut_all;
use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

pub fn limits(change: impl FnOnce(&mut Limits)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.limits);
    setup
}

pub fn sleep(ms: u16, extra: &str) -> Vec<u8> {
    // A varint of two bytes.
    let [low, high] = [(ms & 0x7f) as u8 | 0x80, (ms >> 7) as u8];
    post("Greeter.Sleep", extra, &[8, low, high])
}

pub fn errors(bytes: &[u8]) -> Vec<i32> {
    cut_all(bytes)
        .iter()
        .map(|message| {
            let error = message.get("Micro-Error").unwrap_or("{}");
            micro_runtime::Error::from_wire(error).code()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_answered_in_order() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let (mut bytes, start) = (Vec::new(), Instant::now());
    // More than wait at once, so that reading stops and goes on.
    for id in 0..300 {
        bytes.extend(sleep(
            if id % 3 == 0 { 200 } else { 0 },
            &format!("Micro-Id: {id}\r\n"),
        ));
    }
    raw.send(&bytes).await;
    let (read, closed) = raw.read_for(2 * SECOND).await;
    assert!(!closed);
    let ids: Vec<_> = cut_all(&read)
        .iter()
        .map(|reply| reply.get("Micro-Id").unwrap().parse::<usize>().unwrap())
        .collect();
    assert_eq!(ids, (0..300).collect::<Vec<_>>());
    // One after the other.
    assert!(start.elapsed() >= 20 * SECOND);
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn reading_stops_where_enough_requests_wait() {
    let server = serve().await;
    for body in [2, 20_000] {
        let mut raw = server.dial().await;
        let one = post("Greeter.Sleep", "", &vec![0; body]);
        raw.send(sleep(10_000, "")).await;
        let mut sent = 0;
        let flood = async {
            loop {
                raw.0.io.write_all(&one).await.unwrap();
                sent += one.len();
            }
        };
        assert!(tokio::time::timeout(SECOND, flood).await.is_err());
        // 64 requests or a mebibyte, a buffer and the pipe.
        let most = if body == 2 { 200_000 } else { 1_300_000 };
        assert!(sent < most, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn reading_stops_where_replies_are_not_read() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let one = post("Greeter.Hello", "", b"");
    let mut sent = 0;
    let flood = async {
        loop {
            raw.0.io.write_all(&one).await.unwrap();
            sent += one.len();
        }
    };
    assert!(tokio::time::timeout(SECOND, flood).await.is_err());
    assert!(sent < 500_000, "{sent}");
    let (read, _) = raw.read_for(SECOND).await;
    assert_eq!(cut_all(&read).len(), sent / one.len());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_has_its_handler_dropped() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send(sleep(10_000, "")).await;
    settle().await;
    assert_eq!((server.peer.started(), server.peer.dropped()), (1, 0));
    drop(raw);
    settle().await;
    assert_eq!(server.peer.dropped(), 1);
    assert_eq!(server.core.running(), 0);

    // Also where only its sending side is closed, and others wait behind it.
    let mut raw = server.dial().await;
    raw.send([sleep(10_000, ""), sleep(1, "")].concat()).await;
    settle().await;
    raw.0.io.shutdown().await.unwrap();
    settle().await;
    assert_eq!((server.peer.started(), server.peer.dropped()), (2, 2));
    assert_eq!(raw.read_all().await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_answered_with_408_and_counts_from_the_arrival() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let start = Instant::now();
    raw.send(sleep(10_000, "Timeout: 250000000\r\n")).await;
    let (head, _) = raw.response().await;
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    assert!(
        field(&head, "Micro-Error")
            .unwrap()
            .contains("\"code\":408")
    );
    assert_eq!(server.peer.dropped(), 1);

    // The second waits behind the first for longer than it has.
    let two = [sleep(500, ""), sleep(1, "Timeout: 400000000\r\n")].concat();
    raw.send(two).await;
    let (read, _) = raw.read_for(SECOND).await;
    assert_eq!(errors(&read), [0, 408]);
    // Its handler never ran.
    assert_eq!(server.peer.started(), 2);

    for (timeout, code) in [
        ("0", 408),
        ("5s", 0),
        ("-1", 0),
        ("99999999999999999999", 0),
    ] {
        raw.send(sleep(1, &format!("Timeout: {timeout}\r\n"))).await;
        let (read, _) = raw.read_for(SECOND).await;
        assert_eq!(errors(&read), [code], "{timeout}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_limit_holds_for_calls_that_bring_none() {
    let server = limits(|limits| limits.call = Some(SECOND)).serve().await;
    let mut raw = server.dial().await;
    let start = Instant::now();
    raw.send(sleep(10_000, "")).await;
    raw.response().await;
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_closed_only_after_the_idle_time() {
    let server = serve().await;
    let mut raw = server.dial().await;
    for _ in 0..3 {
        raw.send(post("Greeter.Hello", "", b"")).await;
        raw.response().await;
        let (read, closed) = raw.read_for(85 * SECOND).await;
        assert_eq!((read.len(), closed), (0, false));
    }
    let start = Instant::now();
    assert_eq!(raw.read_all().await, b"");
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_idle_time_ends_a_call_or_a_stream() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let day = 24 * 3600 * SECOND;
    let body = [8, 0x80, 0xb8, 0x99, 0x29];
    raw.send(post("Greeter.Sleep", "", &body)).await;
    let start = Instant::now();
    raw.response().await;
    assert_eq!(start.elapsed(), day);

    let mut raw = server.dial().await;
    raw.send(post("Greeter.Sum", "Micro-Stream: 1\r\n", b""))
        .await;
    let (read, closed) = raw.read_for(day).await;
    assert_eq!((read.len(), closed), (0, false));
    raw.send(post("Greeter.Sum", "Micro-Stream: 1\r\n", &[8, 1]))
        .await;
    let (_, body) = raw.response().await;
    assert_eq!(body, [8, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_is_given_up() {
    let server = serve().await;
    // Nothing comes.
    let mut raw = server.dial().await;
    let start = Instant::now();
    assert_eq!(raw.read_all().await, b"");
    assert_eq!(start.elapsed(), 5 * SECOND);

    // The first head dribbles.
    let mut raw = server.dial().await;
    let start = Instant::now();
    let bytes = post("Greeter.Hello", "", b"\n\x05world");
    for byte in &bytes[..4] {
        raw.send([*byte]).await;
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(raw.read_all().await, b"");
    assert_eq!(start.elapsed(), 5 * SECOND);

    // The first body may take longer, but not for ever.
    let mut raw = server.dial().await;
    raw.send(&bytes[..bytes.len() - 1]).await;
    let (_, closed) = raw.read_for(50 * SECOND).await;
    assert!(!closed);
    raw.send(&bytes[bytes.len() - 1..]).await;
    raw.response().await;
    let start = Instant::now();
    raw.send(&bytes[..bytes.len() - 1]).await;
    assert_eq!(raw.read_all().await, b"");
    assert_eq!(start.elapsed(), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closes_where_its_caller_says_so() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let hello = post("Greeter.Hello", "Connection: close\r\n", b"");
    // What comes after is not served.
    raw.send([sleep(50, ""), hello, post("Greeter.Hello", "", b"")].concat())
        .await;
    let replies = cut_all(&raw.read_all().await);
    let close: Vec<_> = replies
        .iter()
        .map(|reply| reply.get("Connection"))
        .collect();
    assert_eq!(close, [None, Some("close")]);
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_finishes_what_runs_and_closes() {
    let server = serve().await;
    let mut idle = server.dial().await;
    idle.send(post("Greeter.Hello", "", b"")).await;
    idle.response().await;
    let mut busy = server.dial().await;
    busy.send(sleep(1000, "")).await;
    let mut stream = server.dial().await;
    stream
        .send(post("Greeter.Sum", "Micro-Stream: 1\r\n", b""))
        .await;
    settle().await;
    server.core.start_drain();
    assert_eq!(idle.read_all().await, b"");
    stream
        .send(post("Greeter.Sum", "Micro-Stream: 1\r\n", &[8, 1]))
        .await;
    assert_eq!(stream.response().await.1, [8, 1]);
    // A new call on its connection is told where it stands.
    stream.send(post("Greeter.Hello", "", b"")).await;
    let (head, _) = stream.response().await;
    assert!(
        field(&head, "Micro-Error")
            .unwrap()
            .contains("\"code\":503")
    );
    let end = "Micro-Stream: 1\r\nMicro-Error: EOS\r\n";
    stream.send(post("Greeter.Sum", end, b"")).await;
    let last = cut_all(&stream.read_all().await);
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].get("Micro-Error"), Some("EOS"));

    let replies = cut_all(&busy.read_all().await);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].get("Connection"), Some("close"));
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_makes_the_handler_wait_and_is_given_up() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let open = post("Greeter.Count", "Micro-Stream: 1\r\n", b"");
    // Ten million messages.
    let request = post(
        "Greeter.Count",
        "Micro-Stream: 1\r\n",
        &[8, 0x80, 0xad, 0xe2, 4],
    );
    raw.send([open, request].concat()).await;
    let start = Instant::now();
    settle().await;
    assert_eq!((server.peer.started(), server.peer.dropped()), (1, 0));
    while server.peer.dropped() == 0 {
        tokio::time::sleep(SECOND).await;
        assert!(start.elapsed() < 70 * SECOND);
    }
    assert!(start.elapsed() >= 60 * SECOND);
    // The pipe, the connection's buffer and the stream's, and a little over.
    let read = raw.read_all().await;
    assert!(read.len() < 64 * 1024 * 4, "{} bytes", read.len());
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_slowly_is_served_for_as_long_as_it_reads() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let open = post("Greeter.Count", "Micro-Stream: 1\r\n", b"");
    // Two thousand messages: more than all buffers hold.
    let request = post("Greeter.Count", "Micro-Stream: 1\r\n", &[8, 0xd0, 0x0f]);
    raw.send([open, request].concat()).await;
    let mut read = Vec::new();
    while find(&read, b"Micro-Error: EOS").is_none() {
        tokio::time::sleep(50 * SECOND).await;
        let mut part = vec![0; 50_000];
        let n = tokio::io::AsyncReadExt::read(&mut raw.0.io, &mut part)
            .await
            .unwrap();
        assert!(n > 0);
        read.extend_from_slice(&part[..n]);
    }
    let (rest, _) = raw.read_for(SECOND).await;
    read.extend(rest);
    let messages = cut_all(&read);
    assert_eq!(messages.len(), 2001);
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send(post("Greeter.Fail", "", b"\n\x05panic\x12\x03boo"))
        .await;
    let (head, _) = raw.response().await;
    assert!(
        field(&head, "Micro-Error")
            .unwrap()
            .contains("panic recovered: boo")
    );
    raw.send(post("Greeter.Hello", "", b"")).await;
    assert_eq!(raw.response().await.1, b"\n\x06Hello ");
}

#[tokio::test(start_paused = true)]
async fn the_envelope_follows_from_the_content_type_and_the_callers_age() {
    let server = serve().await;
    let json = "application/json";
    let enveloped = r#"{"method":"Greeter.Hello","params":[{"name":"x"}],"id":"1"}"#;
    let plain = r#"{"name":"x"}"#;
    let named = "Micro-Endpoint: Greeter.Hello\r\n";
    for (content_type, extra, body, reply, error) in [
        // Without any `Micro-*` it is a caller from before them.
        (json, "", enveloped, "\"result\":{\"msg\":\"Hello x\"}", ""),
        (json, named, plain, "{\"msg\":\"Hello x\"}", ""),
        (
            json,
            "X-Micro-Method: Greeter.Hello\r\n",
            plain,
            "{\"msg\"",
            "",
        ),
        // These two headers change that, either way.
        (json, "Micro-Protocol: mucp\r\n", plain, "", "ill-formed"),
        (
            json,
            "Micro-Endpoint: Greeter.Hello\r\nMicro-Target: x\r\n",
            enveloped,
            "\"result\":",
            "",
        ),
        (
            "application/json-rpc",
            named,
            plain,
            "\"result\":{\"msg\":\"Hello \"}",
            "",
        ),
        (
            "application/json-rpc",
            named,
            "[]",
            "",
            "router cannot decode request",
        ),
        (
            "application/protobuf",
            "",
            "x",
            "",
            "router cannot decode request: unexpected EOF",
        ),
        (
            "application/grpc",
            "Micro-Endpoint: Greeter.Nope\r\n",
            "",
            "",
            "can't find method",
        ),
    ] {
        let mut raw = server.dial().await;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n{extra}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw.send(&request).await;
        let (head, body) = raw.response().await;
        assert_eq!(field(&head, "Content-Type"), Some(content_type));
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(reply), "{request}: {body}");
        let words = field(&head, "Micro-Error").unwrap_or_default();
        assert!(words.contains(error) && words.is_empty() == error.is_empty());
        if content_type == "application/grpc" {
            assert_eq!(field(&head, "Grpc-Status"), Some("13"));
            assert_eq!(field(&head, "Grpc-Message"), Some(words));
        }
    }
}
