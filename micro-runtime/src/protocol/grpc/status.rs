//! How a call ended: gRPC's status in trailers, and our errors in it and out of it.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::Message;

use super::headers::{self, LENIENT};
use crate::error::why::Cause;
use crate::error::{Detail, Error, id};

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Codes of gRPC that are named here.
pub(super) mod code {
    pub(in crate::protocol::grpc) const CANCELLED: i32 = 1;
    pub(in crate::protocol::grpc) const UNKNOWN: i32 = 2;
    pub(in crate::protocol::grpc) const INVALID_ARGUMENT: i32 = 3;
    pub(in crate::protocol::grpc) const PERMISSION_DENIED: i32 = 7;
    pub(in crate::protocol::grpc) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(in crate::protocol::grpc) const UNIMPLEMENTED: i32 = 12;
    pub(in crate::protocol::grpc) const INTERNAL: i32 = 13;
    pub(in crate::protocol::grpc) const UNAVAILABLE: i32 = 14;
}

/// The type of Go Micro's error among the details.
const GO_MICRO_ERROR: &str = "type.googleapis.com/errors.Error";
/// How much of an error's words is sent, and of its details: peers bound a head's size.
const LONGEST_WORDS: usize = 4 * 1024;
const LONGEST_DETAILS: usize = 8 * 1024;
/// Ours: the call has certainly reached no handler.
pub(super) const UNPROCESSED: HeaderName = HeaderName::from_static("micro-unprocessed");

/// What a caller can read in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Go Micro: its error as JSON, and as the first and only detail. It takes any other first
    /// detail for its own and crashes.
    GoMicro,
    /// A client of ours: Go Micro's error as the first detail, and those of the handler.
    Ours,
    /// Any other: words, and the handler's details.
    Plain,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`, whose value is not copied.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// Go Micro's `errors.Error`.
#[derive(Clone, PartialEq, Message)]
struct GoMicroError {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "2")]
    code: i32,
    #[prost(string, tag = "3")]
    detail: String,
    #[prost(string, tag = "4")]
    status: String,
}

/// Says in `trailers` that the call went well.
pub(super) fn write_ok(trailers: &mut HeaderMap) {
    trailers.insert(STATUS, HeaderValue::from_static("0"));
}

/// Says in `trailers` how the call failed.
pub(super) fn write(error: &Error, reader: Reader, trailers: &mut HeaderMap) {
    headers::write(error.metadata(), trailers);
    let code = grpc_code(error);
    trailers.insert(STATUS, HeaderValue::from(code));
    let words = match reader {
        Reader::GoMicro => shortened(error).to_wire(),
        Reader::Ours | Reader::Plain => cut(error.detail()).to_owned(),
    };
    if !words.is_empty()
        && let Ok(value) = HeaderValue::try_from(escape(&words))
    {
        trailers.insert(MESSAGE, value);
    }
    let status = Status {
        code,
        details: details(error, reader, LONGEST_DETAILS),
        message: words,
    };
    if !status.details.is_empty()
        && let Ok(value) = HeaderValue::try_from(STANDARD_NO_PAD.encode(status.encode_to_vec()))
    {
        trailers.insert(DETAILS, value);
    }
    if error.is_unprocessed() {
        trailers.insert(UNPROCESSED, HeaderValue::from_static("1"));
    }
}

/// `error`, with no more words than are sent.
fn shortened(error: &Error) -> Error {
    if error.detail().len() <= LONGEST_WORDS {
        return error.clone();
    }
    let id = cut(error.id()).to_owned();
    Error::new(id, cut(error.detail()).to_owned(), error.code()).with_status(cut(error.status()))
}

/// The details of `error` for `reader`; of the handler's as many as have room.
pub(super) fn details(error: &Error, reader: Reader, mut room: usize) -> Vec<Any> {
    let mut details = Vec::new();
    // Plain words are no error of Go Micro's; a client of ours is told that there is no code.
    let is_plain = error.id().is_empty() && error.code() == 0;
    if reader == Reader::Ours || (reader == Reader::GoMicro && !is_plain) {
        let own = GoMicroError {
            id: cut(error.id()).to_owned(),
            code: error.code(),
            detail: cut(error.detail()).to_owned(),
            status: cut(error.status()).to_owned(),
        };
        details.push(Any {
            type_url: GO_MICRO_ERROR.to_owned(),
            value: own.encode_to_vec().into(),
        });
    }
    if reader != Reader::GoMicro {
        for detail in error.details() {
            let size = detail.type_url.len() + detail.value.len();
            let Some(left) = room.checked_sub(size) else {
                break;
            };
            room = left;
            details.push(Any {
                type_url: detail.type_url.clone(),
                value: detail.value.clone(),
            });
        }
    }
    details
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// What `trailers` say of the call's end; `None` where they have no status.
pub(super) fn read(trailers: &HeaderMap) -> Option<Result<(), Error>> {
    let status = trailers.get(STATUS)?;
    let code = std::str::from_utf8(status.as_bytes())
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(code::UNKNOWN);
    if code == 0 {
        return Some(Ok(()));
    }
    let words = trailers
        .get(MESSAGE)
        .map(|message| String::from_utf8_lossy(&unescape(message.as_bytes())).into_owned())
        .unwrap_or_default();
    let details = read_details(trailers).into_iter().map(|detail| Detail {
        type_url: detail.type_url,
        value: detail.value,
    });
    let error = of_peer(code, words, details).with_metadata(headers::read(trailers));
    Some(Err(match trailers.contains_key(UNPROCESSED) {
        true => error.unprocessed(),
        false => error,
    }))
}

/// The error that a peer told in these words; Go Micro's own where that is among the details.
pub(super) fn of_peer(
    code: i32,
    words: String,
    details: impl IntoIterator<Item = Detail>,
) -> Error {
    let mut error = None;
    let mut others = Vec::new();
    for detail in details {
        let own = detail.type_url.ends_with("/errors.Error");
        match GoMicroError::decode(detail.value.clone()) {
            Ok(read) if own && error.is_none() => error = Some(from_go_micro(read)),
            _ => others.push(detail),
        }
    }
    let error = error.unwrap_or_else(|| {
        let read = Error::from_wire(&words);
        match read.code() > 0 {
            true => read,
            false => Error::new(id::CLIENT, words, http_code(code)),
        }
    });
    let error = error.with_grpc_code(code).caused_by(Cause::Answered);
    others.into_iter().fold(error, Error::with_detail)
}

fn read_details(trailers: &HeaderMap) -> Vec<Any> {
    trailers
        .get(DETAILS)
        .and_then(|value| LENIENT.decode(value.as_bytes()).ok())
        .and_then(|bytes| Status::decode(Bytes::from(bytes)).ok())
        .map(|status| status.details)
        .unwrap_or_default()
}

fn from_go_micro(read: GoMicroError) -> Error {
    match read.id.is_empty() && read.code == 0 {
        true => Error::plain(read.detail),
        false => Error::new(read.id, read.detail, read.code).with_status(read.status),
    }
}

/// The code of gRPC for `error`: the one that it has, or the one that Go Micro would send.
pub(super) fn grpc_code(error: &Error) -> i32 {
    if let Some(code) = error.grpc_code().filter(|code| *code != 0) {
        return code;
    }
    match error.code() {
        400 => code::INVALID_ARGUMENT,
        401 => 16,
        403 => code::PERMISSION_DENIED,
        404 => 5,
        408 => 4,
        409 => 6,
        412 => 9,
        413 | 429 => code::RESOURCE_EXHAUSTED,
        499 => code::CANCELLED,
        500 => code::INTERNAL,
        501 => code::UNIMPLEMENTED,
        503 => code::UNAVAILABLE,
        // Also 200: an error is none to a caller that reads OK.
        _ => code::UNKNOWN,
    }
}

/// The HTTP code that an error has whose peer sent a code of gRPC alone.
fn http_code(code: i32) -> i32 {
    match code {
        code::CANCELLED => 499,
        code::INVALID_ARGUMENT | 11 => 400,
        4 => 408,
        5 => 404,
        6 | 10 => 409,
        code::PERMISSION_DENIED => 403,
        code::RESOURCE_EXHAUSTED => 429,
        9 => 412,
        code::UNIMPLEMENTED => 501,
        code::UNAVAILABLE => 503,
        16 => 401,
        _ => 500,
    }
}

/// An error that no trailers of the peer speak of: its answer is none.
pub(super) fn local(code: i32, words: impl Into<String>) -> Error {
    Error::new(id::CLIENT_TRANSPORT, words.into(), http_code(code))
        .with_grpc_code(code)
        .caused_by(Cause::Garbled)
}

/// The error of an answer that is not gRPC's at all, but has this HTTP status.
pub(super) fn of_http(status: StatusCode) -> Error {
    let code = of_http_status(status.as_u16());
    let error = local(code, words_of(status));
    match status.as_u16() {
        // Somebody on the way, or the server itself, takes no more.
        429 | 503 => error.caused_by(Cause::Refused),
        _ => error,
    }
}

/// What is said of an answer with this HTTP status that says nothing itself.
pub(super) fn words_of(status: StatusCode) -> String {
    format!("the server answered with HTTP status {status}")
}

/// The code of gRPC for an answer that is not gRPC's at all, by its HTTP status.
pub(super) fn of_http_status(status: u16) -> i32 {
    match status {
        400 => code::INTERNAL,
        401 => 16,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// The code of gRPC for a stream that was reset, by the reason that HTTP/2 gives.
pub(super) fn of_reset(reason: u32) -> i32 {
    match reason {
        7 => code::UNAVAILABLE,
        8 => code::CANCELLED,
        11 => code::RESOURCE_EXHAUSTED,
        12 => code::PERMISSION_DENIED,
        _ => code::INTERNAL,
    }
}

/// As gRPC escapes a message: printable ASCII as it is, any other byte, and `%`, as `%XX`.
fn escape(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    for byte in words.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// What is no escape stays as it is.
pub(super) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two digits of four bits.
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    fn through(error: &Error, reader: Reader) -> Error {
        let mut trailers = HeaderMap::new();
        write(error, reader, &mut trailers);
        read(&trailers).unwrap().unwrap_err()
    }

    fn full() -> Error {
        Error::not_found("greeter.fail", "no such thing é %\n")
            .with_status("Gone fishing")
            .with_grpc_code(9)
            .with_detail(Detail {
                type_url: "type.test/One".into(),
                value: vec![1, 2, 3].into(),
            })
            .with_metadata(Metadata::from_iter([("retry-after", "3")]))
    }

    #[test]
    fn an_error_comes_through_whole_to_a_client_of_ours() {
        let (sent, read) = (full(), through(&full(), Reader::Ours));
        assert_eq!(read, sent);
        assert_eq!(read.grpc_code(), Some(9));
        assert_eq!(read.details(), sent.details());
        assert_eq!(read.metadata(), sent.metadata());
        let plain = through(&Error::plain("only words"), Reader::Ours);
        assert_eq!(
            (plain.code(), plain.to_wire()),
            (0, "only words".to_owned())
        );
    }

    #[test]
    fn go_micro_gets_its_own_error_and_no_other_detail() {
        let mut trailers = HeaderMap::new();
        write(&full(), Reader::GoMicro, &mut trailers);
        let details = read_details(&trailers);
        let types: Vec<_> = details.iter().map(|detail| &*detail.type_url).collect();
        assert_eq!(types, [GO_MICRO_ERROR]);
        let message = trailers.get(MESSAGE).unwrap().to_str().unwrap();
        let json = String::from_utf8(unescape(message.as_bytes())).unwrap();
        assert!(
            json.starts_with(r#"{"id":"greeter.fail","code":404,"#),
            "{json}"
        );

        let mut trailers = HeaderMap::new();
        let words = Error::plain("only words");
        write(&words, Reader::GoMicro, &mut trailers);
        assert_eq!(trailers.get(MESSAGE).unwrap(), "only words");
        assert_eq!(trailers.get(STATUS).unwrap(), "2");
        assert!(!trailers.contains_key(DETAILS));
    }

    #[test]
    fn any_other_caller_gets_words_and_the_handlers_details() {
        let mut trailers = HeaderMap::new();
        write(&full().unprocessed(), Reader::Plain, &mut trailers);
        assert_eq!(
            trailers.get(MESSAGE).unwrap(),
            "no such thing %C3%A9 %25%0A"
        );
        let details = read_details(&trailers);
        let types: Vec<_> = details.iter().map(|detail| &*detail.type_url).collect();
        assert_eq!(types, ["type.test/One"]);
        let error = read(&trailers).unwrap().unwrap_err();
        assert_eq!((error.id(), error.code()), (id::CLIENT, 412));
        assert!(error.is_unprocessed());
    }

    #[test]
    fn the_codes_are_go_micros() {
        for (code, grpc) in [
            (200, 2),
            (400, 3),
            (401, 16),
            (403, 7),
            (404, 5),
            (405, 2),
            (408, 4),
            (409, 6),
            (412, 9),
            (418, 2),
            (500, 13),
            (501, 12),
            (503, 14),
        ] {
            assert_eq!(grpc_code(&Error::new("a", "b", code)), grpc, "{code}");
        }
        for (grpc, code) in [(3, 400), (4, 408), (5, 404), (9, 412), (13, 500), (2, 500)] {
            assert_eq!(http_code(grpc), code, "{grpc}");
        }
    }

    #[test]
    fn a_message_that_is_json_of_go_micro_is_read() {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from_static("5"));
        let json = r#"{"id":"a.b","code":404,"detail":"gone","status":"Not Found"}"#;
        trailers.insert(MESSAGE, HeaderValue::from_static(json));
        let error = read(&trailers).unwrap().unwrap_err();
        assert_eq!(error, Error::not_found("a.b", "gone"));
        trailers.insert(MESSAGE, HeaderValue::from_static("100%, %zz"));
        let error = read(&trailers).unwrap().unwrap_err();
        assert_eq!((error.detail(), error.code()), ("100%, %zz", 404));
    }

    #[test]
    fn long_words_are_cut() {
        let long = Error::conflict("a", "é".repeat(100_000));
        for reader in [Reader::GoMicro, Reader::Ours, Reader::Plain] {
            let mut trailers = HeaderMap::new();
            write(&long, reader, &mut trailers);
            let size: usize = trailers.values().map(HeaderValue::len).sum();
            assert!(size < 32 * 1024, "{reader:?}: {size}");
            assert!(
                read(&trailers)
                    .unwrap()
                    .unwrap_err()
                    .detail()
                    .starts_with('é')
            );
        }
    }
}
