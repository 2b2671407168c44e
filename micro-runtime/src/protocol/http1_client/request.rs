//! Requests as they are written.

use bytes::{Buf, BytesMut};
use http::{Method, Request};

use crate::http1::{Outbox, put_decimal};
use crate::protocol::http2::Chunk;

/// What follows the head of a request.
pub(super) enum Body<'a> {
    /// This, which is all.
    Whole(&'a Chunk),
    /// Chunks, by and by.
    Chunked,
}

/// `head`, and the body where it is there.
pub(super) fn outbox(head: &Request<()>, body: Body<'_>) -> Outbox {
    let mut outbox = Outbox::default();
    let out = outbox.buffer();
    let uri = head.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    for part in [
        head.method().as_str(),
        " ",
        target,
        " HTTP/1.1\r\nHost: ",
        host,
        "\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in head.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match body {
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        Body::Whole(_) if head.method() == Method::GET => out.extend_from_slice(b"\r\n"),
        Body::Whole(chunk) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(out, chunk.remaining() as u64);
            out.extend_from_slice(b"\r\n\r\n");
            push(&mut outbox, chunk.clone());
        }
    }
    outbox
}

/// Appends a chunk of a body that is sent by and by; an empty one would end it and is left out.
pub(super) fn push_chunk(outbox: &mut Outbox, chunk: Chunk) {
    if !chunk.has_remaining() {
        return;
    }
    put_hexadecimal(outbox.buffer(), chunk.remaining());
    outbox.buffer().extend_from_slice(b"\r\n");
    push(outbox, chunk);
    outbox.buffer().extend_from_slice(b"\r\n");
}

/// Appends the end of a body that is sent by and by.
pub(super) fn push_end(outbox: &mut Outbox) {
    outbox.buffer().extend_from_slice(b"0\r\n\r\n");
}

fn push(outbox: &mut Outbox, chunk: Chunk) {
    outbox.buffer().extend_from_slice(chunk.prefix());
    outbox.push(&chunk.into_body());
}

fn put_hexadecimal(out: &mut BytesMut, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        // Four bits.
        let digit = (number >> (place * 4) & 0xf) as u8;
        out.extend_from_slice(&[match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        }]);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn sizes_of_chunks_are_hexadecimal() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 0xabc_def, usize::MAX] {
            let mut out = BytesMut::new();
            put_hexadecimal(&mut out, number);
            assert_eq!(out, format!("{number:x}"));
        }
    }

    #[test]
    fn a_request_is_written_with_its_length_or_in_chunks() {
        let head = Request::post("http://node:80/a.B/C?d=e")
            .header("x-key", "value")
            .body(())
            .unwrap();
        let text = |mut outbox: Outbox| String::from_utf8(outbox.buffer().to_vec()).unwrap();
        let start = "POST /a.B/C?d=e HTTP/1.1\r\nHost: node:80\r\nx-key: value\r\n";
        let chunk = Chunk::prefixed(*b"01234", Bytes::from_static(b"567"));
        assert_eq!(
            text(outbox(&head, Body::Whole(&chunk))),
            format!("{start}Content-Length: 8\r\n\r\n01234567")
        );
        let mut chunked = outbox(&head, Body::Chunked);
        push_chunk(&mut chunked, Bytes::new().into());
        push_chunk(&mut chunked, chunk);
        push_end(&mut chunked);
        assert_eq!(
            text(chunked),
            format!("{start}Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n0\r\n\r\n")
        );
        let head = Request::get("http://node/a").body(()).unwrap();
        assert_eq!(
            text(outbox(&head, Body::Whole(&Bytes::new().into()))),
            "GET /a HTTP/1.1\r\nHost: node\r\n\r\n"
        );
    }
}
