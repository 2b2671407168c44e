//! The query of a Connect GET: the message and how it is written.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::super::super::status;
use crate::error::{Error, Result, id};

/// base64 for addresses, with padding or without.
const URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The fields that Connect has; of those that stand twice the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) version: Option<Cow<'a, [u8]>>,
    pub(super) encoding: Option<Cow<'a, [u8]>>,
    pub(super) compression: Option<Cow<'a, [u8]>>,
    base64: Option<Cow<'a, [u8]>>,
    message: Option<Cow<'a, [u8]>>,
}

impl<'a> Query<'a> {
    pub(super) fn read(query: &'a str) -> Self {
        let mut read = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "connect" => &mut read.version,
                "encoding" => &mut read.encoding,
                "compression" => &mut read.compression,
                "base64" => &mut read.base64,
                "message" => &mut read.message,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(unescape(value));
            }
        }
        read
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// 400 where there is none, or it is not base64 and says that it is.
    pub(super) fn message(&self) -> Result<Bytes> {
        let wrong = |words| Error::bad_request(id::SERVER, words);
        let text = self
            .message
            .as_deref()
            .ok_or_else(|| wrong("missing message parameter"))?;
        match self.base64.as_deref() {
            Some(b"1") => URL
                .decode(text)
                .map(Bytes::from)
                .map_err(|_| wrong("the message parameter is not base64 for URLs")),
            _ => Ok(Bytes::copy_from_slice(text)),
        }
    }
}

/// `value` without escapes; what is none stays as it is.
fn unescape(value: &str) -> Cow<'_, [u8]> {
    let bytes = value.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    // A plus sign of its own is written as an escape.
    let spaced: Vec<u8> = bytes
        .iter()
        .map(|byte| match byte {
            b'+' => b' ',
            byte => *byte,
        })
        .collect();
    Cow::Owned(status::unescape(&spaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let query = Query::read(
            "connect=v1&encoding=json&x=y&message=%7B%22a+b%22%3A1%7d&encoding=proto&%zz&base64",
        );
        assert_eq!(query.version.as_deref(), Some(&b"v1"[..]));
        assert_eq!(query.encoding.as_deref(), Some(&b"json"[..]));
        assert_eq!(query.compression, None);
        assert_eq!(query.message().unwrap(), &b"{\"a b\":1}"[..]);
        assert_eq!(Query::read("").message().unwrap_err().code(), 400);
        assert_eq!(Query::read("message=%4").message().unwrap(), &b"%4"[..]);
    }

    #[test]
    fn base64_for_urls_is_read_with_padding_and_without() {
        for text in ["_-8", "_-8=", "_-8%3D"] {
            let text = format!("base64=1&message={text}");
            assert_eq!(Query::read(&text).message().unwrap(), &b"\xff\xef"[..]);
        }
        let wrong = Query::read("base64=1&message=%20");
        assert_eq!(wrong.message().unwrap_err().code(), 400);
    }
}
