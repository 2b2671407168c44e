//! What is said where one end speaks TLS and the other does not.
//!
//! Each end is told by the first bytes that it gets, in a way that it understands: whoever called,
//! what they see is an error about TLS, at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::{Connection, Io, Listener, ReadSide, Transport, WriteSide};
use crate::error::Result;
use crate::metadata::Text;

/// The first byte of a TLS handshake, which no other protocol here begins with.
pub(crate) const HANDSHAKE: u8 = 0x16;
/// The first byte of a TLS alert, with which no answer in plaintext begins.
const ALERT: u8 = 0x15;

/// How long a peer may take to see why it is sent away.
const GOODBYE: Duration = Duration::from_millis(500);
/// How much of what it still sends is read meanwhile: unread bytes would make its end a reset, which
/// may overtake the reason.
const LAST: u64 = 64 * 1024;

/// Tells of clashes in the log, loudly once a minute at most: what a peer does must not fill it.
#[derive(Debug, Default)]
pub(crate) struct Clashes(Mutex<Option<Instant>>);

impl Clashes {
    /// Says what is wrong with `peer`.
    pub(crate) fn note(&self, peer: &Text, words: &'static str) {
        let loud = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
            if due {
                *last = Some(Instant::now());
            }
            due
        };
        match loud {
            true => warn!(%peer, "{words}"),
            false => debug!(%peer, "{words}"),
        }
    }
}

/// Answers a peer who began with `head` that this port speaks TLS, and lets it go.
#[cfg(feature = "tls")]
pub(crate) async fn answer_plaintext(io: impl Io, head: &[u8]) {
    let answer: &[u8] = if head.starts_with(b"PRI ") {
        // SETTINGS, and GOAWAY of stream 0 for INADEQUATE_SECURITY, with words.
        b"\0\0\0\x04\0\0\0\0\0\0\0\x21\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port speaks TLS only"
    } else {
        // A fatal alert, unexpected_message: not an answer of HTTP, since Go Micro's callers take
        // whatever has no body of theirs for an empty reply.
        &[ALERT, 3, 3, 0, 2, 2, 10]
    };
    self::answer(io, answer).await;
}

/// Answers a peer who began with a handshake that this port does not speak TLS, and lets it go.
pub(crate) async fn answer_handshake(io: impl Io) {
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 29\r\n\r\nthis port does not speak TLS\n";
    self::answer(io, answer).await;
}

/// Says `answer` as the last thing to a peer, and lets it go.
pub(crate) async fn answer(mut io: impl Io, answer: &[u8]) {
    // It may be gone.
    let _ = timeout(GOODBYE, io.write_all(answer)).await;
    let_go(io).await;
}

/// Ends a connection so that the peer sees what was written last.
pub(crate) async fn let_go(mut io: impl Io) {
    let ending = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LAST), &mut tokio::io::sink()).await
    };
    // Whether it sees it is its affair.
    let _ = timeout(GOODBYE, ending).await;
}

/// A transport without TLS whose connections say so where the other end answers in TLS.
#[derive(Clone, Debug)]
pub(crate) struct PlainDial(Arc<dyn Transport>);

impl PlainDial {
    /// Dials through `inner`.
    pub(crate) fn new(inner: Arc<dyn Transport>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl Transport for PlainDial {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        let connection = self.0.dial(address).await?;
        Ok(Connection {
            io: Box::new(Plain::new(connection.io)),
            ..connection
        })
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.0.listen(address).await
    }
}

/// A byte stream that is an error where it begins with a TLS alert.
pub(super) struct Plain<T> {
    io: T,
    begun: bool,
}

impl<T> Plain<T> {
    fn new(io: T) -> Self {
        Self { io, begun: false }
    }
}

impl Plain<Box<dyn Io>> {
    /// The two directions.
    pub(super) fn into_halves(self) -> (ReadSide, WriteSide) {
        let (read, write) = self.io.split();
        let read = Plain {
            io: read,
            begun: self.begun,
        };
        (Box::new(read), write)
    }
}

impl<T> fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Plain<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begun {
            return Pin::new(&mut self.io).poll_read(task, buf);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(task, buf))?;
        match buf.filled().get(before) {
            // Its end, or no room was given.
            None => {}
            Some(&ALERT) => {
                let kind = io::ErrorKind::InvalidData;
                return Poll::Ready(Err(io::Error::new(kind, WANTS_TLS)));
            }
            Some(_) => self.begun = true,
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Plain<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(task, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(task, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }
}

/// What a client reads in place of a TLS alert.
const WANTS_TLS: &str =
    "the server speaks TLS, and this client was not told to: name its CA (--tls_ca)";
