//! Connect's errors: an object of JSON.

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::super::super::headers::{self, LENIENT};
use super::super::super::{names, status};
use crate::error::why::Cause;
use crate::error::{Detail, Error};

/// An error as Connect writes it. Fields that are not known are passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wrong {
    code: Option<String>,
    message: Option<String>,
    details: Option<Vec<WrongDetail>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrongDetail {
    #[serde(rename = "type")]
    name: String,
    value: String,
}

impl Wrong {
    /// The error, with `code` where it names none that is known, and `words` where it has none.
    pub(super) fn into_error(self, code: i32, words: &str) -> Error {
        let code = self
            .code
            .as_deref()
            .and_then(names::of_name)
            .unwrap_or(code);
        let words = self.message.unwrap_or_else(|| words.to_owned());
        let details = self.details.unwrap_or_default().into_iter();
        status::of_peer(code, words, details.filter_map(WrongDetail::into_detail))
    }
}

impl WrongDetail {
    fn into_detail(self) -> Option<Detail> {
        let value = LENIENT.decode(&self.value).ok()?;
        let type_url = match self.name.contains('/') {
            true => self.name,
            false => format!("type.googleapis.com/{}", self.name),
        };
        Some(Detail {
            type_url,
            value: Bytes::from(value),
        })
    }
}

/// The error of an answer that is none of the dialect's.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> Error {
    let error = status::of_http(status).with_metadata(headers::read(headers));
    marked(error, headers)
}

/// The error, as of a call that has certainly reached no handler where `headers` say so.
pub(super) fn marked(error: Error, headers: &HeaderMap) -> Error {
    match headers.contains_key(status::UNPROCESSED) {
        true => error.unprocessed().caused_by(Cause::Refused),
        false => error,
    }
}
