//! Unary calls, and what both kinds make of a server's answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::super::message::{Broken, Encoding, Messages, frame};
use super::super::status::{self, code};
use super::super::{content, headers};
use super::link::{Failed, Link};
use super::web::Closing;
use crate::call::{Body, Reply, Request};
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::protocol::exchange::Inbound;
use crate::protocol::http2::Fault;
use crate::protocol::kept;

impl Link {
    /// A unary call, at a time that may be known where it is awaited at once. Dropped before its
    /// answer, it tells the server to stop.
    pub(super) async fn unary(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        now: Option<Instant>,
    ) -> Result<Reply, Failed> {
        let message = frame(body(request)?, self.encoding())?;
        let (mut answered, mut out) = self.open(request, deadline, now)?;
        if let Err(fault) = out.send(message, true) {
            // The server may have answered already: that says more.
            tracing::debug!(%fault, "a request could not be sent whole");
        }
        let answered = poll_fn(|task| answered.poll(task)).await;
        let (head, input) = answered.map_err(|fault| {
            if fault.is_sent_away() {
                kept::Link::retire(self);
                return Failed::SentAway(failed(&fault));
            }
            failed(&fault).into()
        })?;
        self.marks.prove();
        let answer = Answer::new(head, input, self.most)?;
        Ok(answer.into_reply(self.peer.clone()).await?)
    }
}

/// The message that a request begins with.
pub(super) fn body(request: &Request) -> Result<Bytes> {
    match &request.body {
        Body::One(message) => Ok(message.clone()),
        Body::Empty => Ok(Bytes::new()),
        Body::Stream(_) => Err(Error::internal(
            id::CLIENT,
            "a stream's messages are sent once it is open",
        )),
    }
}

/// A server's answer as it is read: messages, and then how the call ended.
pub(super) struct Answer {
    pub(super) metadata: Metadata,
    pub(super) trailers: Metadata,
    input: Inbound,
    messages: Messages,
    /// Where the end is told, if not in trailers.
    closing: Option<Closing>,
    /// What the head says of the end, until a message comes.
    told: Option<Result<()>>,
    /// The end, where the head was also the trailers, or once it was read.
    end: Option<Result<()>>,
}

impl Answer {
    /// An answer that begins with `head`.
    ///
    /// # Errors
    /// Where it is none of gRPC's, or says at once how the call has failed.
    pub(super) fn new(head: Parts, input: Inbound, most: usize) -> Result<Self> {
        let Parts {
            status, headers, ..
        } = head;
        // A status in the head is the call's where nothing follows. Some proxies end such an answer
        // behind its head; what a body or trailers say counts for more.
        let told = status::read(&headers);
        let (told, end) = match input.is_at_end() {
            true => (None, told),
            false => (told, None),
        };
        if let Some(Err(error)) = end {
            return Err(error);
        }
        if status != StatusCode::OK {
            return Err(status::of_http(status));
        }
        let content_type = headers.get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| content::is_grpc(value.as_bytes())) {
            let words =
                format!("the server's answer is not gRPC: its content type is {content_type:?}");
            return Err(status::local(code::UNKNOWN, words));
        }
        let encoding = headers.get(headers::ENCODING).map(|value| value.as_bytes());
        let encoding = Encoding::read(encoding).ok_or_else(|| {
            let name = String::from_utf8_lossy(encoding.unwrap_or_default());
            let words = format!("the server's messages are in {name}, which was not asked for");
            status::local(code::INTERNAL, words)
        })?;
        let own = headers::read(&headers);
        // Of a head that is the trailers too, all is the end.
        let (metadata, trailers) = match end {
            None => (own, Metadata::new()),
            Some(_) => (Metadata::new(), own),
        };
        Ok(Self {
            metadata,
            trailers,
            input,
            messages: Messages::new(encoding, most),
            closing: None,
            told,
            end,
        })
    }

    /// An answer of a dialect that tells the end behind the last of its `messages`.
    ///
    /// `told` is what its head says of the end, which counts where nothing follows it.
    pub(super) fn closed_by(
        closing: Closing,
        told: Option<Result<()>>,
        metadata: Metadata,
        messages: Messages,
        input: Inbound,
    ) -> Self {
        Self {
            metadata,
            trailers: Metadata::new(),
            input,
            messages,
            closing: Some(closing),
            told,
            end: None,
        }
    }

    /// The reply of a call that has one message, read to its end.
    pub(super) async fn into_reply(mut self, peer: Arc<Peer>) -> Result<Reply> {
        let first = poll_fn(|task| self.poll_next(task)).await?;
        if first.is_some() && poll_fn(|task| self.poll_next(task)).await?.is_some() {
            return Err(status::local(
                code::UNIMPLEMENTED,
                "more than one message came to a unary call",
            ));
        }
        let message = first.ok_or_else(|| {
            status::local(
                code::UNIMPLEMENTED,
                "the call ended well and without a message",
            )
        })?;
        let mut reply = Reply::new(Body::One(message));
        reply.metadata = self.metadata;
        reply.trailers = self.trailers;
        reply.peer = Some(peer);
        Ok(reply)
    }

    /// The next message; `None` when the call has ended well, its error when not.
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(end) = &self.end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        match ready!(self.messages.poll_next(&mut self.input, task)) {
            Ok(Some(message)) => {
                self.told = None;
                return Poll::Ready(Ok(Some(message)));
            }
            Ok(None) => {}
            Err(Broken::Message(error)) => return self.ended(Err(error)),
            Err(Broken::Stream(fault)) => return self.ended(Err(failed(&fault))),
        }
        if let Some(closing) = &self.closing {
            let frame = self.messages.closing();
            let (end, trailers) = closing.read(frame, self.told.take(), &self.metadata);
            self.trailers = trailers;
            return self.ended(end);
        }
        let end = match ready!(self.input.poll_trailers(task)) {
            Ok(Some(trailers)) => self.read_trailers(&trailers),
            Ok(None) => self.told.take().unwrap_or_else(|| {
                Err(status::local(
                    code::INTERNAL,
                    "the call ended without a status",
                ))
            }),
            Err(fault) => Err(failed(&fault)),
        };
        self.ended(end)
    }

    /// Takes what comes and drops it; ready at the end.
    pub(super) fn poll_discard(&mut self, task: &mut Task<'_>) -> Poll<()> {
        while let Ok(Some(_)) = ready!(self.poll_next(task)) {}
        Poll::Ready(())
    }

    /// How the call has failed, once that was read.
    pub(super) fn error(&self) -> Option<Error> {
        self.end.as_ref()?.as_ref().err().cloned()
    }

    fn read_trailers(&mut self, trailers: &HeaderMap) -> Result<()> {
        let end = status::read(trailers).unwrap_or_else(|| {
            Err(status::local(
                code::UNKNOWN,
                "the call ended with trailers and no status in them",
            ))
        });
        self.trailers = headers::read(trailers);
        // Whoever is given an error sees nothing else of the answer.
        end.map_err(|error| {
            let mut metadata = self.metadata.clone();
            metadata.merge(error.metadata());
            error.with_metadata(metadata)
        })
    }

    fn ended(&mut self, end: Result<()>) -> Poll<Result<Option<Bytes>>> {
        self.end = Some(end.clone());
        Poll::Ready(end.map(|()| None))
    }
}

/// The error of a call whose stream failed.
pub(super) fn failed(fault: &Fault) -> Error {
    let code = match fault.reset() {
        Some(reason) => status::of_reset(reason),
        None => code::UNAVAILABLE,
    };
    let error = match code {
        code::UNAVAILABLE => {
            // As other protocols say that a connection is lost.
            Error::internal(id::CLIENT_TRANSPORT, fault.to_string()).with_grpc_code(code)
        }
        _ => status::local(code, fault.to_string()),
    };
    let error = error.caused_by(fault.cause());
    match fault.is_untaken() {
        true => error.unprocessed(),
        false => error,
    }
}
