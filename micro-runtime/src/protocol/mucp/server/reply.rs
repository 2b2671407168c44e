//! Responses: always 200, with the headers that Go Micro's replies have and no other of the request.

use bytes::{Bytes, BytesMut};

use super::inbound::Inbound;
use crate::error::Error;
use crate::http1::{Outbox, put_decimal};
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::{self, STREAM_ENDS, UNPROCESSED};

/// What a response says beside the echo of its request.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    /// The body, in its envelope.
    pub(super) body: Bytes,
    /// In place of the request's content type.
    pub(super) content_type: Option<&'static str>,
    /// The words of the error, or of a stream's end.
    pub(super) error: Option<&'a str>,
    /// Whether gRPC's status goes with it.
    pub(super) grpc: bool,
    /// Whether it tells the caller that this stream will be ended by an end of its own.
    pub(super) ends: bool,
    /// Whether it tells the caller that no handler has seen the call.
    pub(super) unprocessed: bool,
    /// Whether the connection closes after it.
    pub(super) close: bool,
}

/// The headers of a request that its responses repeat.
#[derive(Clone, Copy, Debug)]
pub(super) enum Echo<'a> {
    /// Of a request at hand.
    Of(&'a Inbound),
    /// Rendered once, for the many responses of a stream.
    Rendered(&'a Rendered),
}

/// An echo in its two parts, around the place of `Micro-Error`.
#[derive(Debug)]
pub(super) struct Rendered {
    content_type: Bytes,
    front: Bytes,
    back: Bytes,
}

impl Rendered {
    /// The echo of `inbound`.
    pub(super) fn new(inbound: &Inbound) -> Self {
        let echo = Echo::Of(inbound);
        let part = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out.freeze()
        };
        Self {
            content_type: Bytes::copy_from_slice(inbound.content_type().as_bytes()),
            front: part(&|out| echo.put_front(out)),
            back: part(&|out| echo.put_back(out)),
        }
    }
}

impl Echo<'_> {
    fn put_front(self, out: &mut BytesMut) {
        match self {
            Self::Of(inbound) => {
                put_field(out, "Micro-Endpoint", inbound.bytes(inbound.known.endpoint))
            }
            Self::Rendered(rendered) => out.extend_from_slice(&rendered.front),
        }
    }

    fn put_back(self, out: &mut BytesMut) {
        match self {
            Self::Of(inbound) => {
                let known = &inbound.known;
                put_field(out, "Micro-Id", inbound.bytes(known.id));
                put_field(out, "Micro-Method", inbound.bytes(known.method));
                put_field(out, "Micro-Service", inbound.bytes(known.service));
                put_field(out, "Micro-Stream", inbound.bytes(known.stream));
            }
            Self::Rendered(rendered) => out.extend_from_slice(&rendered.back),
        }
    }

    fn content_type(&self) -> &[u8] {
        match self {
            Self::Of(inbound) => inbound.content_type().as_bytes(),
            Self::Rendered(rendered) => &rendered.content_type,
        }
    }
}

/// Appends a response, its headers in Go's order.
pub(super) fn put(out: &mut Outbox, echo: Echo<'_>, said: Said<'_>) {
    let head = out.buffer();
    head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    if !said.body.is_empty() {
        head.extend_from_slice(b"Content-Length: ");
        put_decimal(head, said.body.len() as u64);
        head.extend_from_slice(b"\r\n");
    }
    if said.close {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    let content_type = said
        .content_type
        .map_or_else(|| echo.content_type(), str::as_bytes);
    put_field(head, "Content-Type", content_type);
    if said.grpc {
        if let Some(words) = said.error {
            put_field(head, "Grpc-Message", words.as_bytes());
        }
        // Go's frame says 13 of every error.
        let status: &[u8] = if said.error.is_some() { b"13" } else { b"0" };
        put_field(head, "Grpc-Status", status);
    }
    echo.put_front(head);
    if let Some(words) = said.error {
        put_field(head, "Micro-Error", words.as_bytes());
    }
    echo.put_back(head);
    if said.unprocessed
        && let Echo::Of(inbound) = echo
    {
        put_field(head, UNPROCESSED, inbound.bytes(inbound.known.id));
    }
    if said.ends {
        put_field(head, STREAM_ENDS, names::ENDS_OPEN.as_bytes());
    }
    if let Some(words) = said.error {
        put_field(head, "X-Micro-Error", words.as_bytes());
    }
    if said.body.is_empty() {
        head.extend_from_slice(b"Content-Length: 0\r\n");
    }
    head.extend_from_slice(b"\r\n");
    if !said.body.is_empty() {
        out.push(&said.body);
    }
}

/// Appends the response that `error` is.
pub(super) fn put_error(
    out: &mut Outbox,
    echo: Echo<'_>,
    envelope: Envelope,
    id: &str,
    error: &Error,
    close: bool,
) {
    let words = names::error_text(error);
    let said = Said {
        body: envelope.seal_error(id, &words),
        error: Some(&words),
        grpc: envelope == Envelope::Grpc,
        unprocessed: error.is_unprocessed(),
        close,
        ..Said::default()
    };
    put(out, echo, said);
}

/// Appends a field, if its value is not empty.
fn put_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    if !value.is_empty() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}
