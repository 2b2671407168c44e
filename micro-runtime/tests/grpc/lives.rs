//! Connections: how they end, what that says of the calls on them, and how new ones are made.

use std::sync::atomic::Ordering;
use std::time::Duration;

use h2::Reason;
use micro_runtime::Result;
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::net::{Net, channel};
use crate::pipes::{Pipes, client};
use crate::raw::{Raw, framed, post, read};
use crate::say::{SayClient, count, word};

/// A client of ours, and what it dials.
fn alone(settings: &Grpc) -> (SayClient, UnboundedReceiver<DuplexStream>, Tasks) {
    let tasks = Tasks::new();
    let (pipes, dialled) = Pipes::new(64 * 1024);
    let channel = channel(settings, pipes, &tasks, "server");
    (client(&channel), dialled, tasks)
}

type Server = h2::server::Connection<DuplexStream, Bytes>;

async fn accepted(dialled: &mut UnboundedReceiver<DuplexStream>) -> Server {
    let io = dialled.recv().await.unwrap();
    h2::server::handshake(io).await.unwrap()
}

#[tokio::test]
async fn a_stop_lets_calls_end_and_takes_no_more() -> Result<()> {
    let net = Net::new();
    let say = net.say.clone();
    let waiting = tokio::spawn(async move { say.hello(word("wait")).await });
    let (mut send, mut receive) = net.say.sum().await?;
    net.probe.until(|probe| count(&probe.started) == 2).await;
    let server = net.server.clone();
    let stopping = tokio::spawn(async move { server.stop(Duration::from_secs(10)).await });
    while !net.server.core().draining().has_begun() {
        tokio::task::yield_now().await;
    }
    send.send(word("x")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "x");
    send.finish().await?;
    assert!(receive.message().await?.is_none());
    net.probe.go.notify_one();
    assert_eq!(waiting.await.unwrap()?.text, "wait");
    assert_eq!(stopping.await.unwrap(), 0);
    Ok(())
}

#[tokio::test]
async fn handlers_that_outlive_the_limit_of_a_stop_are_stopped() -> Result<()> {
    let net = Net::new();
    let say = net.say.clone();
    let waiting = tokio::spawn(async move { say.hello(word("wait")).await });
    net.probe.until(|probe| count(&probe.started) == 1).await;
    assert_eq!(net.server.stop(Duration::from_millis(10)).await, 1);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(!error.is_unprocessed(), "{error}");
    assert_eq!(count(&net.probe.dropped), 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_refused_was_not_processed() {
    let (say, mut dialled, _tasks) = alone(&Grpc::new());
    let call = tokio::spawn(async move { say.hello(word("x")).await });
    let mut server = accepted(&mut dialled).await;
    let (_request, mut answer) = server.accept().await.unwrap().unwrap();
    answer.send_reset(Reason::REFUSED_STREAM);
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert_eq!(error.grpc_code(), Some(14));
}

#[tokio::test]
async fn a_stream_that_is_reset_may_have_been_processed() {
    let (say, mut dialled, _tasks) = alone(&Grpc::new());
    let call = tokio::spawn(async move { say.hello(word("x")).await });
    let mut server = accepted(&mut dialled).await;
    let (_request, mut answer) = server.accept().await.unwrap().unwrap();
    answer.send_reset(Reason::INTERNAL_ERROR);
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    let error = call.await.unwrap().unwrap_err();
    assert!(!error.is_unprocessed(), "{error}");
    assert_eq!((error.grpc_code(), error.code()), (Some(13), 500));
}

#[tokio::test]
async fn a_goaway_leaves_taken_calls_alone_and_the_next_call_dials() {
    let (say, mut dialled, _tasks) = alone(&Grpc::new());
    let other = say.clone();
    let call = tokio::spawn(async move { say.hello(word("x")).await });
    let mut server = accepted(&mut dialled).await;
    let (_request, mut answer) = server.accept().await.unwrap().unwrap();
    server.graceful_shutdown();
    let driver = tokio::spawn(async move { while server.accept().await.is_some() {} });
    // The client has read the GOAWAY when it dials anew.
    let next = tokio::spawn(async move {
        loop {
            let call = tokio::time::timeout(Duration::from_millis(20), async {
                other.hello(word("y")).await
            });
            // What the first connection still took is answered by nobody.
            if let Ok(Ok(reply)) = call.await {
                return reply;
            }
        }
    });
    let mut second = accepted(&mut dialled).await;
    let reply = |answer: &mut h2::server::SendResponse<Bytes>, text: &str| {
        let head = http::Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut out = answer.send_response(head, false).unwrap();
        out.send_data(framed(&word(text)), false).unwrap();
        let status = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]);
        out.send_trailers(status).unwrap();
    };
    reply(&mut answer, "first");
    assert_eq!(call.await.unwrap().unwrap().text, "first");
    driver.await.unwrap();
    let (_request, mut answer) = second.accept().await.unwrap().unwrap();
    reply(&mut answer, "second");
    tokio::spawn(async move { while second.accept().await.is_some() {} });
    assert_eq!(next.await.unwrap().text, "second");
}

#[tokio::test]
async fn a_call_above_the_last_one_of_a_goaway_goes_by_another_connection() {
    let (say, mut dialled, _tasks) = alone(&Grpc::new());
    let call = tokio::spawn(async move { say.hello(word("x")).await });
    let mut io = dialled.recv().await.unwrap();
    // Empty SETTINGS first, and the GOAWAY once the call is there: its last stream is none.
    io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut read = Vec::new();
    while !read
        .windows(5)
        .any(|some| some == b"\x0a\x01x\x10\0" || some.ends_with(b"\x0a\x01x"))
    {
        assert_ne!(io.read_buf(&mut read).await.unwrap(), 0);
    }
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    io.write_all(&goaway).await.unwrap();
    let mut second = accepted(&mut dialled).await;
    let (_request, mut answer) = second.accept().await.unwrap().unwrap();
    answer.send_reset(Reason::REFUSED_STREAM);
    tokio::spawn(async move { while second.accept().await.is_some() {} });
    // Which refused it: that is for the caller to know, and another node's turn.
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert!(dialled.try_recv().is_err());
}

#[tokio::test]
async fn a_lost_connection_fails_its_calls_and_the_next_call_dials() -> Result<()> {
    let net = Net::new();
    let say = net.say.clone();
    let waiting = tokio::spawn(async move { say.hello(word("wait")).await });
    net.probe.until(|probe| count(&probe.started) == 1).await;
    // The server is gone without a word.
    net.server.core().tasks().abort_all();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.id(), "go.micro.client.transport");
    assert!(!error.is_unprocessed());
    let dials = net.pipes.dials.load(Ordering::SeqCst);
    net.pipes.down.store(true, Ordering::SeqCst);
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), dials + 1);
    Ok(())
}

#[tokio::test]
async fn a_closed_channel_takes_no_calls_and_lets_those_in_flight_end() -> Result<()> {
    let net = Net::new();
    let (mut send, mut receive) = net.say.sum().await?;
    net.channel.close();
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert!(error.is_unprocessed());
    send.send(word("y")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "y");
    send.finish().await?;
    assert!(receive.message().await?.is_none());
    drop(receive);
    net.server.core().tasks().idle().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_ping_is_given_up() {
    let mut settings = Grpc::new();
    settings.client_ping_after = Some(Duration::from_secs(30));
    let (say, mut dialled, _tasks) = alone(&settings);
    let call =
        tokio::spawn(async move { say.hello(word("x")).timeout(Duration::from_secs(500)).await });
    let mut io = dialled.recv().await.unwrap();
    io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let before = tokio::time::Instant::now();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.id(), "go.micro.client.transport", "{error}");
    let passed = before.elapsed();
    assert!(
        passed >= Duration::from_secs(50) && passed < Duration::from_secs(120),
        "{passed:?}"
    );
    drop(io);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_answers_no_ping_is_given_up() {
    let net = Net::new();
    let mut io = net.connection().await.io;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    io.write_all(preface).await.unwrap();
    let mut settings = Vec::new();
    io.read_buf(&mut settings).await.unwrap();
    let before = tokio::time::Instant::now();
    net.server.core().tasks().idle().await;
    let passed = before.elapsed();
    assert!(
        passed >= Duration::from_secs(80) && passed < Duration::from_secs(120),
        "{passed:?}"
    );
}

#[tokio::test]
async fn a_server_that_holds_its_head_back_is_not_waited_for() -> Result<()> {
    let mut settings = Grpc::new();
    settings.opening = Duration::from_millis(1);
    let (say, mut dialled, _tasks) = alone(&settings);
    let server = tokio::spawn(async move {
        let mut server = accepted(&mut dialled).await;
        let (request, mut answer) = server.accept().await.unwrap().unwrap();
        let mut input = request.into_body();
        tokio::spawn(async move { while server.accept().await.is_some() {} });
        // Its head goes with its first message, as other servers have it.
        let first = crate::raw::first(&mut input).await;
        let head = http::Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut out = answer.send_response(head, false).unwrap();
        out.send_data(framed(&first), false).unwrap();
        let mut status = http::HeaderMap::new();
        status.insert("grpc-status", "7".parse().unwrap());
        status.insert("grpc-message", "no%20more".parse().unwrap());
        out.send_trailers(status).unwrap();
    });
    let (mut send, mut receive) = say.sum().await?;
    send.send(word("first")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "first");
    let error = receive.message().await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (403, "no more"));
    server.await.unwrap();
    Ok(())
}

#[tokio::test]
async fn answers_that_are_not_grpc_are_errors_with_a_code() {
    let (say, mut dialled, _tasks) = alone(&Grpc::new());
    tokio::spawn(async move {
        let mut server = accepted(&mut dialled).await;
        let mut number = 0;
        while let Some(Ok((_request, mut answer))) = server.accept().await {
            number += 1;
            let head = http::Response::builder();
            let head = match number {
                1 => head.status(503),
                2 => head.header("content-type", "text/html"),
                3 => head
                    .header("content-type", "application/grpc")
                    .header("grpc-encoding", "snappy"),
                _ => head.header("content-type", "application/grpc"),
            };
            let mut out = answer.send_response(head.body(()).unwrap(), false).unwrap();
            out.send_data(Bytes::new(), true).unwrap();
        }
    });
    for code in [14, 2, 13, 13] {
        let error = say.hello(word("x")).await.unwrap_err();
        assert_eq!(error.grpc_code(), Some(code), "{error}");
        assert!(!error.is_unprocessed());
    }
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_many_streams_is_sent_away() {
    let net = Net::new();
    let mut io = net.connection().await.io;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in 0..2000_u32 {
        let [a, b, c, d] = (number * 2 + 1).to_be_bytes();
        // POST, http, and a path of one letter.
        flood.extend_from_slice(&[0, 0, 6, 1, 4, a, b, c, d, 0x83, 0x86, 0x04, 2, b'/', b'x']);
        flood.extend_from_slice(&[0, 0, 4, 3, 0, a, b, c, d, 0, 0, 0, 8]);
    }
    // It may be cut off while it writes.
    let _ = io.write_all(&flood).await;
    let mut answer = Vec::new();
    let _ = io.read_to_end(&mut answer).await;
    // GOAWAY, ENHANCE_YOUR_CALM.
    let calm = |frame: &[u8]| frame[3] == 7 && frame[13..17] == [0, 0, 0, 11];
    assert!(answer.windows(17).any(calm));
    // The server lives on.
    let mut raw = Raw::new(net.connection().await).await;
    let (response, mut out) = raw.open(post("/test.Say/Hello", &[]));
    out.send_data(framed(&word("x")), true).unwrap();
    assert_eq!(read(response.await.unwrap()).await.messages.len(), 1);
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_opening_is_closed() {
    let mut limits = Limits::default();
    limits.first_request = Duration::from_millis(20);
    let net = Net::with(Grpc::new(), limits);
    let Connection { mut io, .. } = net.connection().await;
    io.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let mut end = Vec::new();
    io.read_to_end(&mut end).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_take_its_reply_is_not_waited_for_for_ever() {
    let net = Net::new();
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(net.connection().await.io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut raw = Raw { requests };
    let (response, mut out) = raw.open(post("/test.Say/Hello", &[]));
    out.send_data(framed(&crate::say::sized("echo", 100_000)), true)
        .unwrap();
    let before = tokio::time::Instant::now();
    let mut input = response.await.unwrap().into_body();
    let read = std::future::poll_fn(|task| input.poll_data(task)).await;
    assert_eq!(read.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
    assert_eq!(before.elapsed().as_secs(), 60);
    net.server.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_more_does_not_hold_up_a_stop() {
    let net = Net::new();
    let mut io = net.connection().await.io;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    io.write_all(preface).await.unwrap();
    let mut settings = Vec::new();
    io.read_buf(&mut settings).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(net.server.stop(Duration::from_secs(60)).await, 0);
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{:?}",
        before.elapsed()
    );
}
