//! Asks servers: one request, one answer. For registries and brokers; calls have their protocols.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::{
    Bounds, Decoder, Malformed, Message, Outbox, Role, Start, is_token, poll_fill, put_decimal,
};
use crate::error::{Error, Result};
use crate::transport::{Io, Transport};

/// Connections kept for the next question, over all servers, where nothing else is said.
const MAX_IDLE: usize = 16;
/// How long one is kept. Go's servers and Consul close theirs later.
const IDLE: Duration = Duration::from_secs(30);
/// What an answer's head may hold.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// A client for plain questions. Safe to share.
pub(crate) struct Http {
    id: &'static str,
    transport: Arc<dyn Transport>,
    bounds: Bounds,
    max_idle: usize,
    idle: Mutex<Vec<Idle>>,
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    /// `GET`, `PUT`, `POST`.
    pub(crate) method: &'a str,
    /// Where to dial, `host:port`; it is also the `Host`.
    pub(crate) address: &'a str,
    /// Path and query, already escaped: `/v1/agent/self?stale=`.
    pub(crate) target: &'a str,
    /// Further fields; length and host are written by us.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The body; none is sent with `GET`.
    pub(crate) body: Bytes,
    /// Whether it may be sent again where a kept connection turns out to be dead.
    pub(crate) repeatable: bool,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The message; field names are in the form `Title-Case-Per-Dash`.
    pub(crate) message: Message,
}

impl Answer {
    /// The first value of the field `name`, which is in the form `Title-Case-Per-Dash`.
    #[cfg(any(test, feature = "consul"))]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.message.head.get(name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// The body.
    pub(crate) fn body(&self) -> &Bytes {
        &self.message.body
    }
}

struct Idle {
    address: String,
    since: Instant,
    link: Link,
}

struct Link {
    io: Box<dyn Io>,
    decoder: Decoder,
    inbox: BytesMut,
}

/// Why a question has no answer.
enum Failure {
    /// The connection had ended before any byte of an answer: it may have been dead all along.
    Dead(Error),
    Other(Error),
}

impl Http {
    /// Dials through `transport`; errors carry `id`; an answer's body has at most `max_body` bytes.
    pub(crate) fn new(id: &'static str, transport: Arc<dyn Transport>, max_body: usize) -> Self {
        Self {
            id,
            transport,
            bounds: Bounds {
                head: MAX_HEAD,
                headers: MAX_HEADERS,
                body: max_body,
            },
            max_idle: MAX_IDLE,
            idle: Mutex::default(),
        }
    }

    /// Keeps up to `most` connections, for who asks many servers again and again.
    pub(crate) fn keeping(self, most: usize) -> Self {
        Self {
            max_idle: most,
            ..self
        }
    }

    /// Asks, and waits for the whole answer until `deadline`. Dropping the future closes the connection.
    ///
    /// # Errors
    /// 500 where nobody answers or what comes is not HTTP, 408 at the deadline, 400 where the
    /// question cannot be written. A status other than 200 is an answer.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, deadline: Instant) -> Result<Answer> {
        match timeout_at(deadline, self.attempts(ask)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Others that are kept with a server that hangs would cost the next ones as much.
                let hung = |kept: &Idle| kept.address == ask.address;
                let _closed = take_all(&mut self.idle(), hung);
                Err(Error::timeout(
                    self.id,
                    format!("{} {}: no answer in time", ask.method, ask.address),
                ))
            }
        }
    }

    async fn attempts(&self, ask: &Ask<'_>) -> Result<Answer> {
        let head = self.head(ask)?;
        if let Some(link) = self.kept(ask.address) {
            match self.exchange(link, ask, &head).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Dead(_)) if ask.repeatable => {}
                Err(Failure::Dead(error) | Failure::Other(error)) => return Err(error),
            }
        }
        let link = Link {
            io: self.transport.dial(ask.address).await?.io,
            decoder: Decoder::new(Role::Response, self.bounds),
            inbox: BytesMut::new(),
        };
        match self.exchange(link, ask, &head).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Dead(error) | Failure::Other(error)) => Err(error),
        }
    }

    async fn exchange(
        &self,
        mut link: Link,
        ask: &Ask<'_>,
        head: &[u8],
    ) -> std::result::Result<Answer, Failure> {
        let failed = |what: &dyn fmt::Display| {
            Error::internal(self.id, format!("{} {}: {what}", ask.method, ask.address))
        };
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(head);
        outbox.push(&ask.body);
        let (mut written, mut sent, mut unsent) = (0, false, None);
        let message = loop {
            match link.decoder.decode(&mut link.inbox) {
                Ok(Some(message)) => break message,
                Ok(None) => {}
                Err(malformed) => return Err(Failure::Other(failed(&malformed))),
            }
            let room = link.decoder.room(&link.inbox);
            let read = poll_fn(|task| {
                // A server may answer before it has read all, and may read no more after that.
                if !sent && unsent.is_none() {
                    match outbox.poll_write(&mut *link.io, &mut written, task) {
                        Poll::Ready(Ok(())) => sent = true,
                        Poll::Ready(Err(error)) => unsent = Some(error),
                        Poll::Pending => {}
                    }
                }
                poll_fill(&mut *link.io, &mut link.inbox, room, task)
            });
            let read = read.await;
            let nothing_yet = link.decoder.is_between(&link.inbox);
            match read {
                Ok(0) if nothing_yet => {
                    return Err(Failure::Dead(match unsent {
                        Some(error) => failed(&error),
                        None => failed(&"the connection was closed without an answer"),
                    }));
                }
                Ok(0) => match link.decoder.end(&mut link.inbox) {
                    Ok(Some(message)) => break message,
                    Ok(None) => return Err(Failure::Other(failed(&Malformed::Truncated))),
                    Err(malformed) => return Err(Failure::Other(failed(&malformed))),
                },
                Ok(_) => {}
                Err(error) if nothing_yet => return Err(Failure::Dead(failed(&error))),
                Err(error) => return Err(Failure::Other(failed(&error))),
            }
        };
        let Start::Status { code, .. } = message.head.start() else {
            return Err(Failure::Other(failed(&"a request came as the answer")));
        };
        if message.keep_alive && link.inbox.is_empty() && sent {
            self.keep(ask.address, link);
        }
        Ok(Answer {
            status: code,
            message,
        })
    }

    fn head(&self, ask: &Ask<'_>) -> Result<BytesMut> {
        let clean = |text: &str| !text.bytes().any(|byte| byte.is_ascii_control());
        let good_target =
            ask.target.starts_with('/') && ask.target.bytes().all(|byte| byte.is_ascii_graphic());
        let good_fields = ask
            .headers
            .iter()
            .all(|(name, value)| is_token(name.as_bytes()) && clean(value));
        if !good_target || !good_fields || !clean(ask.address) || ask.address.contains(' ') {
            return Err(Error::bad_request(
                self.id,
                format!(
                    "{} {}{}: a byte that may not stand in a request",
                    ask.method, ask.address, ask.target
                ),
            ));
        }
        let mut head = BytesMut::with_capacity(256);
        for part in [
            ask.method,
            " ",
            ask.target,
            " HTTP/1.1\r\nHost: ",
            ask.address,
            "\r\n",
        ] {
            head.extend_from_slice(part.as_bytes());
        }
        for (name, value) in ask.headers {
            for part in [name, ": ", value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        if ask.method != "GET" {
            head.extend_from_slice(b"Content-Length: ");
            put_decimal(&mut head, ask.body.len() as u64);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// A kept connection to `address` that has not ended and has nothing unasked to say.
    fn kept(&self, address: &str) -> Option<Link> {
        let _closed = take_all(&mut self.idle(), |kept| kept.since.elapsed() >= IDLE);
        loop {
            let mut link = {
                let mut idle = self.idle();
                let at = idle.iter().rposition(|kept| kept.address == address)?;
                idle.remove(at).link
            };
            let mut task = Context::from_waker(Waker::noop());
            if poll_fill(&mut *link.io, &mut link.inbox, 1, &mut task).is_pending() {
                return Some(link);
            }
        }
    }

    fn keep(&self, address: &str, link: Link) {
        let kept = Idle {
            address: address.to_owned(),
            since: Instant::now(),
            link,
        };
        let mut idle = self.idle();
        let _closed = (idle.len() >= self.max_idle).then(|| idle.remove(0));
        idle.push(kept);
        // The lock goes first: to close a connection may wake its other end.
        drop(idle);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what `is_meant`, to be dropped without the lock.
fn take_all(idle: &mut Vec<Idle>, is_meant: impl Fn(&Idle) -> bool) -> Vec<Idle> {
    idle.extract_if(.., |kept| is_meant(kept)).collect()
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
