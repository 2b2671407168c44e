//! Content types: gRPC's subtypes, and the codecs behind them.

use std::sync::Arc;

use http::HeaderValue;

use crate::codec::{Codec, Codecs};
use crate::error::{Error, Result, id};

const GRPC: &str = "application/grpc";

/// Whether `content_type` is gRPC's, of whatever subtype; not gRPC-Web's.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(GRPC.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The codec of a call with this content type.
///
/// # Errors
/// 501 where there is none.
pub(super) fn codec<'a>(
    codecs: &'a Codecs,
    content_type: &HeaderValue,
) -> Result<&'a Arc<dyn Codec>> {
    let whole = content_type.to_str().unwrap_or_default();
    let name = whole.split(';').next().unwrap_or_default().trim_end();
    codecs
        .get(name)
        .or_else(|| match name {
            "application/grpc+bytes" => codecs.get("application/octet-stream"),
            _ => None,
        })
        .ok_or_else(|| {
            let words = format!("unsupported Content-Type: {whole}");
            Error::not_implemented(id::SERVER, words)
        })
}

/// The content type of gRPC for a call whose own is `content_type`, as Go Micro's client chooses.
///
/// # Errors
/// 500 where gRPC has none for it.
pub(super) fn of_call(content_type: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::from_static(match content_type {
        "application/grpc"
        | "application/grpc+proto"
        | "application/protobuf"
        | "application/proto"
        | "application/proto-rpc"
        | "application/octet-stream" => GRPC,
        "application/grpc+json" | "application/json" | "application/json-rpc" => {
            "application/grpc+json"
        }
        other => {
            if is_grpc(other.as_bytes())
                && let Ok(value) = HeaderValue::from_str(other)
            {
                return Ok(value);
            }
            let words = format!("unsupported Content-Type: {other}");
            return Err(Error::internal(id::CLIENT, words).unprocessed());
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_its_neighbours() {
        for ours in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;v=1",
        ] {
            assert!(is_grpc(ours.as_bytes()), "{ours}");
        }
        for other in [
            "application/grpc-web",
            "application/grpcx",
            "application/json",
            "",
        ] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn content_types_find_their_codecs() {
        let codecs = Codecs::server();
        let found = |name| {
            codec(&codecs, &HeaderValue::from_static(name)).map(|codec| codec.content_type())
        };
        assert_eq!(found("application/grpc").unwrap(), "application/grpc");
        assert_eq!(
            found("application/grpc+proto").unwrap(),
            "application/grpc+proto"
        );
        assert_eq!(
            found("application/grpc+bytes").unwrap(),
            "application/octet-stream"
        );
        assert_eq!(
            found("application/grpc+proto; charset=utf-8").unwrap(),
            "application/grpc+proto"
        );
        assert_eq!(found("application/grpc+thrift").unwrap_err().code(), 501);
        assert_eq!(
            of_call("application/json").unwrap(),
            "application/grpc+json"
        );
        assert_eq!(of_call("text/html").unwrap_err().code(), 500);
    }
}
