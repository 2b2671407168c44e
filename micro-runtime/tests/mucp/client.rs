//! How the client treats nodes: its pool, what it makes of replies, what it knows of failures.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::protocol::Environment;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::transport::{Connection, Listener, Memory, Transport};
use micro_runtime::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::capture::cut;
use crate::generated::greeter::*;
use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

/// Memory that counts connections; `refuse` of them break at the first write.
#[derive(Clone, Debug, Default)]
struct Counting {
    memory: Memory,
    dialled: Arc<AtomicUsize>,
    break_next: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        let mut connection = self.memory.dial(address).await?;
        self.dialled.fetch_add(1, Ordering::SeqCst);
        connection.io = Box::new(Breaking(connection.io, self.break_next.clone()));
        Ok(connection)
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.memory.listen(address).await
    }
}

/// Fails a write where it is told to.
struct Breaking(Box<dyn micro_runtime::transport::Io>, Arc<AtomicUsize>);

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        from: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.1.load(Ordering::SeqCst) > 0 {
            self.1.fetch_sub(1, Ordering::SeqCst);
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.0).poll_write(task, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

impl Counting {
    fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }
}

async fn counted() -> (Server, Counting) {
    let counting = Counting::default();
    let setup = Setup {
        transport: Arc::new(counting.clone()),
        ..Setup::default()
    };
    (setup.serve().await, counting)
}

fn hello() -> HelloRequest {
    HelloRequest::default()
}

/// A server that reads one request of each connection and says `reply`, then closes.
async fn says(reply: impl Into<Vec<u8>>) -> (GreeterClient, Counting) {
    scripted(reply, false).await
}

/// As [`says`]; it `keeps` its connections open if asked.
async fn scripted(reply: impl Into<Vec<u8>>, keeps: bool) -> (GreeterClient, Counting) {
    let (counting, reply) = (Counting::default(), reply.into());
    let mut listener = counting.listen("node").await.unwrap();
    let environment = environment(Arc::new(counting.clone()));
    let greeter = client(&Mucp::default(), "node", environment.clone(), false);
    environment.tasks.spawn(async move {
        let mut kept = Vec::new();
        while let Ok(mut connection) = listener.accept().await {
            let mut read = Vec::new();
            while cut(&read).is_none() && connection.io.read_buf(&mut read).await.unwrap() > 0 {}
            let _ = connection.io.write_all(&reply).await;
            if keeps {
                kept.push(connection);
            }
        }
    });
    (greeter, counting)
}

#[tokio::test(start_paused = true)]
async fn calls_one_after_the_other_share_a_connection() {
    let (server, counting) = counted().await;
    let greeter = server.client();
    for _ in 0..5 {
        greeter.hello(hello()).await.unwrap();
        // An error of the handler's does not spoil it.
        greeter.fail(FailRequest::default()).await.unwrap_err();
    }
    assert_eq!(counting.dialled(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_have_connections_of_their_own_and_leave_them_to_later_ones() {
    let (server, counting) = counted().await;
    let greeter = server.client();
    for _ in 0..2 {
        let sleep = || greeter.sleep(SleepRequest { ms: 10 }).into_future();
        let (one, two, three) = tokio::join!(sleep(), sleep(), sleep());
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert_eq!(counting.dialled(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_pool_keeps_no_more_than_its_size() {
    let (server, counting) = counted().await;
    let environment = Environment {
        pool_size: 1,
        ..server.environment()
    };
    let greeter = client(&server.mucp, &server.address, environment, false);
    for dialled in [2, 3] {
        let sleep = || greeter.sleep(SleepRequest { ms: 10 }).into_future();
        let (one, two) = tokio::join!(sleep(), sleep());
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(counting.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_for_its_time_and_no_longer() {
    let (server, counting) = counted().await;
    let greeter = server.client();
    for (wait, dialled) in [(0, 1), (30, 1), (31, 2), (59, 2), (1, 3)] {
        tokio::time::sleep(wait * SECOND).await;
        greeter.hello(hello()).await.unwrap();
        assert_eq!(counting.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_server_has_closed_is_not_used() {
    let counting = Counting::default();
    let mut setup = Setup {
        transport: Arc::new(counting.clone()),
        ..Setup::default()
    };
    setup.limits.idle = SECOND;
    let server = setup.serve().await;
    let greeter = server.client();
    greeter.hello(hello()).await.unwrap();
    tokio::time::sleep(3 * SECOND).await;
    greeter.hello(hello()).await.unwrap();
    assert_eq!(counting.dialled(), 2);

    // Also where that shows only when it is written to: nothing has left.
    counting.break_next.store(1, Ordering::SeqCst);
    greeter.hello(hello()).await.unwrap();
    assert_eq!(counting.dialled(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_something_came_unasked_is_not_used() {
    let counting = Counting::default();
    let mut listener = counting.listen("node").await.unwrap();
    let environment = environment(Arc::new(counting.clone()));
    let greeter = client(&Mucp::default(), "node", environment.clone(), false);
    environment.tasks.spawn(async move {
        let mut kept = Vec::new();
        loop {
            let mut connection = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while cut(&read).is_none() {
                connection.io.read_buf(&mut read).await.unwrap();
            }
            let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            connection.io.write_all(empty).await.unwrap();
            // A late reply to nobody.
            tokio::time::sleep(SECOND).await;
            connection.io.write_all(empty).await.unwrap();
            kept.push(connection);
        }
    });
    for dialled in 1..=2 {
        greeter.hello(hello()).await.unwrap();
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(counting.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_its_connection_along() {
    let (server, counting) = counted().await;
    let greeter = server.client();
    let call = greeter.sleep(SleepRequest { ms: 10_000 }).into_future();
    assert!(tokio::time::timeout(SECOND, call).await.is_err());
    settle().await;
    assert_eq!(server.peer.dropped(), 1);
    greeter.hello(hello()).await.unwrap();
    assert_eq!(counting.dialled(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_either_side_closes_is_not_kept() {
    let (server, counting) = counted().await;
    let greeter = server.client();
    for dialled in 1..=2 {
        greeter.hello(hello()).close_connection().await.unwrap();
        assert_eq!(counting.dialled(), dialled);
    }
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let unasked = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore";
    for reply in [
        close,
        unasked,
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (greeter, counting) = scripted(reply, true).await;
        for dialled in 1..=2 {
            greeter.hello(hello()).await.unwrap();
            assert_eq!(counting.dialled(), dialled, "{reply:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_channel_takes_no_calls() {
    let (server, _) = counted().await;
    let channel = channel(&server.mucp, &server.address, &server.environment(), false);
    let greeter = over(channel.clone());
    greeter.hello(hello()).await.unwrap();
    channel.close();
    let error = greeter.hello(hello()).await.unwrap_err();
    assert_eq!((error.code(), error.is_unprocessed()), (503, true));
    settle().await;
    // The idle connection is closed, and with it its task at the server.
    assert_eq!(server.tasks.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_not_left_is_unprocessed() {
    let (server, counting) = counted().await;
    let nobody = client(&server.mucp, "nobody", server.environment(), false);
    let error = nobody.hello(hello()).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");

    counting.break_next.store(1, Ordering::SeqCst);
    let error = server.client().hello(hello()).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert_eq!(error.id(), "go.micro.client.transport");

    counting.break_next.store(1, Ordering::SeqCst);
    let error = server.client().sum().await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");

    for reply in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"] {
        let (greeter, _) = says(reply).await;
        let error = greeter.hello(hello()).await.unwrap_err();
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            ("go.micro.client.transport", 500, "unexpected EOF")
        );
        assert!(!error.is_unprocessed());
    }

    let error = server
        .client()
        .hello(hello())
        .attempt_timeout(Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(error.code(), 408);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_broke_off_halfway_may_have_been_processed() {
    let counting = Counting::default();
    let mut listener = counting.listen("node").await.unwrap();
    let environment = environment(Arc::new(counting.clone()));
    let greeter = client(&Mucp::default(), "node", environment.clone(), false);
    environment.tasks.spawn(async move {
        // Takes a part of it and goes.
        let mut connection = listener.accept().await.unwrap();
        let mut part = vec![0; 100_000];
        connection.io.read_exact(&mut part).await.unwrap();
        drop(connection);
        std::future::pending::<()>().await;
    });
    let name = "x".repeat(1_000_000);
    let error = greeter.hello(HelloRequest { name }).await.unwrap_err();
    assert_eq!(error.id(), "go.micro.client.transport");
    assert!(!error.is_unprocessed());
}

#[tokio::test(start_paused = true)]
async fn replies_of_any_framing_are_read() {
    for reply in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\n\x05there"[..],
        b"HTTP/1.1 200 \r\ncontent-length: 7\r\n\r\n\n\x05there",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n\x05t\r\n4\r\nhere\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\n\x05there",
        b"HTTP/1.0 200 OK\r\n\r\n\n\x05there",
        // Anything may be echoed.
        b"HTTP/1.1 200 OK\r\nMicro-Id: 77\r\nTimeout: 1\r\nFoo: bar\r\nContent-Length: 7\r\n\r\n\n\x05there",
    ] {
        let (greeter, _) = says(reply).await;
        let reply = greeter.hello(hello()).full().await.unwrap();
        assert_eq!(reply.message.msg, "there");
        // mucp has no metadata of replies.
        assert!(reply.metadata.is_empty());
        assert_eq!(&*reply.peer.unwrap().node, "node");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_errors_say_so() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    for (reply, id, code, words) in [
        (
            "HTTP/1.1 200 OK\r\nMICRO-error: {\"id\":\"a\",\"code\":404,\"detail\":\"b\"}\r\n\
             Content-Length: 0\r\n\r\n",
            "a",
            404,
            "b",
        ),
        (
            "HTTP/1.1 200 OK\r\nMicro-Error: boom\r\nContent-Length: 0\r\n\r\n",
            "",
            0,
            "boom",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno!",
            "go.micro.client.codec",
            500,
            "no!",
        ),
        (&long, "go.micro.client.codec", 500, "xxxxxx"),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater",
            "go.micro.client.transport",
            503,
            "503 Service Unavailable: later",
        ),
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "302 Found: ",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "an informational response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "go.micro.client.transport",
            500,
            "the body is too long",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "go.micro.client.transport",
            500,
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nMicro-Error: EOS\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "the end of a stream",
        ),
    ] {
        let (greeter, _) = says(reply).await;
        let error: Error = greeter.hello(hello()).await.unwrap_err();
        assert_eq!((error.id(), error.code()), (id, code), "{reply:.80}");
        assert!(error.detail().starts_with(words), "{error}");
        assert!(error.detail().len() < 1100);
        assert!(!error.is_unprocessed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_before_the_request_is_written_is_heard() {
    let counting = Counting::default();
    let mut setup = Setup {
        transport: Arc::new(counting.clone()),
        ..Setup::default()
    };
    setup.limits.message = 10_000;
    let server = setup.serve().await;
    let greeter = server.client();
    for dialled in 1..=2 {
        let name = "x".repeat(1_000_000);
        let error = greeter.hello(HelloRequest { name }).await.unwrap_err();
        assert_eq!(error.code(), 413, "{error}");
        assert_eq!(counting.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn large_messages_pass_both_ways() {
    let (server, _) = counted().await;
    for content_type in [
        "application/protobuf",
        "application/proto-rpc",
        "application/grpc",
    ] {
        let name = "x".repeat(3_000_000);
        let call = server.client().hello(HelloRequest { name });
        let reply = call.content_type(content_type).await.unwrap();
        assert_eq!(reply.msg.len(), 3_000_006);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_over_the_limit_is_refused() {
    let (server, _) = counted().await;
    let environment = Environment {
        max_message: 1000,
        ..server.environment()
    };
    let greeter = client(&server.mucp, &server.address, environment, false);
    let name = "x".repeat(2000);
    let error = greeter.hello(HelloRequest { name }).await.unwrap_err();
    assert_eq!(error.detail(), "the body is too long");
}

#[tokio::test(start_paused = true)]
async fn metadata_cannot_change_the_framing_or_the_meaning_of_a_call() {
    let server = serve().await;
    let mut call = server.client().echo(EchoRequest::default());
    for key in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Host",
        "Expect",
        "Upgrade",
        "Te",
        "Trailer",
        "Micro-Error",
        "Micro-Topic",
        "Micro-Stream",
        "Micro-Target",
        "Micro-Protocol",
        "Micro-Endpoint",
        "bad key",
        "bad\r\nKey",
        "",
    ] {
        call = call.metadata(key, "odd");
    }
    let call = call
        .metadata("split", "a\r\nMicro-Endpoint: Odd.Odd\r\n\r\nb\0c")
        .metadata("user-agent", "mine/1");
    let seen = call.await.unwrap().metadata;
    assert!(seen.values().all(|value| value != "odd"), "{seen:?}");
    assert_eq!(seen["Split"], "a  Micro-Endpoint: Odd.Odd    b c");
    assert_eq!(seen["User-Agent"], "mine/1");
    assert_eq!(seen["Micro-Endpoint"], "Greeter.Echo");
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_is_not_held_by_a_task() {
    let (server, _) = counted().await;
    let environment = server.environment();
    let greeter = client(&server.mucp, &server.address, environment.clone(), false);
    greeter.hello(hello()).await.unwrap();
    let (mut out, mut input) = greeter.sum().await.unwrap();
    out.send(SumRequest { n: 1, fail: false }).await.unwrap();
    assert!(input.message().await.unwrap().is_some());
    assert_eq!(environment.tasks.running(), 0);
}
