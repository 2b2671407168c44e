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
async fn a_call_above_the_last_one_of_a_goaway_was_not_processed() {
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
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
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

#[tokio::test]
async fn one_port_tells_three_protocols_apart() -> Result<()> {
    use micro_runtime::protocol::{Braid, Protocol, mucp::Mucp};
    use micro_runtime::router::{Core, CoreOptions};
    use std::sync::Arc;

    let tasks = Tasks::new();
    let mut options = CoreOptions::default();
    options.tasks = tasks.group();
    let service: Arc<dyn micro_runtime::call::Dispatch> = Arc::new(crate::say::Say::default());
    let core = Core::new(options, [service])?;
    let all: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(Braid),
        Arc::new(Grpc::new()),
        Arc::new(Mucp::new()),
    ];
    let server = micro_runtime::server::Server::new(core, all.clone())?;
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    tasks.spawn(async move {
        while let Some(io) = dialled.recv().await {
            server.attach(Connection::new(io, "caller", "server"));
        }
    });
    for protocol in all {
        let environment = micro_runtime::protocol::Environment {
            transport: pipes.clone(),
            tasks: tasks.clone(),
            pool_size: 1,
            pool_ttl: Duration::from_secs(60),
            max_message: 64 << 20,
        };
        let node = micro_runtime::protocol::Destination {
            address: "server".into(),
            id: "node-1".into(),
            legacy: false,
        };
        let say = client(&protocol.channel(node, &environment));
        assert_eq!(say.hello(word("peer")).await?.text, protocol.name());
    }
    Ok(())
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

#[tokio::test]
async fn recordings_with_wrong_bytes_end_and_the_server_lives_on() {
    use micro_runtime::protocol::Protocol;
    use micro_runtime::router::{Core, CoreOptions};
    use std::sync::Arc;

    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in ["grpc_unary", "grpc_server_stream", "grpc_bidi_stream"] {
        let whole = crate::vectors::recorded(&format!("{name}.c2s.bin"));
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(4) {
                // The preface is the sniffer's.
                let at = 24 + random(bytes.len() - 24);
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    _ => bytes.truncate(at.max(40)),
                }
            }
            let mut options = CoreOptions::default();
            options.tasks = Tasks::new();
            let service: Arc<dyn micro_runtime::call::Dispatch> = Arc::new(
                crate::generated::greeter::GreeterServer::new(crate::greeter::Peer::default()),
            );
            let core = Arc::new(Core::new(options, [service]).unwrap());
            let (mut client, io) = tokio::io::duplex(64 * 1024);
            client.write_all(&bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let read = async {
                let mut answer = Vec::new();
                let _ = client.read_to_end(&mut answer).await;
            };
            // In this task, where a panic would be seen.
            let grpc = Grpc::new();
            let served = async {
                grpc.serve(Connection::new(io, "caller", "server"), core.clone())
                    .await;
                core.tasks().idle().await;
            };
            let both = async { tokio::join!(read, served) };
            tokio::time::timeout(Duration::from_secs(20), both)
                .await
                .unwrap_or_else(|_| panic!("{name} goes on for ever: {bytes:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mixed_calls_at_once_all_end_and_leave_nothing() -> Result<()> {
    let net = Net::new();
    let workers: Vec<_> = (0..24_u64)
        .map(|worker| {
            let say = net.say.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    mixed(&say, (worker + round) % 6).await?;
                }
                Ok::<_, micro_runtime::Error>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap()?;
    }
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    net.channel.close();
    net.server.core().tasks().idle().await;
    assert_eq!(net.server.core().running(), 0);
    Ok(())
}

async fn mixed(say: &SayClient, kind: u64) -> Result<()> {
    use crate::say::{Word, sized};
    let number = |number| Word {
        number,
        ..Word::default()
    };
    match kind {
        0 => assert_eq!(say.hello(sized("echo", 20_000)).await?.data.len(), 20_000),
        1 => {
            let mut replies = say.count(number(200)).await?;
            let mut came = 0;
            while replies.message().await?.is_some() {
                came += 1;
            }
            assert_eq!(came, 200);
        }
        2 => {
            let (mut send, mut receive) = say.sum().await?;
            for i in 0..20 {
                send.send(sized("", 3_000 + i)).await?;
                receive.message().await?.unwrap();
            }
            send.finish().await?;
            assert!(receive.message().await?.is_none());
        }
        3 => {
            let mut upload = say.collect().await?;
            for i in 0..50 {
                upload.send(number(i)).await?;
            }
            assert_eq!(upload.finish().await?.number, 50 * 49 / 2);
        }
        // Given up: at once, or in the middle.
        4 => {
            let call = async { say.hello(word("wait")).await };
            let limit = Duration::from_millis(1);
            assert!(tokio::time::timeout(limit, call).await.is_err());
        }
        _ => {
            let mut replies = say.count(number(2_000)).await?;
            for _ in 0..10 {
                replies.message().await?.unwrap();
            }
        }
    }
    Ok(())
}
