//! What goes back to callers who do not speak gRPC itself.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::super::super::encoding::{Encoding, READS};
use super::super::super::message::frame;
use super::super::super::status::{self, UNPROCESSED, code};
use super::super::super::{Grpc, headers, text};
use super::super::reply::{Caller, LONG, is_taken};
use super::accepts::accepts;
use super::cors::Page;
use super::{Dialect, error, read, trailers};
use crate::call::Reply;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::protocol::exchange::Answer;
use crate::protocol::http2::Chunk;

/// Connect's name for a trailer that stands in the head of a unary answer.
const TRAILER: &str = "trailer-";
const STREAM_ACCEPTS: HeaderName = HeaderName::from_static("connect-accept-encoding");
const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// How a caller who does not speak gRPC itself is answered.
#[derive(Clone, Debug)]
pub(in super::super) struct Web {
    pub(super) dialect: Dialect,
    /// Whether it called with GET: a browser may keep the answer, or show it.
    get: bool,
    /// Whether it called with HEAD, to which no answer has a body.
    head_only: bool,
    page: Page,
}

impl Web {
    /// Who has sent `head`.
    pub(super) fn new(dialect: Dialect, head: &Parts) -> Self {
        Self {
            dialect,
            get: head.method == Method::GET,
            head_only: head.method == Method::HEAD,
            page: Page::default(),
        }
    }

    /// The name of the field that says which compression is read.
    fn accepts(&self) -> HeaderName {
        match self.dialect {
            Dialect::GrpcWeb | Dialect::GrpcWebText => headers::ACCEPT_ENCODING,
            Dialect::Unary => ACCEPT_ENCODING,
            Dialect::Stream => STREAM_ACCEPTS,
        }
    }

    /// Whether what is sent is base64.
    pub(in super::super) fn is_text(&self) -> bool {
        self.dialect == Dialect::GrpcWebText
    }

    /// The head of a reply with `metadata`.
    pub(in super::super) fn head(&self, caller: &Caller, metadata: &Metadata) -> HeaderMap {
        let mut head = HeaderMap::with_capacity(8 + metadata.len());
        headers::write(metadata, &mut head);
        self.complete(&mut head, caller.content_type(), caller.encoding);
        head
    }

    /// What each head has beside metadata, which it does not give way to.
    fn complete(&self, head: &mut HeaderMap, content_type: HeaderValue, encoding: Encoding) {
        head.remove(CONTENT_ENCODING);
        head.insert(CONTENT_TYPE, content_type);
        if let Some(encoding) = encoding.name() {
            let name = match self.dialect {
                Dialect::GrpcWeb | Dialect::GrpcWebText => headers::ENCODING,
                Dialect::Unary => CONTENT_ENCODING,
                Dialect::Stream => read::STREAM_ENCODING,
            };
            head.insert(name, encoding);
        }
        if self.get {
            head.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
            head.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        self.page.write(head);
    }

    /// Answers with an error alone, before anything else is sent.
    pub(in super::super) fn fail(
        &self,
        caller: &Caller,
        status: StatusCode,
        answer: &mut Answer,
        error: &Error,
    ) {
        let mut head = HeaderMap::with_capacity(8);
        if status::grpc_code(error) == code::UNIMPLEMENTED {
            head.insert(self.accepts(), READS);
        }
        let (status, content_type, body) = match self.dialect {
            Dialect::GrpcWeb | Dialect::GrpcWebText => {
                status::write(error, caller.reader, &mut head);
                (status, caller.content_type(), None)
            }
            Dialect::Stream if status == StatusCode::OK => {
                let end = error::end_of_stream(Err(error), caller.reader);
                (status, caller.content_type(), Some(end))
            }
            // Who sends something else does not read Connect's errors: words for a person.
            _ if status == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers::write(error.metadata(), &mut head);
                head.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                (status, text, Some(format!("{}\n", error.detail()).into()))
            }
            // A status of its own is for those who do not come as far as a stream.
            Dialect::Unary | Dialect::Stream => {
                headers::write(error.metadata(), &mut head);
                let status = match status {
                    StatusCode::OK => error::http_status(status::grpc_code(error)),
                    status => status,
                };
                let json = HeaderValue::from_static(read::JSON);
                (status, json, Some(error::body(error, caller.reader)))
            }
        };
        if error.is_unprocessed() {
            head.insert(UNPROCESSED, HeaderValue::from_static("1"));
        }
        if let Some(body) = &body {
            head.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        self.complete(&mut head, content_type, Encoding::Identity);
        let body = body.filter(|_| !self.head_only);
        // Fails only where the caller is gone.
        if let Ok(mut out) = answer.respond(status, head, body.is_none())
            && let Some(body) = body
        {
            let _ = out.send(Chunk::from(body), true);
        }
    }

    /// The last bytes of an answer whose head has gone.
    pub(in super::super) fn end(&self, caller: &Caller, end: Result<&Metadata, &Error>) -> Chunk {
        match self.dialect {
            Dialect::GrpcWeb => Chunk::from(trailers::frame(&caller.trailers(end))),
            Dialect::GrpcWebText => {
                let frame = trailers::frame(&caller.trailers(end));
                text::encode(Chunk::from(frame))
            }
            Dialect::Stream => Chunk::from(error::end_of_stream(end, caller.reader)),
            Dialect::Unary => Chunk::from(Bytes::new()),
        }
    }

    /// Answers a unary call that went well.
    pub(in super::super) async fn answer(
        &self,
        caller: &Caller,
        answer: &mut Answer,
        reply: Reply,
        patience: Duration,
    ) -> Result<(), Error> {
        let Reply {
            message,
            metadata,
            trailers,
            ..
        } = reply;
        let message = message.into_bytes();
        let (head, body) = match self.dialect {
            Dialect::Unary => {
                let (encoding, body) = match caller.encoding.pack(&message)? {
                    Some(packed) => (caller.encoding, packed),
                    None => (Encoding::Identity, message),
                };
                let mut head = HeaderMap::with_capacity(8 + metadata.len() + trailers.len());
                headers::write(&metadata, &mut head);
                write_trailers(&trailers, &mut head);
                head.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                self.complete(&mut head, caller.content_type(), encoding);
                (head, Chunk::from(body))
            }
            _ => {
                let head = self.head(caller, &metadata);
                let message = frame(message, caller.encoding)?;
                let end = self.end(caller, Ok(&trailers));
                (head, self.joined(message, end))
            }
        };
        let long = body.remaining() > LONG;
        // From here on a failure means that the caller is gone.
        let Ok(mut out) = answer.respond(StatusCode::OK, head, false) else {
            return Ok(());
        };
        if out.send(body, !long).is_ok() && long {
            let room = poll_fn(|task| out.poll_room(0, task));
            if is_taken(room, patience).await {
                let _ = out.send(Chunk::from(Bytes::new()), true);
            } else {
                out.reset();
            }
        }
        Ok(())
    }

    /// A message and what follows it, in one piece.
    fn joined(&self, message: Chunk, end: Chunk) -> Chunk {
        let message = match self.is_text() {
            true => text::encode(message),
            false => message,
        };
        let mut both = BytesMut::with_capacity(message.remaining() + end.remaining());
        both.put(message);
        both.put(end);
        Chunk::from(both.freeze())
    }
}

/// Adds `trailers` to the head of a unary answer.
fn write_trailers(trailers: &Metadata, head: &mut HeaderMap) {
    let mut plain = HeaderMap::with_capacity(trailers.len());
    headers::write(trailers, &mut plain);
    for (name, value) in &plain {
        let name = [TRAILER, name.as_str()].concat();
        if let Ok(name) = HeaderName::try_from(name) {
            head.insert(name, value.clone());
        }
    }
}

impl Caller {
    /// Notes what the caller's browser is to be told.
    pub(super) fn show_to(&mut self, page: Page) {
        if let Some(web) = &mut self.web {
            web.page = page;
        }
    }

    /// Compresses replies where the server does that and the caller reads it.
    pub(super) fn set_compressed(&mut self, settings: &Grpc, headers: &HeaderMap) {
        if let Some(name) = self.web.as_ref().map(|web| web.accepts()) {
            self.encoding =
                Encoding::of_replies(settings, |encoding| accepts(headers, &name, encoding));
        }
    }
}
