//! What goes back to a caller: heads and trailers in the form that this caller reads.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Buf;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::super::encoding::{Encoding, READS};
use super::super::message::frame;
use super::super::status::{self, Reader, code};
use super::super::{Grpc, content, headers};
use super::web::Web;
use crate::call::Reply;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::protocol::exchange::{Answer, Outbound};
use crate::protocol::http2::Fault;

/// How a caller wants to be answered.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    content_type: HeaderValue,
    pub(super) reader: Reader,
    /// How replies are compressed.
    pub(super) encoding: Encoding,
    /// `None` for gRPC itself.
    pub(super) web: Option<Box<Web>>,
}

impl Caller {
    /// Who has sent a request with these headers.
    pub(super) fn of(headers: &HeaderMap, settings: &Grpc) -> Self {
        let reader = match headers.contains_key(headers::GO_MICRO_CONTENT_TYPE) {
            true => Reader::GoMicro,
            false => reader(headers),
        };
        Self {
            content_type: headers
                .get(CONTENT_TYPE)
                .cloned()
                .unwrap_or(HeaderValue::from_static("application/grpc")),
            reader,
            encoding: Encoding::of_replies(settings, |name| headers::accepts(headers, name)),
            web: None,
        }
    }

    /// Who has sent a request with these headers that is not gRPC's.
    pub(super) fn of_web(web: Web, headers: &HeaderMap) -> Self {
        Self {
            content_type: headers
                .get(CONTENT_TYPE)
                .cloned()
                .unwrap_or(HeaderValue::from_static("application/grpc-web")),
            reader: reader(headers),
            encoding: Encoding::Identity,
            web: Some(Box::new(web)),
        }
    }

    pub(super) fn content_type(&self) -> HeaderValue {
        self.content_type.clone()
    }

    pub(super) fn set_content_type(&mut self, content_type: HeaderValue) {
        self.content_type = content_type;
    }

    /// How long the end of an input of one message is waited for; to the call's own limits for `None`.
    ///
    /// Go Micro opens every stream as bidirectional, and does not end it; gRPC's other callers do at
    /// once, and those that should not are served all the same.
    pub(super) fn patience(&self) -> Option<Duration> {
        match (&self.web, self.reader) {
            (Some(_), _) => None,
            (None, Reader::GoMicro) => Some(Duration::ZERO),
            (None, Reader::Ours | Reader::Plain) => Some(PATIENCE),
        }
    }

    /// The head of a reply with `metadata`.
    pub(super) fn head(&self, metadata: &Metadata) -> HeaderMap {
        if let Some(web) = &self.web {
            return web.head(self, metadata);
        }
        let mut head = HeaderMap::with_capacity(4 + metadata.len());
        head.insert(CONTENT_TYPE, self.content_type.clone());
        if let Some(encoding) = self.encoding.name() {
            head.insert(headers::ENCODING, encoding);
        }
        headers::write(metadata, &mut head);
        head
    }

    /// Answers with an error alone: one head that is the trailers too.
    pub(super) fn fail(&self, answer: &mut Answer, error: &Error) {
        self.fail_as(StatusCode::OK, answer, error);
    }

    /// As [`fail`](Caller::fail), with a status of HTTP's for those who do not speak gRPC.
    pub(super) fn fail_as(&self, status: StatusCode, answer: &mut Answer, error: &Error) {
        if let Some(web) = &self.web {
            return web.fail(self, status, answer, error);
        }
        let mut head = HeaderMap::with_capacity(8);
        let content_type = match content::is_grpc(self.content_type.as_bytes()) {
            true => self.content_type.clone(),
            false => HeaderValue::from_static("application/grpc"),
        };
        head.insert(CONTENT_TYPE, content_type);
        if status::grpc_code(error) == code::UNIMPLEMENTED {
            head.insert(headers::ACCEPT_ENCODING, READS);
        }
        status::write(error, self.reader, &mut head);
        // Fails only where the caller is gone.
        let _ = answer.respond(status, head, true);
    }

    /// The trailers after a call that ended so.
    pub(super) fn trailers(&self, end: Result<&Metadata, &Error>) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(4);
        match end {
            Ok(metadata) => {
                status::write_ok(&mut trailers);
                headers::write(metadata, &mut trailers);
            }
            Err(error) => status::write(error, self.reader, &mut trailers),
        }
        trailers
    }

    /// Answers a unary call. A long reply waits until the caller takes it, and is given up with the
    /// stream where that takes longer than `patience`.
    pub(super) async fn answer(
        &self,
        answer: &mut Answer,
        result: Result<Reply, Error>,
        patience: Duration,
    ) {
        let result = match (result, &self.web) {
            (Ok(reply), Some(web)) => match web.answer(self, answer, reply, patience).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            (result, _) => result,
        };
        let framed = result.and_then(|reply| {
            let Reply {
                message,
                metadata,
                trailers,
                ..
            } = reply;
            let message = frame(message.into_bytes(), self.encoding)?;
            Ok((metadata, message, trailers))
        });
        let (metadata, message, trailers) = match framed {
            Ok(framed) => framed,
            Err(error) => return self.fail(answer, &error),
        };
        let long = message.remaining() > LONG;
        // From here on a failure means that the caller is gone.
        let Ok(mut out) = answer.respond(StatusCode::OK, self.head(&metadata), false) else {
            return;
        };
        if out.send(message, false).is_err() {
            return;
        }
        if long && !is_taken(poll_fn(|task| out.poll_room(0, task)), patience).await {
            return out.reset();
        }
        let _ = out.finish(self.trailers(Ok(&trailers)));
    }

    /// Ends an answer whose head has gone.
    pub(super) fn finish(&self, out: &mut Outbound, end: Result<&Metadata, &Error>) {
        // Fails only where the caller is gone.
        let _ = match &self.web {
            None => out.finish(self.trailers(end)),
            Some(web) => out.send(web.end(self, end), true),
        };
    }
}

/// Whether a client of ours has sent `headers`.
fn reader(headers: &HeaderMap) -> Reader {
    let ours = |agent: &HeaderValue| agent.as_bytes().starts_with(b"micro-rust/");
    match headers.get(USER_AGENT).is_some_and(ours) {
        true => Reader::Ours,
        false => Reader::Plain,
    }
}

/// Whether a reply leaves in time: when it has, there is `room` for more.
pub(super) async fn is_taken(
    room: impl Future<Output = Result<(), Fault>>,
    patience: Duration,
) -> bool {
    match timeout(patience, room).await {
        Ok(room) => room.is_ok(),
        Err(_) => {
            tracing::debug!("a caller does not take its reply, which is given up");
            false
        }
    }
}

/// Replies up to this length are left to HTTP/2, which sends them when the caller takes them.
pub(super) const LONG: usize = 4 * 1024;

/// How long a caller of gRPC may take between its one message and the end of its input.
const PATIENCE: Duration = Duration::from_millis(100);
