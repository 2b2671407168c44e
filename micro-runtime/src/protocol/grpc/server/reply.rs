//! What goes back to a caller: heads and trailers in the form that this caller reads.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Buf;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::super::message::{Encoding, frame};
use super::super::status::{self, Reached, Reader, code};
use super::super::{READS, content, gzip, headers};
use crate::call::Reply;
use crate::context::{Context, ReplyParts};
use crate::error::Error;
use crate::metadata::Metadata;
use crate::protocol::exchange::Answer;

/// How a caller wants to be answered.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    content_type: HeaderValue,
    pub(super) reader: Reader,
    /// How replies are compressed.
    pub(super) encoding: Encoding,
}

impl Caller {
    /// Who has sent a request with these headers.
    pub(super) fn of(headers: &HeaderMap, compress: bool) -> Self {
        let ours = |agent: &HeaderValue| agent.as_bytes().starts_with(b"micro-rust/");
        let reader = if headers.contains_key(headers::GO_MICRO_CONTENT_TYPE) {
            Reader::GoMicro
        } else if headers.get(USER_AGENT).is_some_and(ours) {
            Reader::Ours
        } else {
            Reader::Plain
        };
        Self {
            content_type: headers
                .get(CONTENT_TYPE)
                .cloned()
                .unwrap_or(HeaderValue::from_static("application/grpc")),
            reader,
            encoding: match compress && headers::accepts_gzip(headers) {
                true => Encoding::Gzip,
                false => Encoding::Identity,
            },
        }
    }

    /// The head of a reply with `metadata`.
    pub(super) fn head(&self, metadata: &Metadata) -> HeaderMap {
        let mut head = HeaderMap::with_capacity(4 + metadata.len());
        head.insert(CONTENT_TYPE, self.content_type.clone());
        if self.encoding == Encoding::Gzip {
            head.insert(headers::ENCODING, HeaderValue::from_static(gzip::NAME));
        }
        headers::write(metadata, &mut head);
        head
    }

    /// Answers with an error alone: one head that is the trailers too.
    pub(super) fn fail(&self, answer: &mut Answer, error: &Error, reached: Reached) {
        self.fail_as(StatusCode::OK, answer, error, reached);
    }

    /// Answers with the error of a handler and with what it has set beside it: metadata in a head of
    /// its own, trailers where the error is.
    pub(super) fn fail_with(&self, parts: ReplyParts, answer: &mut Answer, error: &Error) {
        if parts.metadata.is_empty() {
            let mut head = self.trailers(Err((parts, error)));
            head.insert(CONTENT_TYPE, self.content_type.clone());
            // Fails only where the caller is gone.
            let _ = answer.respond(StatusCode::OK, head, true);
            return;
        }
        let head = self.head(&parts.metadata);
        if let Ok(mut out) = answer.respond(StatusCode::OK, head, false) {
            let parts = ReplyParts {
                metadata: Metadata::new(),
                ..parts
            };
            let _ = out.finish(self.trailers(Err((parts, error))));
        }
    }

    /// As [`fail`](Caller::fail), with a status of HTTP's for those who do not speak gRPC.
    pub(super) fn fail_as(
        &self,
        status: StatusCode,
        answer: &mut Answer,
        error: &Error,
        reached: Reached,
    ) {
        let mut head = HeaderMap::with_capacity(8);
        let content_type = match content::is_grpc(self.content_type.as_bytes()) {
            true => self.content_type.clone(),
            false => HeaderValue::from_static("application/grpc"),
        };
        head.insert(CONTENT_TYPE, content_type);
        if status::grpc_code(error) == code::UNIMPLEMENTED {
            head.insert(headers::ACCEPT_ENCODING, READS);
        }
        status::write(error, reached, self.reader, &mut head);
        // Fails only where the caller is gone.
        let _ = answer.respond(status, head, true);
    }

    /// The trailers after a call that ended so. Of an error's parts both kinds stand here: the head
    /// has gone before.
    pub(super) fn trailers(&self, end: Result<&Metadata, (ReplyParts, &Error)>) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(4);
        match end {
            Ok(metadata) => {
                status::write_ok(&mut trailers);
                headers::write(metadata, &mut trailers);
            }
            Err((parts, error)) => {
                headers::write(&parts.metadata, &mut trailers);
                headers::write(&parts.trailers, &mut trailers);
                status::write(error, Reached::Perhaps, self.reader, &mut trailers);
            }
        }
        trailers
    }

    /// Answers a unary call, whose context is `cx`. A long reply waits until the caller takes it, and
    /// is given up with the stream where that takes longer than `patience`.
    pub(super) async fn answer(
        &self,
        answer: &mut Answer,
        result: Result<Reply, Error>,
        cx: &Context,
        patience: Duration,
    ) {
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
            Err(error) => return self.fail_with(cx.take_reply_parts(), answer, &error),
        };
        let long = message.remaining() > LONG;
        // From here on a failure means that the caller is gone.
        let Ok(mut out) = answer.respond(StatusCode::OK, self.head(&metadata), false) else {
            return;
        };
        if out.send(message, false).is_err() {
            return;
        }
        if long {
            match timeout(patience, poll_fn(|task| out.poll_room(0, task))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    tracing::debug!("a caller does not take its reply, which is given up");
                    return out.reset();
                }
            }
        }
        let _ = out.finish(self.trailers(Ok(&trailers)));
    }
}

/// Replies up to this length are left to HTTP/2, which sends them when the caller takes them.
const LONG: usize = 4 * 1024;
