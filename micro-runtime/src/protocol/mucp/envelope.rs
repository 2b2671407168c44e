//! What some content types put around a message: proto-rpc, json-rpc, and gRPC's frame.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{JSON_RPC, PROTO_RPC};
use crate::error::{Error, Result, write_go_json_string};

/// The envelope of a content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// None: the body is the message.
    Bare,
    /// Two records, each after its length: a header in protobuf, and the message.
    ProtoRpc,
    /// JSON-RPC 1.0.
    JsonRpc,
    /// gRPC's five bytes before the message.
    Grpc,
}

/// An envelope's own words, and the message in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// The method of a request.
    pub(super) method: String,
    /// The id of a request.
    pub(super) id: String,
    /// The error of a reply.
    pub(super) error: String,
    /// The message.
    pub(super) message: Bytes,
}

impl Opened {
    fn bare(message: Bytes) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }
}

/// proto-rpc's header of a request.
#[derive(Clone, PartialEq, prost::Message)]
struct RequestHeader {
    #[prost(string, tag = "1")]
    service_method: String,
    #[prost(fixed64, tag = "2")]
    seq: u64,
}

/// proto-rpc's header of a reply.
#[derive(Clone, PartialEq, prost::Message)]
struct ReplyHeader {
    #[prost(string, tag = "1")]
    service_method: String,
    #[prost(fixed64, tag = "2")]
    seq: u64,
    #[prost(string, tag = "3")]
    error: String,
}

#[derive(Deserialize)]
struct JsonRequest<'a> {
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonReply<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
}

impl Envelope {
    /// The envelope that `content_type` has.
    pub(super) fn of(content_type: &str) -> Self {
        match content_type {
            PROTO_RPC => Self::ProtoRpc,
            JSON_RPC => Self::JsonRpc,
            "application/grpc" | "application/grpc+proto" | "application/grpc+json" => Self::Grpc,
            _ => Self::Bare,
        }
    }

    /// Opens a request.
    ///
    /// # Errors
    /// Words alone: Go Micro's server puts its own around them.
    pub(super) fn open_request(self, body: Bytes) -> Result<Opened> {
        match self {
            Self::Bare => Ok(Opened::bare(body)),
            Self::ProtoRpc => {
                let (header, message) = open_records(body)?;
                let header = RequestHeader::decode(header).map_err(|_| invalid_header())?;
                Ok(Opened {
                    method: header.service_method,
                    id: (header.seq as i64).to_string(),
                    error: String::new(),
                    message,
                })
            }
            Self::JsonRpc => {
                let text = text(&body)?;
                let request: JsonRequest<'_> = serde_json::from_str(text).map_err(not_json)?;
                let first = match request.params {
                    None => None,
                    Some(params) => first_of(params)?,
                };
                Ok(Opened {
                    method: request.method.into_owned(),
                    id: request.id.map_or_else(String::new, id_text),
                    error: String::new(),
                    message: part(&body, first),
                })
            }
            Self::Grpc => open_frame(body),
        }
    }

    /// Opens a reply.
    ///
    /// # Errors
    /// Words alone.
    pub(super) fn open_reply(self, body: Bytes) -> Result<Opened> {
        match self {
            Self::Bare => Ok(Opened::bare(body)),
            Self::ProtoRpc => {
                let (header, message) = open_records(body)?;
                let header = ReplyHeader::decode(header).map_err(|_| invalid_header())?;
                Ok(Opened {
                    method: header.service_method,
                    id: (header.seq as i64).to_string(),
                    error: header.error,
                    message,
                })
            }
            Self::JsonRpc => {
                let text = text(&body)?;
                let reply: JsonReply<'_> = serde_json::from_str(text).map_err(not_json)?;
                Ok(Opened {
                    error: reply.error.unwrap_or_default().into_owned(),
                    message: part(&body, reply.result.filter(|result| result.get() != "null")),
                    ..Opened::default()
                })
            }
            Self::Grpc => open_frame(body),
        }
    }

    /// Puts a request's envelope around `message`.
    pub(super) fn seal_request(self, method: &str, id: &str, message: Bytes) -> Bytes {
        match self {
            Self::Bare => message,
            Self::ProtoRpc => {
                let header = RequestHeader {
                    service_method: method.to_owned(),
                    seq: seq(id),
                };
                records(&header, &message)
            }
            Self::JsonRpc => {
                let mut head = String::from("{\"params\":[");
                let mut end = String::from("],\"id\":");
                write_go_json_string(id, &mut end);
                end.push_str(",\"method\":");
                write_go_json_string(method, &mut end);
                end.push_str("}\n");
                if message.trim_ascii().is_empty() {
                    head.push_str("{}");
                }
                around(&head, &message, &end)
            }
            Self::Grpc => frame(message),
        }
    }

    /// Puts a reply's envelope around `message`. `method` is said on streams alone, as in Go.
    pub(super) fn seal_reply(self, method: &str, id: &str, message: Bytes) -> Bytes {
        match self {
            Self::Bare => message,
            Self::ProtoRpc => {
                let header = ReplyHeader {
                    service_method: method.to_owned(),
                    seq: seq(id),
                    error: String::new(),
                };
                records(&header, &message)
            }
            Self::JsonRpc => {
                let mut head = String::from("{\"id\":");
                write_go_json_string(id, &mut head);
                head.push_str(",\"result\":");
                if message.trim_ascii().is_empty() {
                    head.push_str("null");
                }
                around(&head, &message, ",\"error\":null}\n")
            }
            Self::Grpc => frame(message),
        }
    }

    /// The body of a reply that is an error with these words, or the end of a stream; empty where
    /// the envelope has no place for one. A Go client looks for it there.
    pub(super) fn seal_error(self, id: &str, words: &str) -> Bytes {
        match self {
            Self::Bare | Self::Grpc => Bytes::new(),
            Self::ProtoRpc => {
                let header = ReplyHeader {
                    service_method: String::new(),
                    seq: seq(id),
                    error: words.to_owned(),
                };
                records(&header, &[])
            }
            Self::JsonRpc => {
                let mut body = String::from("{\"id\":");
                write_go_json_string(id, &mut body);
                body.push_str(",\"result\":null,\"error\":");
                write_go_json_string(words, &mut body);
                body.push_str("}\n");
                body.into()
            }
        }
    }
}

/// An id as proto-rpc carries it: a signed decimal, or 0.
fn seq(id: &str) -> u64 {
    id.parse::<i64>().unwrap_or_default() as u64
}

fn records(header: &impl prost::Message, message: &[u8]) -> Bytes {
    let header_len = header.encoded_len();
    let mut out = BytesMut::with_capacity(8 + header_len + message.len());
    put_length(&mut out, header_len);
    header.encode_raw(&mut out);
    put_length(&mut out, message.len());
    out.extend_from_slice(message);
    out.freeze()
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

fn open_records(mut body: Bytes) -> Result<(Bytes, Bytes)> {
    // Go's open of a stream and its end may come without any record.
    if body.is_empty() {
        return Ok((Bytes::new(), Bytes::new()));
    }
    let header = take_record(&mut body)?;
    let message = take_record(&mut body)?;
    Ok((header, message))
}

fn take_record(body: &mut Bytes) -> Result<Bytes> {
    let short = || Error::plain("unexpected EOF");
    let length = body.try_get_u32().map_err(|_| short())? as usize;
    if length > body.len() {
        return Err(short());
    }
    Ok(body.split_to(length))
}

fn invalid_header() -> Error {
    Error::plain("proto: cannot parse invalid wire-format data")
}

fn frame(message: Bytes) -> Bytes {
    // As in Go, a message without bytes has no frame either.
    if message.is_empty() {
        return message;
    }
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    put_length(&mut out, message.len());
    out.extend_from_slice(&message);
    out.freeze()
}

fn open_frame(mut body: Bytes) -> Result<Opened> {
    if body.is_empty() {
        return Ok(Opened::default());
    }
    let short = || Error::plain("unexpected EOF");
    body.try_get_u8().map_err(|_| short())?;
    Ok(Opened::bare(take_record(&mut body)?))
}

fn text(body: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(body).map_err(|_| Error::plain("invalid UTF-8 in the JSON"))?;
    if text.trim_ascii().is_empty() {
        return Err(Error::plain("EOF"));
    }
    // A list of the members' values would be taken as well.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Error::plain("the envelope is no JSON object"));
    }
    Ok(text)
}

fn not_json(error: serde_json::Error) -> Error {
    // Go's words for the one failure that tools look for.
    if error.is_eof() {
        return Error::plain("unexpected EOF");
    }
    Error::plain(error.to_string())
}

/// The first of `params`, which is a list or null.
fn first_of(params: &RawValue) -> Result<Option<&RawValue>> {
    struct First;
    impl<'de> serde::de::Visitor<'de> for First {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of one message")
        }

        fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut list: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let first = list.next_element()?;
            while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(params.get());
    serde::Deserializer::deserialize_any(&mut reader, First).map_err(not_json)
}

/// A request's id as text: a string's content, else the JSON of it.
fn id_text(id: &RawValue) -> String {
    serde_json::from_str(id.get()).unwrap_or_else(|_| id.get().to_owned())
}

/// The bytes of `value`, which is a part of `body`, shared.
fn part(body: &Bytes, value: Option<&RawValue>) -> Bytes {
    value.map_or_else(Bytes::new, |value| body.slice_ref(value.get().as_bytes()))
}

fn around(head: &str, message: &Bytes, end: &str) -> Bytes {
    let message = message.trim_ascii();
    let mut out = BytesMut::with_capacity(head.len() + message.len() + end.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(message);
    let _ = out.write_str(end);
    out.freeze()
}
