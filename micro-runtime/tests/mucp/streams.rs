//! Streams on the server, told byte by byte.

use std::time::Duration;

use micro_runtime::router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::capture::cut_all;
use crate::greeter::{ELSEWHERE, PAUSE};
use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

fn message(endpoint: &str, id: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    post(endpoint, &format!("Micro-Stream: {id}\r\n{extra}"), body)
}

fn sum(id: &str, body: &[u8]) -> Vec<u8> {
    message("Greeter.Sum", id, "", body)
}

fn end(endpoint: &str, id: &str) -> Vec<u8> {
    message(endpoint, id, "Micro-Error: EOS\r\n", b"")
}

async fn replies(raw: &mut Raw) -> Vec<(Option<String>, Vec<u8>)> {
    let (read, _) = raw.read_for(SECOND).await;
    cut_all(&read)
        .into_iter()
        .map(|reply| (reply.get("Micro-Error").map(str::to_owned), reply.body))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_connection_reach_their_own_handlers() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let bytes = [
        sum("a", b""),
        sum("b", b""),
        sum("a", &[8, 1]),
        sum("b", &[8, 10]),
        sum("a", &[8, 2]),
        post("Greeter.Hello", "Micro-Stream: c\r\n", b""),
        end("Greeter.Sum", "a"),
        end("Greeter.Sum", "b"),
    ];
    raw.send(bytes.concat()).await;
    let (read, _) = raw.read_for(SECOND).await;
    let of = |id: &str| -> Vec<_> {
        cut_all(&read)
            .into_iter()
            .filter(|reply| reply.get("Micro-Stream") == Some(id))
            .map(|reply| reply.body)
            .collect()
    };
    assert_eq!(of("a"), [vec![8, 1], vec![8, 3], vec![]]);
    assert_eq!(of("b"), [vec![8, 10], vec![]]);
    assert_eq!(of("c"), [b"\n\x06Hello ".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_wait_and_may_work_in_another_task() {
    let server = serve().await;
    for number in [PAUSE, ELSEWHERE] {
        let number = u8::try_from(number).unwrap();
        let mut raw = server.dial().await;
        let start = Instant::now();
        raw.send([sum("1", b""), sum("1", &[8, number])].concat())
            .await;
        assert_eq!(raw.response().await.1, [8, number]);
        assert_eq!(start.elapsed(), SECOND);
        raw.send(sum("1", &[8, 1])).await;
        assert_eq!(raw.response().await.1, [8, number + 1]);
        raw.send(end("Greeter.Sum", "1")).await;
        let (head, _) = raw.response().await;
        assert_eq!(field(&head, "Micro-Error"), Some("EOS"));
    }
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_starts_nothing() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send([sum("9", b""), sum("9", &[8, 1, 16, 1])].concat())
        .await;
    let (error, _) = replies(&mut raw).await.remove(0);
    assert!(error.unwrap().contains("\"code\":409"));
    raw.send([sum("9", &[8, 2]), end("Greeter.Sum", "9"), sum("9", b"")].concat())
        .await;
    assert_eq!(replies(&mut raw).await, []);
    assert_eq!(server.peer.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_or_an_error_for_an_unknown_stream_is_ignored() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let error = message("Greeter.Sum", "2", "Micro-Error: given up\r\n", b"");
    raw.send([end("Greeter.Sum", "1"), error].concat()).await;
    assert_eq!(replies(&mut raw).await, []);
    raw.send(post("Greeter.Hello", "", b"")).await;
    raw.response().await;
    assert_eq!(server.peer.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_callers_error_is_the_handlers() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let error = message("Greeter.Sum", "1", "Micro-Error: client oops\r\n", b"");
    raw.send([sum("1", b""), sum("1", &[8, 1]), error].concat())
        .await;
    let replies = replies(&mut raw).await;
    assert_eq!(replies[0], (None, vec![8, 1]));
    assert_eq!(replies[1], (Some("client oops".into()), vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_message_is_the_handlers_error() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send([sum("1", b""), sum("1", b"\xff")].concat()).await;
    let (error, _) = replies(&mut raw).await.remove(0);
    assert!(error.unwrap().contains("cannot parse"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_a_while_after_its_stream() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send([sum("1", b""), end("Greeter.Sum", "1")].concat())
        .await;
    raw.response().await;
    let start = Instant::now();
    assert_eq!(raw.read_all().await, b"");
    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_without_an_end_has_its_handler_dropped() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send([sum("1", b""), sum("2", b""), sum("1", &[8, 1])].concat())
        .await;
    settle().await;
    drop(raw);
    settle().await;
    assert_eq!((server.peer.started(), server.peer.dropped()), (2, 2));
    assert_eq!(server.core.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_ended_is_finished_though_its_caller_is_gone() {
    let server = serve().await;
    for gone in [false, true] {
        let mut raw = server.dial().await;
        let collect = |body: &[u8]| message("Greeter.Collect", "1", "", body);
        let mut bytes = collect(b"");
        // More than wait at once: the end is still unread when the connection is closed.
        for _ in 0..500 {
            bytes.extend(collect(&[8, 1]));
        }
        bytes.extend(end("Greeter.Collect", "1"));
        raw.0.io.write_all(&bytes).await.unwrap();
        match gone {
            true => drop(raw),
            false => raw.0.io.shutdown().await.unwrap(),
        }
        settle().await;
        settle().await;
        assert_eq!(server.peer.dropped(), 0);
        assert_eq!(server.core.running(), 0);
        // The connections' tasks are over too; what is left accepts.
        assert_eq!(server.tasks.running(), 1);
    }
    assert_eq!(server.peer.started(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_stream_is_dropped_with_its_caller_also_after_the_end() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let count = |body: &[u8]| message("Greeter.Count", "1", "", body);
    let many = [8, 0x80, 0xad, 0xe2, 4];
    let bytes = [count(b""), count(&many), end("Greeter.Count", "1")].concat();
    raw.send(bytes).await;
    settle().await;
    assert_eq!((server.peer.started(), server.peer.dropped()), (1, 0));
    drop(raw);
    settle().await;
    assert_eq!(server.peer.dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn input_is_queued_up_to_the_window_and_then_the_caller_waits() {
    let mut limits = Limits::default();
    limits.stream_window = 8;
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let server = setup.serve().await;
    let mut raw = server.dial().await;
    // The handler waits for its output to be read, and so does not read its input.
    let one = sum("1", &[8, 1]);
    raw.send(sum("1", b"")).await;
    let mut sent = 0;
    let flood = async {
        loop {
            raw.0.io.write_all(&one).await.unwrap();
            sent += one.len();
        }
    };
    assert!(tokio::time::timeout(SECOND, flood).await.is_err());
    // Two pipes, a connection's buffers both ways and the window.
    assert!(sent < 1024 * 1024, "{sent}");
    // It goes on as soon as the caller reads.
    let (read, _) = raw.read_for(SECOND).await;
    assert!(read.len() > 64 * 1024);
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_a_connection_may_have_are_refused() {
    let mut limits = Limits::default();
    limits.calls_per_connection = 3;
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let server = setup.serve().await;
    let mut raw = server.dial().await;
    let opens: Vec<_> = (0..4).map(|id| sum(&id.to_string(), b"")).collect();
    raw.send(opens.concat()).await;
    let (error, _) = replies(&mut raw).await.remove(0);
    assert!(error.unwrap().contains("\"code\":503"));
    assert_eq!(server.core.running(), 3);
    // One that ends makes room.
    raw.send([end("Greeter.Sum", "0"), sum("5", b""), sum("5", &[8, 5])].concat())
        .await;
    let replies = replies(&mut raw).await;
    assert_eq!(replies[1], (None, vec![8, 5]));
}

#[tokio::test(start_paused = true)]
async fn a_streams_time_limit_ends_it() {
    let server = serve().await;
    let mut raw = server.dial().await;
    let start = Instant::now();
    raw.send(message("Greeter.Sum", "1", "Timeout: 3000000000\r\n", b""))
        .await;
    let (head, _) = raw.response().await;
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert!(
        field(&head, "Micro-Error")
            .unwrap()
            .contains("\"code\":408")
    );
    assert_eq!(server.peer.dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_told_at_once_that_the_stream_will_be_ended() {
    let server = serve().await;
    let mut raw = server.dial().await;
    raw.send(message(
        "Greeter.Sum",
        "17",
        "Micro-Stream-Ends: 17\r\n",
        b"",
    ))
    .await;
    let (head, body) = raw.response().await;
    assert_eq!(field(&head, "Micro-Stream-Ends"), Some("open"));
    assert_eq!((field(&head, "Micro-Error"), body), (None, vec![]));
    // A Go handler that passes the header on does not ask.
    raw.send(message(
        "Greeter.Sum",
        "0",
        "Micro-Stream-Ends: 17\r\n",
        b"",
    ))
    .await;
    assert_eq!(replies(&mut raw).await, []);
}

#[tokio::test(start_paused = true)]
async fn enveloped_streams_are_ended_in_the_envelope_too() {
    let server = serve().await;
    for (content_type, ended) in [
        (
            "application/proto-rpc",
            &b"\0\0\0\x05\x1a\x03EOS\0\0\0\0"[..],
        ),
        (
            "application/json-rpc",
            b"{\"id\":\"\",\"result\":null,\"error\":\"EOS\"}\n",
        ),
    ] {
        let mut raw = server.dial().await;
        let request = |extra: &str| {
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
                 Micro-Endpoint: Greeter.Sum\r\nMicro-Stream: 1\r\n{extra}\r\n"
            )
        };
        raw.send(request("") + &request("Micro-Error: EOS\r\n"))
            .await;
        let (head, body) = raw.response().await;
        assert_eq!(field(&head, "Micro-Error"), Some("EOS"));
        assert_eq!(show(&body), show(ended));
    }
}
