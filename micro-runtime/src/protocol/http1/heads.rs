//! Heads between our parser and the types that the protocols of the web work with.

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};

use crate::http1::{Head, Malformed, Start, Trailers, put_decimal};

/// Fields that are of the connection and of no concern to who serves a request.
fn is_of_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"Connection"
            | b"Expect"
            | b"Http2-Settings"
            | b"Keep-Alive"
            | b"Proxy-Connection"
            | b"Te"
            | b"Trailer"
            | b"Transfer-Encoding"
            | b"Upgrade"
    )
}

/// The head of a request.
///
/// # Errors
/// Where its path or a field is not of the form that HTTP/1.1 has.
pub(super) fn read(head: &Head) -> Result<Parts, Malformed> {
    let Start::Request { method, target } = head.start() else {
        return Err(Malformed::Syntax);
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method).map_err(|_| Malformed::Syntax)?;
    parts.uri = Uri::try_from(target).map_err(|_| Malformed::Syntax)?;
    parts.version = match head.http11 {
        true => Version::HTTP_11,
        false => Version::HTTP_10,
    };
    parts.headers.reserve(head.fields().len());
    for index in 0..head.fields().len() {
        if let Some((name, value)) = head.shared(index)
            && !is_of_connection(name)
        {
            let (name, value) = field(name, value)?;
            parts.headers.append(name, value);
        }
    }
    Ok(parts)
}

/// What came after a body.
///
/// # Errors
/// As those of a head.
pub(super) fn read_trailers(trailers: Trailers) -> Result<HeaderMap, Malformed> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        let (name, value) = field(&name, value)?;
        map.append(name, value);
    }
    Ok(map)
}

fn field(name: &[u8], value: Bytes) -> Result<(HeaderName, HeaderValue), Malformed> {
    let name = HeaderName::from_bytes(name).map_err(|_| Malformed::Syntax)?;
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed::Syntax)?;
    Ok((name, value))
}

/// How long a body is, where its head says it.
pub(super) fn length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// How the end of an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has no body.
    Bodiless,
    /// By its length, which is known.
    Length(usize),
    /// By an empty chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// What goes with an answer's own fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) framing: Framing,
    /// Whether the connection closes after it.
    pub(super) close: bool,
    /// Whether a caller of HTTP/1.0 is told that it does not.
    pub(super) keeps: bool,
}

/// Appends the head of an answer, without its `Date` and its last line.
pub(super) fn write(out: &mut BytesMut, status: StatusCode, headers: &HeaderMap, said: Said) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    write_fields(out, headers);
    match said.framing {
        Framing::Bodiless | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            put_decimal(out, length as u64);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if said.close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if said.keeps {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
}

/// Appends fields, but for those that say how a message is framed: that is said by who frames it.
pub(super) fn write_fields(out: &mut BytesMut, fields: &HeaderMap) {
    for (name, value) in fields {
        let framing = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ];
        if framing.contains(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
