//! What comes on a stream, for the handler that reads it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::super::message::Messages;
use super::call::count;
use super::{gone, input_error};
use crate::error::Result;
use crate::protocol::exchange::Inbound;

/// The input of a stream.
pub(super) struct Input {
    stream: Inbound,
    messages: Messages,
    one: One,
    /// The one message, while it is not known whether it is.
    first: Option<Bytes>,
    /// The handler takes no more: what comes is dropped.
    deaf: bool,
    ended: bool,
    /// The handler has asked for a message that is not there.
    awaited: bool,
}

/// How it is seen that a message is the only one.
pub(super) enum One {
    /// It need not be.
    OfMany,
    /// By the end of the input, which is waited for so long; without limit for `None`.
    Ends(Option<Duration>),
    /// As before, since the message is there.
    EndsBy(Pin<Box<Sleep>>),
    /// It was.
    Taken,
}

impl Input {
    pub(super) fn new(stream: Inbound, messages: Messages, one: One) -> Self {
        Self {
            stream,
            messages,
            one,
            first: None,
            deaf: false,
            ended: false,
            awaited: false,
        }
    }

    /// The next message for the handler.
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.deaf {
            return Poll::Ready(Some(Err(gone())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = match self.one {
            One::OfMany | One::Taken => self.poll_message(task),
            One::Ends(_) | One::EndsBy(_) => self.poll_only(task).map_ok(Some),
        };
        self.awaited = polled.is_pending();
        let next = ready!(polled);
        Poll::Ready(match next {
            Ok(Some(message)) => Some(Ok(message)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.deaf = true;
                Some(Err(error))
            }
        })
    }

    /// Whether the handler has asked for a message that was not there, since this was asked last.
    pub(super) fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.awaited)
    }

    /// Takes no more for the handler.
    pub(super) fn deafen(&mut self) {
        self.deaf = true;
    }

    /// Takes what nobody reads any more, so that it does not hold up the caller.
    pub(super) fn poll_discard(&mut self, task: &mut Task<'_>) {
        while self.deaf && !self.ended {
            match self.stream.poll_data(task) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => self.ended = true,
                Poll::Pending => return,
            }
        }
    }

    fn poll_message(&mut self, task: &mut Task<'_>) -> Poll<Result<Option<Bytes>>> {
        self.messages
            .poll_next(&mut self.stream, task)
            .map_err(input_error)
    }

    /// The message of a method that takes one.
    fn poll_only(&mut self, task: &mut Task<'_>) -> Poll<Result<Bytes>> {
        loop {
            if let Some(first) = &self.first
                && self.messages.is_at_end(&self.stream)
            {
                let first = first.clone();
                return self.only(first);
            }
            match (self.poll_message(task)?, self.first.take()) {
                (Poll::Ready(Some(message)), None) => self.first = Some(message),
                (Poll::Ready(Some(_)), Some(_)) => return Poll::Ready(Err(count("more than one"))),
                (Poll::Ready(None), None) => return Poll::Ready(Err(count("none"))),
                (Poll::Ready(None), Some(first)) => return self.only(first),
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Pending, Some(first)) => {
                    if self.poll_patience(task).is_ready() {
                        return self.only(first);
                    }
                    self.first = Some(first);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready when the end of an input whose message is there is not waited for any more.
    fn poll_patience(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if let One::Ends(Some(limit)) = self.one {
            if limit.is_zero() {
                return Poll::Ready(());
            }
            self.one = One::EndsBy(Box::pin(sleep(limit)));
        }
        match &mut self.one {
            One::EndsBy(sleep) => sleep.as_mut().poll(task),
            _ => Poll::Pending,
        }
    }

    fn only(&mut self, message: Bytes) -> Poll<Result<Bytes>> {
        self.first = None;
        self.one = One::Taken;
        Poll::Ready(Ok(message))
    }
}
