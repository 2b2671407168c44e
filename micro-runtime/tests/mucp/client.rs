//! How the client treats connections: its pool, and what it knows of failures.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::Result;
use micro_runtime::protocol::Environment;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::transport::{Connection, Listener, Memory, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::capture::cut;
use crate::generated::greeter::*;
use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

/// Memory that counts connections; `refuse` of them break at the first write.
#[derive(Clone, Debug, Default)]
pub struct Counting {
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
    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }
}

pub async fn counted() -> (Server, Counting) {
    let counting = Counting::default();
    let setup = Setup {
        transport: Arc::new(counting.clone()),
        ..Setup::default()
    };
    (setup.serve().await, counting)
}

pub fn hello() -> HelloRequest {
    HelloRequest::default()
}

/// A server that reads one request of each connection and says `reply`, then closes.
pub async fn says(reply: impl Into<Vec<u8>>) -> (GreeterClient, Counting) {
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
