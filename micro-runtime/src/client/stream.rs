//! Bounds on a stream's silence and life, the same over every protocol.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::call::{Body, RawReceive, RawStream, Reply};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// The stream in `reply`, ended with a 408 after `idle` without a message or at `deadline`.
pub(super) fn bounded(
    mut reply: Reply,
    idle: Option<Duration>,
    deadline: Option<Instant>,
) -> Reply {
    if idle.is_none() && deadline.is_none() {
        return reply;
    }
    reply.message = match reply.message {
        Body::Stream(RawStream { send, receive }) => {
            let until = first(idle, deadline).unwrap_or_else(Instant::now);
            let receive = Bounded {
                inner: Some(receive),
                idle,
                deadline,
                timer: Box::pin(sleep_until(until)),
            };
            Body::Stream(RawStream {
                send,
                receive: Box::new(receive),
            })
        }
        other => other,
    };
    reply
}

struct Bounded {
    /// Dropped at the end of its time, which gives the stream up at the other end too.
    inner: Option<Box<dyn RawReceive>>,
    idle: Option<Duration>,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

fn first(idle: Option<Duration>, deadline: Option<Instant>) -> Option<Instant> {
    let idle = idle.map(|idle| Instant::now() + idle);
    [idle, deadline].into_iter().flatten().min()
}

impl RawReceive for Bounded {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(next) = inner.poll_next(task) {
            if let Some(until) = first(self.idle, self.deadline) {
                self.timer.as_mut().reset(until);
            }
            return Poll::Ready(next);
        }
        if self.timer.as_mut().poll(task).is_pending() {
            return Poll::Pending;
        }
        self.inner = None;
        let passed = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        let error = match self.idle {
            Some(idle) if !passed => {
                Error::timeout(id::CLIENT, format!("the stream was idle for {idle:?}"))
            }
            _ => Error::timeout(id::CLIENT, "the stream's deadline has passed"),
        };
        Poll::Ready(Some(Err(error)))
    }

    fn trailers(&self) -> Metadata {
        self.inner
            .as_ref()
            .map(|inner| inner.trailers())
            .unwrap_or_default()
    }
}
