//! HTTP/1.0 and 1.1 messages, requests and responses alike: the one parser of all HTTP/1 here.
//!
//! httparse reads the lines of a head; the checks around it are ours and stricter, because what two
//! parsers read differently is how requests are smuggled. Bodies come whole, bounded while they are
//! read, or in pieces as they come. What a message means is for the protocols on top.

mod chunked;
mod client;
mod decoder;
mod head;
#[cfg(test)]
mod mutation;
mod origin;
mod outbox;
#[cfg(test)]
mod pieces;
mod serving;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "grpc"))]
pub(crate) use chunked::Trailers;
#[cfg(feature = "consul")]
pub(crate) use client::Answer;
pub(crate) use client::{Ask, Http};
pub(crate) use decoder::{Decoder, Message, Role, poll_fill};
#[cfg(any(test, feature = "grpc"))]
pub(crate) use decoder::{Opening, Piece};
pub(crate) use head::{Head, Start, canonical, is_token};
pub(crate) use origin::{is_allowed_origin, read_origin};
pub(crate) use outbox::{Outbox, put_decimal};
pub(crate) use serving::{is_loopback, linger, put_date, put_plain};

use std::fmt;

use crate::error::why::Cause;

/// What one message may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of a head, start line included.
    pub(crate) head: usize,
    /// Header fields of a head.
    pub(crate) headers: usize,
    /// Bytes of a body.
    pub(crate) body: usize,
}

/// Why bytes are not a message that we take. The connection is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The head is longer than its bound.
    HeadTooLarge,
    /// More header fields than the bound.
    TooManyHeaders,
    /// A carriage return without its line feed.
    BareCr,
    /// A line feed without its carriage return.
    BareLf,
    /// A header that goes on in the next line.
    Folded,
    /// A start line, a name or a value with a byte that may not be there.
    Syntax,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// A head that is not UTF-8.
    NotUtf8,
    /// Both a length and a transfer encoding.
    LengthAndEncoding,
    /// Two lengths, equal or not.
    TwoLengths,
    /// A length that is no number.
    Length,
    /// A transfer encoding other than `chunked`, or one in HTTP/1.0.
    Encoding,
    /// The body is longer than its bound.
    BodyTooLarge,
    /// A chunk's size is no number, or larger than any body.
    ChunkSize,
    /// The line of a chunk's size is longer than its bound.
    ChunkLine,
    /// A chunk is longer than its size says.
    ChunkEnd,
    /// What follows the last chunk is no header, or longer than its bound.
    Trailers,
    /// A 1xx response: a caller that did not ask for one cannot tell it from the answer.
    Informational,
    /// The connection ended within a message.
    Truncated,
}

impl Malformed {
    /// In which way a call fails whose answer is such.
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Truncated => Cause::Lost,
            _ => Cause::Garbled,
        }
    }

    /// The status code and text to answer with.
    pub(crate) fn status(self) -> (u16, &'static str) {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => (431, "Request Header Fields Too Large"),
            Self::BodyTooLarge => (413, "Request Entity Too Large"),
            Self::Encoding => (501, "Not Implemented"),
            _ => (400, "Bad Request"),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLarge => "the head is too long",
            Self::TooManyHeaders => "there are too many header fields",
            Self::BareCr => "a carriage return stands without its line feed",
            Self::BareLf => "a line feed stands without its carriage return",
            Self::Folded => "a header goes on in the next line",
            Self::Syntax => "the head has a byte that may not be there",
            Self::Version => "neither HTTP/1.0 nor HTTP/1.1",
            Self::NotUtf8 => "the head is not UTF-8",
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::TwoLengths => "Content-Length stands twice",
            Self::Length => "Content-Length is not a number",
            Self::Encoding => "a transfer encoding other than chunked",
            Self::BodyTooLarge => "the body is too long",
            Self::ChunkSize => "a chunk's size is not a number",
            Self::ChunkLine => "the line of a chunk's size is too long",
            Self::ChunkEnd => "a chunk is longer than its size",
            Self::Trailers => "what follows the last chunk is not a header",
            Self::Informational => "an informational response came in place of the answer",
            Self::Truncated => "unexpected EOF",
        })
    }
}

impl std::error::Error for Malformed {}
