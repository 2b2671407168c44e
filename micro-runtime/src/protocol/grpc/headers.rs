//! Metadata in heads and trailers, and what else stands there.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::debug;

use crate::error::{Error, Result, id};
use crate::metadata::{Metadata, Text};

pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(super) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Go Micro's own deadline.
pub(super) const GO_MICRO_TIMEOUT: HeaderName = HeaderName::from_static("timeout");
/// Go Micro's content type of the call; none but Go Micro's clients send it.
pub(super) const GO_MICRO_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-content-type");

/// Reads base64 with and without padding: senders of binary metadata do either.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a header belongs to the protocol or to one connection, and not to the user.
pub(super) fn is_reserved(name: &str) -> bool {
    const EXACT: [&str; 23] = [
        "accept-encoding",
        "connect-accept-encoding",
        "connect-content-encoding",
        "connect-protocol-version",
        "connect-timeout-ms",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "timeout",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-content-type",
        "x-grpc-web",
        "micro-unprocessed",
    ];
    name.starts_with("grpc-") || name.starts_with(':') || EXACT.contains(&name)
}

/// The user's part of `headers`. Several values of one name are one, with commas between them. What
/// is not text is left out; binary values (`-bin`) are base64 and stay so.
pub(super) fn read(headers: &HeaderMap) -> Metadata {
    read_those(headers, is_reserved)
}

/// What a server's handler sees: also who the caller says it is.
pub(super) fn read_request(headers: &HeaderMap) -> Metadata {
    read_those(headers, |name| is_reserved(name) && name != "user-agent")
}

/// The pairs but for those whose name is `left_out`, as slices of one buffer.
pub(super) fn read_those(headers: &HeaderMap, left_out: fn(&str) -> bool) -> Metadata {
    let names = || headers.keys().filter(|name| !left_out(name.as_str()));
    let (mut pairs, mut size) = (0, 0);
    for name in names() {
        pairs += 1;
        size += name.as_str().len();
        size += headers
            .get_all(name)
            .iter()
            .map(|value| value.len() + BETWEEN.len())
            .sum::<usize>();
    }
    if pairs == 0 {
        return Metadata::new();
    }
    let mut all = Vec::with_capacity(size);
    for name in names() {
        all.extend_from_slice(name.as_str().as_bytes());
        append_values(headers, name, &mut all);
    }
    let all = Bytes::from(all);
    let mut metadata = Metadata::with_capacity(pairs);
    let mut rest = all;
    let mut value = Vec::new();
    for name in names() {
        let key = rest.split_to(name.as_str().len().min(rest.len()));
        let mut values = headers.get_all(name).iter();
        let length = match (values.next(), values.next()) {
            (Some(one), None) => one.len(),
            _ => {
                value.clear();
                append_values(headers, name, &mut value);
                value.len()
            }
        };
        let value = rest.split_to(length.min(rest.len()));
        if let (Ok(key), Ok(value)) = (Text::from_utf8(key), Text::from_utf8(value)) {
            metadata.set_default(key, value);
        }
    }
    metadata
}

/// What stands between the values of a name that has several.
const BETWEEN: &[u8] = b", ";

fn append_values(headers: &HeaderMap, name: &HeaderName, all: &mut Vec<u8>) {
    let between = match name.as_str().ends_with("-bin") {
        true => b",",
        false => BETWEEN,
    };
    for (number, value) in headers.get_all(name).iter().enumerate() {
        if number > 0 {
            all.extend_from_slice(between);
        }
        all.extend_from_slice(value.as_bytes());
    }
}

/// Adds `metadata` to `headers`. What no header can say is left out.
pub(super) fn write(metadata: &Metadata, headers: &mut HeaderMap) {
    for (key, value) in metadata.iter_text() {
        if let Err(error) = write_one(key, value, headers) {
            debug!(key = &**key, %error, "metadata that gRPC cannot carry is left out");
        }
    }
}

/// As [`write`], for a caller who is to know what cannot be sent.
///
/// # Errors
/// 400 where a key or a value is none of a header's.
pub(super) fn write_all(metadata: &Metadata, headers: &mut HeaderMap) -> Result<()> {
    metadata
        .iter_text()
        .try_for_each(|(key, value)| write_one(key, value, headers))
}

fn write_one(key: &Text, value: &Text, headers: &mut HeaderMap) -> Result<()> {
    let cannot = |what: &str| {
        Error::bad_request(
            id::CLIENT,
            format!("metadata {key}: its {what} cannot be a header's"),
        )
    };
    // Keys ignore case, and headers of HTTP/2 are in lower case.
    let name = HeaderName::from_bytes(key.as_bytes()).map_err(|_| cannot("key"))?;
    if is_reserved(name.as_str()) {
        return Ok(());
    }
    let bytes = value.clone().into_bytes();
    let value = HeaderValue::from_maybe_shared(bytes).map_err(|_| cannot("value"))?;
    headers.insert(name, value);
    Ok(())
}

/// Whether the sender of `headers` reads messages in `encoding`.
pub(super) fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|name| name.trim_ascii() == encoding.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_becomes_headers_and_comes_back() {
        let sent = Metadata::from_iter([
            ("Tenant", "blue"),
            ("empty", ""),
            ("word", "é"),
            ("trace-bin", "AAECAw"),
            ("grpc-timeout", "1n"),
            ("Content-Type", "text/html"),
            ("Connection", "close"),
        ]);
        let mut headers = HeaderMap::new();
        write_all(&sent, &mut headers).unwrap();
        let read = read(&headers);
        let mut pairs: Vec<_> = read.iter().collect();
        pairs.sort_unstable();
        assert_eq!(
            pairs,
            [
                ("empty", ""),
                ("tenant", "blue"),
                ("trace-bin", "AAECAw"),
                ("word", "é")
            ]
        );
    }

    #[test]
    fn what_no_header_can_say_is_told_or_left_out() {
        for pair in [("a key", "v"), ("", "v"), ("k", "two\nlines"), ("k", "\0")] {
            let metadata = Metadata::from_iter([pair]);
            let mut headers = HeaderMap::new();
            assert_eq!(write_all(&metadata, &mut headers).unwrap_err().code(), 400);
            write(&metadata, &mut headers);
            assert!(headers.is_empty(), "{pair:?}");
        }
    }

    #[test]
    fn values_of_one_name_are_joined() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b-bin", "AA"), ("a", "2"), ("b-bin", "AQ")] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let read = read(&headers);
        assert_eq!(
            (read.get("a"), read.get("b-bin")),
            (Some("1, 2"), Some("AA,AQ"))
        );
    }

    #[test]
    fn what_a_sender_reads_is_found_among_its_encodings() {
        let accepts = |value| {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            super::accepts(&headers, "gzip")
        };
        assert!(accepts("identity,deflate, gzip"));
        assert!(accepts("gzip"));
        assert!(!accepts("identity, gzippy"));
        assert!(!super::accepts(&HeaderMap::new(), "gzip"));
    }
}
