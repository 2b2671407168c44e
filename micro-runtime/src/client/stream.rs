//! Bounds on a stream's silence and life, the same over every protocol.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use crate::call::{Body, RawReceive, RawSend, RawStream, Reply, ran_out};
use crate::context::Context;
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::tasks::after;

/// The stream in `reply`, ended with a 408 after `idle` without a message or at `deadline`.
pub(crate) fn bounded(reply: Reply, idle: Option<Duration>, deadline: Option<Instant>) -> Reply {
    if idle.is_none() && deadline.is_none() {
        return reply;
    }
    // Of the stream's own: the silence that one half notices ends the other half by it.
    within(reply, idle, Context::build(Metadata::new(), deadline, None))
}

/// The stream in `reply`, ended with a 408 when the call of `parent` is given up.
pub(super) fn watched(reply: Reply, parent: Context) -> Reply {
    within(reply, None, parent)
}

fn within(mut reply: Reply, idle: Option<Duration>, life: Context) -> Reply {
    reply.message = match reply.message {
        Body::Stream(RawStream { send, receive }) => Body::Stream(RawStream {
            send: Box::new(BoundedSend {
                inner: send,
                life: Life::new(life.clone()),
            }),
            receive: Box::new(BoundedReceive {
                inner: Some(receive),
                idle: idle.map(|limit| (limit, Box::pin(sleep(limit)))),
                life: Life::new(life),
            }),
        }),
        other => other,
    };
    reply
}

/// What bounds a stream, as one of its halves watches it.
struct Life {
    context: Context,
    over: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Life {
    fn new(context: Context) -> Self {
        let watched = context.clone();
        Self {
            context,
            over: Box::pin(async move { watched.cancelled().await }),
        }
    }

    /// Why the stream is over, if it is; otherwise `task` is woken when it is.
    fn poll_over(&mut self, task: &mut Task<'_>) -> Poll<Error> {
        if !self.context.is_cancelled() && self.over.as_mut().poll(task).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.why())
    }

    fn why(&self) -> Error {
        match self.context.remaining() {
            Some(left) if left.is_zero() => passed(),
            // The node has nothing to do with it.
            _ => Error::timeout(
                id::CLIENT,
                "the stream was given up, or the call that it belongs to",
            )
            .caused_by(Cause::GivenUp),
        }
    }
}

fn passed() -> Error {
    Error::timeout(id::CLIENT, "the stream's deadline has passed")
}

struct BoundedReceive {
    /// Dropped at the end of its time; with the other half that gives the stream up.
    inner: Option<Box<dyn RawReceive>>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    life: Life,
}

impl RawReceive for BoundedReceive {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        // Looked at before the messages: a peer that sends on and on does not outlive it.
        let error = if self.life.context.is_cancelled() {
            self.life.why()
        } else if let Poll::Ready(next) = inner.poll_next(task) {
            if let (Some(Err(error)), Some(left)) = (&next, self.life.context.remaining())
                && ran_out(error, left)
            {
                self.inner = None;
                return Poll::Ready(Some(Err(passed())));
            }
            if let Some((limit, timer)) = &mut self.idle {
                timer.as_mut().reset(after(*limit));
            }
            return Poll::Ready(next);
        } else if let Poll::Ready(error) = self.life.poll_over(task) {
            error
        } else if let Some((limit, timer)) = &mut self.idle
            && timer.as_mut().poll(task).is_ready()
        {
            let error = Error::timeout(id::CLIENT, format!("the stream was idle for {limit:?}"));
            // The context is the stream's own where there is an idle timeout.
            self.life.context.cancel();
            error
        } else {
            return Poll::Pending;
        };
        self.inner = None;
        Poll::Ready(Some(Err(error)))
    }

    fn metadata(&self) -> Metadata {
        self.inner
            .as_ref()
            .map(|inner| inner.metadata())
            .unwrap_or_default()
    }

    fn trailers(&self) -> Metadata {
        self.inner
            .as_ref()
            .map(|inner| inner.trailers())
            .unwrap_or_default()
    }
}

/// Stays whole when the stream is over: a sending half that goes alone says that the input is
/// complete.
struct BoundedSend {
    inner: Box<dyn RawSend>,
    life: Life,
}

impl RawSend for BoundedSend {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        if self.life.context.is_cancelled() {
            return Poll::Ready(Err(self.life.why()));
        }
        if let Poll::Ready(ready) = self.inner.poll_ready(task) {
            return Poll::Ready(ready);
        }
        self.life.poll_over(task).map(Err)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        self.inner.send(message)
    }

    fn send_copy(&mut self, message: &[u8]) -> Result<()> {
        self.inner.send_copy(message)
    }

    fn poll_finish(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        if self.life.context.is_cancelled() {
            return Poll::Ready(Err(self.life.why()));
        }
        if let Poll::Ready(finished) = self.inner.poll_finish(task) {
            return Poll::Ready(finished);
        }
        self.life.poll_over(task).map(Err)
    }
}
