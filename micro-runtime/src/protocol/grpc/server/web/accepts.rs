//! `Accept-Encoding` and its likes.

use http::{HeaderMap, HeaderName};

/// Whether a caller who sent `headers` reads `encoding`, which the field `name` says.
pub(super) fn accepts(headers: &HeaderMap, name: &HeaderName, encoding: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|one| {
            let mut parts = one.split(|byte| *byte == b';');
            let named = parts
                .next()
                .is_some_and(|part| part.trim_ascii().eq_ignore_ascii_case(encoding.as_bytes()));
            named && !parts.any(is_zero)
        })
}

/// Whether a parameter is a weight of nothing: `q=0`, `q=0.0`.
fn is_zero(parameter: &[u8]) -> bool {
    let parameter = parameter.trim_ascii();
    let weight = parameter
        .strip_prefix(b"q=")
        .or_else(|| parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::ACCEPT_ENCODING;

    #[test]
    fn gzip_counts_unless_it_weighs_nothing() {
        for (value, reads) in [
            ("gzip", true),
            ("br, GZIP ; q=0.5", true),
            ("identity,gzip;q=1.0", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzippy, identity", false),
            ("", false),
        ] {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(
                accepts(&headers, &ACCEPT_ENCODING, "gzip"),
                reads,
                "{value}"
            );
        }
        assert!(!accepts(&HeaderMap::new(), &ACCEPT_ENCODING, "gzip"));
    }
}
