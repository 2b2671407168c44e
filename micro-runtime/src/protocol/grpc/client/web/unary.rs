//! Connect's unary calls: the body is the message.

use std::future::poll_fn;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::super::super::headers;
use super::super::super::message::{Broken, Encoding, Messages};
use super::super::super::status::{self, code};
use super::super::call::{body as body_of, failed};
use super::super::link::Failed;
use super::How;
use super::begin::not_asked_for;
use super::head::Heading;
use super::link::Link;
use super::wrong::{self, Wrong};
use crate::call::{Body, Reply, Request, dial};
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::protocol::AttemptLimits;
use crate::protocol::exchange::Inbound;

/// How long the body of an error may be, however long or short messages have to be.
const ERROR: usize = 1 << 20;
/// What Connect puts before the names of trailers in the head of a unary answer.
const TRAILER: &str = "trailer-";

/// Makes the call.
pub(super) async fn call(
    how: &How,
    link: &Link,
    heading: Heading<'_>,
    request: &Request,
    limits: AttemptLimits,
) -> Result<Reply, Failed> {
    let message = body_of(request)?;
    let (message, encoding) = match how.compress {
        Some(from) if message.len() >= from => (how.compression.pack(&message)?, how.encoding()),
        _ => (message, Encoding::Identity),
    };
    let (head, message) = match heading.of_get(&message, encoding)? {
        Some(head) => (head, Bytes::new()),
        None => (heading.of_post(encoding)?, message),
    };
    let opened = link.open(head, Some(message.into()), limits.dial_timeout);
    let (mut answered, _out) = dial(&request.dialling, opened).await?;
    let (head, input) = poll_fn(|task| answered.poll(task))
        .await
        .map_err(|fault| failed(&fault))?;
    let mut reply = read(head, input, heading.subtype(), link.most).await?;
    reply.peer = Some(link.peer.clone());
    Ok(reply)
}

async fn read(head: Parts, input: Inbound, subtype: &str, most: usize) -> Result<Reply> {
    let Parts {
        status, headers, ..
    } = head;
    if status != StatusCode::OK {
        return Err(read_error(status, &headers, input).await);
    }
    check_content_type(&headers, subtype)?;
    let message = body(&headers, input, most).await?;
    let (metadata, trailers) = split(headers::read(&headers));
    let mut reply = Reply::new(Body::One(message));
    reply.metadata = metadata;
    reply.trailers = trailers;
    Ok(reply)
}

async fn read_error(status: StatusCode, headers: &HeaderMap, input: Inbound) -> Error {
    let told = match media_type(headers) {
        Some(b"application/json") => body(headers, input, ERROR).await.ok(),
        _ => None,
    };
    let told = told.and_then(|body| serde_json::from_slice::<Option<Wrong>>(&body).ok());
    let Some(wrong) = told.flatten() else {
        return wrong::of_status(status, headers);
    };
    let code = status::of_http_status(status.as_u16());
    let error = wrong.into_error(code, &status::words_of(status));
    let (mut metadata, trailers) = split(headers::read(headers));
    metadata.merge(&trailers);
    wrong::marked(error.with_metadata(metadata), headers)
}

/// The content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let name = value.split(|byte| *byte == b';').next()?;
    Some(name.trim_ascii())
}

fn check_content_type(headers: &HeaderMap, subtype: &str) -> Result<()> {
    let name = media_type(headers).unwrap_or_default();
    let given = String::from_utf8_lossy(name);
    match name.strip_prefix(b"application/") {
        Some(name) if name == subtype.as_bytes() => Ok(()),
        Some(_) => Err(status::local(
            code::INTERNAL,
            format!("the answer is in {given:?}, which was not asked for"),
        )),
        None => Err(status::local(
            code::UNKNOWN,
            format!("the server's answer is not Connect's: its content type is {given:?}"),
        )),
    }
}

/// The whole body, decompressed.
async fn body(headers: &HeaderMap, mut input: Inbound, most: usize) -> Result<Bytes> {
    let name = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
    let encoding = Encoding::read(name).ok_or_else(|| not_asked_for(name.unwrap_or_default()))?;
    let mut messages = Messages::whole(encoding, most);
    match poll_fn(|task| messages.poll_next(&mut input, task)).await {
        Ok(body) => Ok(body.unwrap_or_default()),
        Err(Broken::Message(error)) => Err(error),
        Err(Broken::Stream(fault)) => Err(failed(&fault)),
    }
}

/// The pairs of a head, and apart from them those that are trailers.
fn split(all: Metadata) -> (Metadata, Metadata) {
    let (mut metadata, mut trailers) = (Metadata::new(), Metadata::new());
    for (key, value) in all.iter_text() {
        match key.as_str().strip_prefix(TRAILER) {
            Some(key) => trailers.set(key.to_owned(), value.clone()),
            None => metadata.set(key.clone(), value.clone()),
        }
    }
    (metadata, trailers)
}
