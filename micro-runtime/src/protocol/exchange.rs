//! One request of HTTP and the way to answer it, whatever version of HTTP it came by.
//!
//! Who frames calls on HTTP sees this and not the engine below, so that each dialect is written once.

use std::task::{Context as Task, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, request, response};

use super::http1;
use super::http1_client;
use super::http2::{self, Chunk, Fault};

/// A request that came: its head, what follows it, and the way to answer.
pub(super) struct Incoming {
    pub(super) head: request::Parts,
    pub(super) input: Inbound,
    pub(super) answer: Answer,
}

impl From<http2::Incoming> for Incoming {
    fn from(incoming: http2::Incoming) -> Self {
        Self {
            head: incoming.head,
            input: Inbound::Http2(incoming.input),
            answer: Answer::Http2(incoming.answer),
        }
    }
}

/// What comes from the peer after its head. Dropped before its end, it tells the peer to stop.
pub(super) enum Inbound {
    Http1(http1::Inbound),
    Http2(http2::Inbound),
    /// Of an answer.
    Http1Client(Box<http1_client::Inbound>),
}

impl Inbound {
    /// The next bytes, whose room the peer has back at once; `None` at the end of them.
    pub(super) fn poll_data(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        match self {
            Self::Http1(input) => input.poll_data(task),
            Self::Http2(input) => input.poll_data(task),
            Self::Http1Client(input) => input.poll_data(task),
        }
    }

    /// What came after the bytes; to be asked after their end.
    pub(super) fn poll_trailers(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Fault>> {
        match self {
            Self::Http1(input) => input.poll_trailers(task),
            Self::Http2(input) => input.poll_trailers(task),
            Self::Http1Client(input) => input.poll_trailers(task),
        }
    }

    /// Whether it is known that nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Self::Http1(input) => input.is_at_end(),
            Self::Http2(input) => input.is_at_end(),
            Self::Http1Client(input) => input.is_at_end(),
        }
    }
}

/// What goes to the peer after our head.
pub(super) enum Outbound {
    Http1(http1::Outbound),
    Http2(http2::Outbound),
    /// Of a request.
    Http1Client(http1_client::Upload),
}

impl Outbound {
    /// Waits until the peer takes more than `held` bytes beside what is on its way.
    ///
    /// # Errors
    /// When the exchange is over.
    pub(super) fn poll_room(
        &mut self,
        held: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Fault>> {
        match self {
            Self::Http1(out) => out.poll_room(held, task),
            Self::Http2(out) => out.poll_room(held, task),
            Self::Http1Client(out) => out.poll_room(held, task),
        }
    }

    /// Sends `chunk`; what the peer does not take yet waits here.
    pub(super) fn send(&mut self, chunk: Chunk, end: bool) -> Result<(), Fault> {
        match self {
            Self::Http1(out) => out.send(chunk, end),
            Self::Http2(out) => out.send(chunk, end),
            Self::Http1Client(out) => out.send(chunk, end),
        }
    }

    /// Ends what is sent with trailers.
    pub(super) fn finish(&mut self, trailers: HeaderMap) -> Result<(), Fault> {
        match self {
            Self::Http1(out) => out.finish(trailers),
            Self::Http2(out) => out.finish(trailers),
            // A request of ours has none.
            Self::Http1Client(out) => out.send(Bytes::new().into(), true),
        }
    }

    /// Gives the exchange up: what is not sent yet is dropped.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Http1(out) => out.reset(),
            Self::Http2(out) => out.reset(),
            Self::Http1Client(out) => out.reset(),
        }
    }

    /// Ready when the peer has given the exchange up or is gone.
    pub(super) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        match self {
            Self::Http1(out) => out.poll_reset(task),
            Self::Http2(out) => out.poll_reset(task),
            Self::Http1Client(out) => out.poll_reset(task),
        }
    }
}

/// The way to answer a request.
pub(super) enum Answer {
    Http1(http1::Answer),
    Http2(http2::Answer),
}

impl Answer {
    /// Sends the head, and with `end` nothing else.
    pub(super) fn respond(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        end: bool,
    ) -> Result<Outbound, Fault> {
        match self {
            Self::Http1(answer) => answer.respond(status, headers, end).map(Outbound::Http1),
            Self::Http2(answer) => answer.respond(status, headers, end).map(Outbound::Http2),
        }
    }

    /// Ready when the peer has given the exchange up or is gone.
    pub(super) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        match self {
            Self::Http1(answer) => answer.poll_reset(task),
            Self::Http2(answer) => answer.poll_reset(task),
        }
    }
}

/// The peer's answer to a request of ours, which may be far away.
pub(super) enum Answered {
    Http2(http2::Answered),
    Http1Client(Box<http1_client::Answered>),
}

impl Answered {
    /// The answer's head and what follows it. Not to be polled again after it.
    pub(super) fn poll(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<(response::Parts, Inbound), Fault>> {
        match self {
            Self::Http2(answered) => answered
                .poll(task)
                .map_ok(|(head, input)| (head, Inbound::Http2(input))),
            Self::Http1Client(answered) => answered
                .poll(task)
                .map_ok(|(head, input)| (head, Inbound::Http1Client(Box::new(input)))),
        }
    }
}
