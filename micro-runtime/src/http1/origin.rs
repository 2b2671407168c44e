//! Whose pages may call: origins of the web, as `Origin` names them.

/// What stands for any origin in a list.
const ANY: &str = "*";

/// Whether `allowed` has `origin`, or has any.
pub(crate) fn is_allowed_origin(allowed: &[String], origin: &[u8]) -> bool {
    allowed
        .iter()
        .any(|known| known == ANY || known.as_bytes().eq_ignore_ascii_case(origin))
}

/// An origin as a person writes it, in the form that browsers send: `https://example.org`, with a
/// port where it is not the scheme's own. `None` where it is none.
pub(crate) fn read_origin(text: &str) -> Option<String> {
    let text = text.trim();
    if matches!(text, ANY | "null") {
        return Some(text.to_owned());
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    let (scheme, host) = text.split_once("://")?;
    let scheme_is_one = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_is_one = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_graphic())
        && !host.contains(['/', '?', '#', '@', '*', ',']);
    (scheme_is_one && host_is_one).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        for (text, read) in [
            ("https://example.org", Some("https://example.org")),
            (
                " HTTPS://Example.org:8443/ ",
                Some("https://example.org:8443"),
            ),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("moz-extension://0a", Some("moz-extension://0a")),
            ("*", Some("*")),
            ("null", Some("null")),
            ("example.org", None),
            ("https://example.org/path", None),
            ("https://*.example.org", None),
            ("https://user@example.org", None),
            ("https://", None),
            ("://x", None),
            ("", None),
        ] {
            assert_eq!(read_origin(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn an_origin_is_allowed_whole_or_not_at_all() {
        let allowed = ["https://example.org".to_owned()];
        assert!(is_allowed_origin(&allowed, b"https://example.org"));
        for other in [
            "http://example.org",
            "https://example.org:444",
            "https://example.org.evil.example",
            "https://evil.example",
            "null",
            "",
        ] {
            assert!(!is_allowed_origin(&allowed, other.as_bytes()), "{other}");
            assert!(is_allowed_origin(&["*".to_owned()], other.as_bytes()));
            assert!(!is_allowed_origin(&[], other.as_bytes()));
        }
    }
}
