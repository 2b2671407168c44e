//! Between the suite's headers, errors and packed messages, and ours.

use micro_runtime::codec::{JsonCodec, Types};
use micro_runtime::error::Detail;
use micro_runtime::{Error, Metadata};
use prost::Message;
use prost_types::Any;

use crate::connectrpc::conformance::v1::conformance_payload::RequestInfo;
use crate::connectrpc::conformance::v1::{
    self as suite, BidiStreamRequest, ClientStreamRequest, Code, Header, IdempotentUnaryRequest,
    ServerStreamRequest, UnaryRequest,
};

/// A message that the suite packs into a `google.protobuf.Any`.
pub(crate) trait Packed: Message + Default + Clone {
    /// Its full name.
    const NAME: &'static str;

    /// The message in an `Any`.
    fn pack(&self) -> Any {
        Any {
            type_url: format!("type.googleapis.com/{}", Self::NAME),
            value: self.encode_to_vec(),
        }
    }
}

macro_rules! packed {
    ($($message:ident $name:literal)*) => {
        $(impl Packed for $message {
            const NAME: &'static str = concat!("connectrpc.conformance.v1.", $name);
        })*
    };
}

packed! {
    BidiStreamRequest "BidiStreamRequest"
    ClientStreamRequest "ClientStreamRequest"
    IdempotentUnaryRequest "IdempotentUnaryRequest"
    RequestInfo "ConformancePayload.RequestInfo"
    ServerStreamRequest "ServerStreamRequest"
    UnaryRequest "UnaryRequest"
}

/// The codec of JSON named `content_type` that unfolds what is packed.
pub(crate) fn json(content_type: &'static str) -> JsonCodec {
    let types = Types::new()
        .with::<BidiStreamRequest>()
        .with::<ClientStreamRequest>()
        .with::<IdempotentUnaryRequest>()
        .with::<RequestInfo>()
        .with::<ServerStreamRequest>()
        .with::<UnaryRequest>();
    JsonCodec::canonical(content_type).with_types(types)
}

/// The pairs of the suite's headers. Several values of a name are one for us, with commas between.
pub(crate) fn pairs(headers: &[Header]) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|header| {
        let between = match header.name.to_ascii_lowercase().ends_with("-bin") {
            true => ",",
            false => ", ",
        };
        (header.name.clone(), header.value.join(between))
    })
}

/// The suite's headers of metadata.
pub(crate) fn headers(metadata: &Metadata) -> Vec<Header> {
    metadata
        .iter()
        .map(|(name, value)| Header {
            name: name.to_owned(),
            value: vec![value.to_owned()],
        })
        .collect()
}

/// The error that the suite wants a handler to fail with.
pub(crate) fn to_error(wanted: &suite::Error) -> Error {
    let words = wanted.message.clone().unwrap_or_default();
    let error = Error::internal("micro.conformance", words).with_grpc_code(wanted.code);
    wanted.details.iter().fold(error, |error, detail| {
        error.with_detail(Detail {
            type_url: detail.type_url.clone(),
            value: detail.value.clone().into(),
        })
    })
}

/// The error of a call as the suite knows it.
pub(crate) fn from_error(error: &Error) -> suite::Error {
    suite::Error {
        code: error
            .grpc_code()
            .unwrap_or_else(|| code(error.code()) as i32),
        message: Some(error.detail().to_owned()),
        details: error
            .details()
            .iter()
            .map(|detail| Any {
                type_url: detail.type_url.clone(),
                value: detail.value.to_vec(),
            })
            .collect(),
    }
}

/// The error of a call that its caller gave up: with us its future is dropped, and says nothing more.
pub(crate) fn canceled() -> suite::Error {
    suite::Error {
        code: Code::Canceled as i32,
        message: Some("the call was given up".to_owned()),
        details: Vec::new(),
    }
}

/// The code of an error of our own, which has none of gRPC's.
fn code(http: i32) -> Code {
    match http {
        400 => Code::InvalidArgument,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        500 => Code::Internal,
        _ => Code::Unknown,
    }
}
