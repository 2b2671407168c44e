//! Errors as Connect says them: a code's name, words and details in JSON, and a status of HTTP's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::super::super::headers;
use super::super::super::names::name;
use super::super::super::status::{self, Reader, code};
use crate::error::Error;
use crate::metadata::Metadata;

/// The flag of the frame that ends a stream.
const END: u8 = 0x02;

/// The status of HTTP's for a unary call that failed with a code of gRPC.
pub(super) fn http_status(code: i32) -> StatusCode {
    let status = match code {
        code::CANCELLED => 499,
        code::INVALID_ARGUMENT | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        code::PERMISSION_DENIED => 403,
        code::RESOURCE_EXHAUSTED => 429,
        code::UNIMPLEMENTED => 501,
        code::UNAVAILABLE => 503,
        16 => 401,
        _ => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Serialize)]
struct Wire<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<WireDetail>,
}

#[derive(Serialize)]
struct WireDetail {
    #[serde(rename = "type")]
    name: String,
    value: String,
}

impl<'a> Wire<'a> {
    fn of(error: &'a Error, reader: Reader) -> Self {
        let details = status::details(error, reader, usize::MAX)
            .into_iter()
            .map(|detail| WireDetail {
                // Connect names the type alone, without where its schema may be found.
                name: match detail.type_url.rsplit_once('/') {
                    Some((_, name)) => name.to_owned(),
                    None => detail.type_url,
                },
                value: STANDARD_NO_PAD.encode(&detail.value),
            })
            .collect();
        Self {
            code: name(status::grpc_code(error)),
            message: error.detail(),
            details,
        }
    }
}

/// The body of a unary call that failed.
pub(super) fn body(error: &Error, reader: Reader) -> Bytes {
    let wire = Wire::of(error, reader);
    serde_json::to_vec(&wire)
        .expect("text and lists are JSON")
        .into()
}

#[derive(Serialize)]
struct EndOfStream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wire<'a>>,
    #[serde(skip_serializing_if = "Values::is_empty")]
    metadata: Values,
}

/// Metadata with a list for each value, which stays one: who sent several has joined them.
struct Values(HeaderMap);

impl Values {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name.as_str(), &[String::from_utf8_lossy(value.as_bytes())])?;
        }
        map.end()
    }
}

/// The frame that ends a stream.
pub(super) fn end_of_stream(end: Result<&Metadata, &Error>, reader: Reader) -> Bytes {
    let mut metadata = HeaderMap::new();
    headers::write(end.unwrap_or_else(Error::metadata), &mut metadata);
    let said = EndOfStream {
        error: end.err().map(|error| Wire::of(error, reader)),
        metadata: Values(metadata),
    };
    let json = serde_json::to_vec(&said).expect("text and lists are JSON");
    let mut frame = BytesMut::with_capacity(json.len() + 5);
    frame.put_u8(END);
    // Far below 4 GiB: errors and metadata are bounded by memory long before.
    frame.put_u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&json);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Detail;

    #[test]
    fn an_error_is_json_with_details() {
        let error = Error::not_found("a.b", "no \"such\" thing")
            .with_detail(Detail {
                type_url: "type.googleapis.com/test.One".into(),
                value: vec![1, 2, 3, 4].into(),
            })
            .with_metadata(Metadata::from_iter([("Retry-After", "3")]));
        let json = r#"{"code":"not_found","message":"no \"such\" thing","details":[{"type":"test.One","value":"AQIDBA"}]}"#;
        assert_eq!(body(&error, Reader::Plain), json);
        let frame = end_of_stream(Err(&error), Reader::Plain);
        let said = format!(r#"{{"error":{json},"metadata":{{"retry-after":["3"]}}}}"#);
        assert_eq!(frame[..5], [2, 0, 0, 0, said.len() as u8]);
        assert_eq!(&frame[5..], said.as_bytes());
        assert_eq!(
            &end_of_stream(Ok(&Metadata::new()), Reader::Plain)[5..],
            b"{}"
        );
    }

    #[test]
    fn every_code_has_a_name_and_a_status() {
        let names: std::collections::BTreeSet<_> = (1..17).map(name).collect();
        assert_eq!(names.len(), 16);
        for (code, status) in [
            (1, 499),
            (3, 400),
            (4, 504),
            (5, 404),
            (8, 429),
            (12, 501),
            (99, 500),
        ] {
            assert_eq!(http_status(code), status, "{code}");
        }
    }
}
