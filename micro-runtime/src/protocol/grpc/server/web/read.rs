//! What a request's head asks for.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::super::super::encoding::{Encoding, READS};
use super::super::super::status::code;
use super::super::super::{content, headers};
use super::super::Shared;
use super::super::call::{self, Refused};
use super::super::reply::Caller;
use super::query::Query;
use super::{Dialect, Kit};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::method::{Idempotency, Kind};
use crate::router::Route;
use crate::tasks::later;

/// Connect's names of what it carries.
pub(super) const PROTO: &str = "application/proto";
pub(super) const JSON: &str = "application/json";
const STREAM_PROTO: &str = "application/connect+proto";
const STREAM_JSON: &str = "application/connect+json";

const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
pub(super) const STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");

/// What a method takes that does not stream, and one that does.
const UNARY_POSTS: &str = "application/json, application/proto, application/grpc, \
    application/grpc+json, application/grpc+proto, application/grpc-web, \
    application/grpc-web+json, application/grpc-web+proto, application/grpc-web-text";
const STREAM_POSTS: &str = "application/connect+json, application/connect+proto, \
    application/grpc, application/grpc+json, application/grpc+proto, application/grpc-web, \
    application/grpc-web+json, application/grpc-web+proto, application/grpc-web-text";

/// Where the messages are.
pub(super) enum Source {
    /// In the body, each in its envelope.
    Enveloped,
    /// The same, in base64.
    Text,
    /// The body is the message.
    Whole,
    /// It came with the head.
    Given(Bytes),
}

/// What a head asks for.
pub(super) struct Asked {
    pub(super) asked: call::Asked,
    pub(super) source: Source,
    /// The longest message.
    pub(super) most: usize,
}

/// Reads `head`, and notes in `caller` how it wants to be answered.
pub(super) fn read(
    shared: &Shared,
    dialect: Dialect,
    head: &Parts,
    caller: &mut Caller,
) -> Result<Asked, Refused> {
    let headers = &head.headers;
    let route = find(shared, dialect, head)?;
    let method = route.method();
    let get = head.method == Method::GET && dialect == Dialect::Unary;
    let mut allowed = "POST";
    if method.kind == Kind::Unary && method.idempotency == Idempotency::NoSideEffects {
        allowed = "GET, POST";
    }
    if head.method != Method::POST && !(get && allowed != "POST") {
        let words = format!("{} is called with {allowed}", method.path);
        let error = Error::method_not_allowed(id::SERVER, words);
        let error = error.with_metadata(Metadata::from_iter([(ALLOW.as_str(), allowed)]));
        return Err(Refused::Http(StatusCode::METHOD_NOT_ALLOWED, error));
    }
    let query = get.then(|| Query::read(head.uri.query().unwrap_or_default()));
    let streams = method.kind.is_stream();
    let (codec, content_type) = match (&query, dialect) {
        (Some(query), _) => of_get(shared, query)?,
        (None, Dialect::GrpcWeb | Dialect::GrpcWebText) => of_grpc_web(shared, headers, streams)?,
        (None, Dialect::Unary | Dialect::Stream) => of_post(shared, dialect, headers, streams)?,
    };
    caller.set_content_type(content_type);
    if headers.len() > shared.core.limits().headers {
        let words = format!("{} headers are too many", headers.len());
        let error = Error::new(id::SERVER, words, 431).with_grpc_code(code::RESOURCE_EXHAUSTED);
        return Err(error.into());
    }
    if dialect.is_connect() {
        check_version(headers, query.as_ref())?;
    }
    let encoding = match (&query, dialect) {
        (Some(query), _) => read_encoding(query.compression.as_deref())?,
        (None, Dialect::Unary) => read_encoding(value(headers, &CONTENT_ENCODING))?,
        (None, Dialect::Stream) => read_encoding(value(headers, &STREAM_ENCODING))?,
        (None, _) => call::read_encoding(headers)?,
    };
    caller.set_compressed(&shared.settings, headers);
    let now = Instant::now();
    let deadline = match dialect.is_connect() {
        true => read_timeout(headers)?.map(|left| later(now, left)),
        false => call::read_deadline(headers, now)?,
    };
    let limits = shared.core.limits();
    let most = match dialect.is_connect() {
        true => limits.message,
        false => shared.most,
    };
    let source = match (query, dialect) {
        (Some(query), _) => Source::Given(query.message()?),
        (None, Dialect::GrpcWebText) => Source::Text,
        (None, Dialect::Unary) => Source::Whole,
        (None, _) => Source::Enveloped,
    };
    let asked = call::Asked::new(shared, route, codec, encoding, deadline, now);
    Ok(Asked {
        asked,
        source,
        most,
    })
}

/// The method that the path names.
fn find(shared: &Shared, dialect: Dialect, head: &Parts) -> Result<Route, Refused> {
    let refuse = |error| match dialect.is_connect() {
        true => Refused::Http(StatusCode::NOT_FOUND, error),
        false => Refused::Call(error),
    };
    let path = head.uri.path();
    let (service, name) = call::read_path(path).ok_or_else(|| {
        let words = format!("{path:?} is not the path of a method: /package.Service/Method");
        refuse(Error::not_implemented(id::SERVER, words))
    })?;
    shared.core.find_method(service, name).map_err(refuse)
}

type Written = (std::sync::Arc<dyn crate::codec::Codec>, HeaderValue);

fn of_get(shared: &Shared, query: &Query<'_>) -> Result<Written, Refused> {
    let encoding = query
        .encoding
        .as_deref()
        .ok_or_else(|| Error::bad_request(id::SERVER, "missing encoding parameter"))?;
    let named = match encoding {
        b"json" => written(shared, JSON),
        b"proto" => written(shared, PROTO),
        _ => None,
    };
    named.ok_or_else(|| {
        let name = String::from_utf8_lossy(encoding);
        unsupported(
            format!("messages are not read in the encoding {name}"),
            false,
        )
    })
}

fn of_post(
    shared: &Shared,
    dialect: Dialect,
    headers: &HeaderMap,
    streams: bool,
) -> Result<Written, Refused> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or("", |value| value.to_str().unwrap_or_default());
    let essence = essence(content_type);
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let named = match (dialect, streams) {
        (Dialect::Unary, false) if is(JSON) => written(shared, JSON),
        (Dialect::Unary, false) if is(PROTO) => written(shared, PROTO),
        (Dialect::Stream, true) if is(STREAM_JSON) => written(shared, STREAM_JSON),
        (Dialect::Stream, true) if is(STREAM_PROTO) => written(shared, STREAM_PROTO),
        _ => None,
    };
    let words = match named {
        Some(named) if is_utf8(content_type) => return Ok(named),
        Some(_) => format!("{content_type:?}: text is read in UTF-8 only"),
        // What a form may send from any page without being asked: never a call.
        None if is_form(essence) => format!(
            "{essence} is what forms send, and is not read here: \
             send the header Content-Type: application/json"
        ),
        None if essence.is_empty() => {
            "there is no content type: send the header Content-Type: application/json".to_owned()
        }
        None if streams => format!(
            "{essence} is not read here: the method streams, and is called with {STREAM_JSON}, \
             {STREAM_PROTO}, or gRPC's"
        ),
        None => format!("{essence} is not read here: {JSON}, {PROTO} and gRPC's are"),
    };
    Err(unsupported(words, streams))
}

fn of_grpc_web(shared: &Shared, headers: &HeaderMap, streams: bool) -> Result<Written, Refused> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .cloned()
        .unwrap_or(HeaderValue::from_static("application/grpc-web"));
    let essence = essence(content_type.to_str().unwrap_or_default());
    // Their codecs are gRPC's.
    let subtype = essence.split_once('+').map(|(_, subtype)| subtype);
    let grpc = match subtype {
        None => HeaderValue::from_static("application/grpc"),
        Some(subtype) => HeaderValue::try_from(format!("application/grpc+{subtype}"))
            .map_err(|_| unsupported(format!("{essence} is not read here"), streams))?,
    };
    let codec = content::codec(shared.core.codecs(), &grpc)?.clone();
    Ok((codec, content_type))
}

/// The codec of a content type of Connect's, which the answer has too.
fn written(shared: &Shared, content_type: &'static str) -> Option<Written> {
    let kit = Kit::of(shared);
    let codec = match content_type {
        JSON | STREAM_JSON => kit.json.clone()?,
        _ => kit.proto.clone()?,
    };
    Some((codec, HeaderValue::from_static(content_type)))
}

fn unsupported(words: String, streams: bool) -> Refused {
    let posts = match streams {
        true => STREAM_POSTS,
        false => UNARY_POSTS,
    };
    let error = Error::new(id::SERVER, words, 415)
        .with_metadata(Metadata::from_iter([("accept-post", posts)]));
    Refused::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
}

/// A content type without its parameters.
pub(super) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a content type names no other charset than UTF-8.
fn is_utf8(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// Whether a browser sends this content type for any page, without asking first.
fn is_form(essence: &str) -> bool {
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ]
    .iter()
    .any(|form| essence.eq_ignore_ascii_case(form))
}

fn check_version(headers: &HeaderMap, query: Option<&Query<'_>>) -> Result<()> {
    let header = headers.get(VERSION).map(HeaderValue::as_bytes);
    let in_query = query.and_then(|query| query.version.as_deref());
    let wrong = |what: &str, said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        Err(Error::bad_request(
            id::SERVER,
            format!("{what}, and it is {said:?}"),
        ))
    };
    match (header, in_query) {
        (Some(said), _) if said != b"1" => wrong("connect-protocol-version must be \"1\"", said),
        (_, Some(said)) if said != b"v1" => {
            wrong("the query's connect parameter must be \"v1\"", said)
        }
        _ => Ok(()),
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

fn read_encoding(name: Option<&[u8]>) -> Result<Encoding> {
    Encoding::read(name).ok_or_else(|| {
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        let reads = READS.to_str().unwrap_or_default().replace(',', ", ");
        let words = format!("unknown compression {name:?}: supported are {reads}");
        Error::not_implemented(id::SERVER, words)
    })
}

/// How long a caller of Connect waits.
fn read_timeout(headers: &HeaderMap) -> Result<Option<std::time::Duration>> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let digits = value.as_bytes();
    let wrong = || {
        let words = format!("connect-timeout-ms is at most ten digits, and it is {value:?}");
        Error::bad_request(id::SERVER, words)
    };
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let millis = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(Some(std::time::Duration::from_millis(millis)))
}

/// The user's part of a request's head.
pub(super) fn metadata(dialect: Dialect, headers: &HeaderMap) -> Metadata {
    match dialect.is_connect() {
        true => headers::read_those(headers, |name| {
            name != "user-agent"
                && (headers::is_reserved(name)
                    || name.starts_with("connect-")
                    || name == CONTENT_ENCODING.as_str())
        }),
        false => headers::read_request(headers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_milliseconds() {
        let read = |text: &str| {
            let value = HeaderValue::try_from(text).unwrap();
            read_timeout(&HeaderMap::from_iter([(TIMEOUT, value)]))
        };
        let millis = |millis| Some(std::time::Duration::from_millis(millis));
        assert_eq!(read("0").unwrap(), millis(0));
        assert_eq!(read("9999999999").unwrap(), millis(9_999_999_999));
        for wrong in ["", "12345678901", "-1", "+1", "1.5", "soon"] {
            assert_eq!(read(wrong).unwrap_err().code(), 400, "{wrong}");
        }
        assert_eq!(read_timeout(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn json_is_utf8() {
        for (content_type, right) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;Charset=\"UTF-8\"; x=y", true),
            ("application/json; charset=latin1", false),
            ("application/json; charset", false),
        ] {
            assert_eq!(is_utf8(content_type), right, "{content_type}");
        }
    }
}
