//! How a call ends that tells it in the frame behind the last message.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::super::super::headers;
use super::super::super::status::{self, code};
use super::Dialect;
use super::wrong::Wrong;
use crate::error::Result;
use crate::metadata::Metadata;

/// How the end of an answer is told.
#[derive(Clone, Copy)]
pub(in crate::protocol::grpc) enum Closing {
    /// As an object of JSON.
    Connect {
        /// Whether the head says that an error is of a call that has reached no handler.
        unprocessed: bool,
    },
    /// As trailers in text; or in the head, where nothing follows it.
    GrpcWeb,
}

/// The end of Connect's streams.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EndStream {
    error: Option<Wrong>,
    metadata: Option<BTreeMap<String, Vec<String>>>,
}

impl Closing {
    /// Of an answer with this head.
    pub(super) fn of(dialect: Dialect, headers: &HeaderMap) -> Self {
        match dialect {
            Dialect::Connect => Self::Connect {
                unprocessed: headers.contains_key(status::UNPROCESSED),
            },
            Dialect::GrpcWeb => Self::GrpcWeb,
        }
    }

    /// The flag of the frame.
    pub(super) fn flag(self) -> u8 {
        match self {
            Self::Connect { .. } => 0x02,
            Self::GrpcWeb => 0x80,
        }
    }

    /// What `frame` says of the end, where there was one, and the trailers. An error carries the
    /// head's metadata too: who gets it sees nothing else of the answer.
    pub(in crate::protocol::grpc) fn read(
        self,
        frame: Option<&Bytes>,
        told: Option<Result<()>>,
        metadata: &Metadata,
    ) -> (Result<()>, Metadata) {
        let (end, trailers) = match (self, frame, told) {
            (Self::Connect { unprocessed }, Some(frame), _) => read_json(frame, unprocessed),
            (Self::GrpcWeb, Some(frame), _) => read_trailers(frame),
            (_, None, Some(end)) => (end, metadata.clone()),
            (_, None, None) => {
                let words = "the call ended without a status";
                (Err(status::local(code::INTERNAL, words)), Metadata::new())
            }
        };
        let end = end.map_err(|error| {
            let mut all = metadata.clone();
            all.merge(&trailers);
            error.with_metadata(all)
        });
        (end, trailers)
    }
}

fn read_json(frame: &[u8], unprocessed: bool) -> (Result<()>, Metadata) {
    let end: EndStream = match serde_json::from_slice(frame) {
        Ok(end) => end,
        Err(error) => {
            let words = format!("the end of the stream is not Connect's: {error}");
            return (Err(status::local(code::INTERNAL, words)), Metadata::new());
        }
    };
    let mut map = HeaderMap::new();
    for (name, values) in end.metadata.unwrap_or_default() {
        for value in values {
            append(&mut map, name.as_bytes(), value.as_bytes());
        }
    }
    let end = match end.error {
        None => Ok(()),
        Some(wrong) => {
            let error = wrong.into_error(code::UNKNOWN, "");
            Err(match unprocessed {
                true => error.unprocessed(),
                false => error,
            })
        }
    };
    (end, headers::read(&map))
}

fn read_trailers(frame: &[u8]) -> (Result<()>, Metadata) {
    let mut map = HeaderMap::new();
    for line in frame.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            append(&mut map, name.trim_ascii(), value.trim_ascii());
        }
    }
    let end = status::read(&map).unwrap_or_else(|| {
        let words = "the call ended with trailers and no status in them";
        Err(status::local(code::UNKNOWN, words))
    });
    (end, headers::read(&map))
}

/// Adds a field, where it can be one: a peer that sends another has no say in that.
fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        let _ = map.try_append(name, value);
    }
}
