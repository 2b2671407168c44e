//! The names of headers, content types and words that Go Micro's peers exchange.

use crate::metadata::Text;

/// The end of a stream, as the value of `Micro-Error`.
pub(super) const EOS: &str = "EOS";

/// Ours: with it a client that opens a stream asks whether the server always ends its streams. The
/// value is that of `Micro-Stream`, a random number, since a Go handler passes headers on to the
/// calls that it makes. A server of ours answers at once with [`ENDS_OPEN`] and no message.
///
/// Go Micro's server sends nothing once it has read the client's end, so its silence says nothing;
/// and it echoes what it does not know, so only the other value is an answer.
pub(super) const STREAM_ENDS: &str = "Micro-Stream-Ends";
pub(super) const ENDS_OPEN: &str = "open";

/// Ours: in an error's reply it says that the call has reached no handler, so that it may be sent to
/// another node. The value is the call's `Micro-Id`, since Go's server echoes what it does not know.
pub(super) const UNPROCESSED: &str = "Micro-Unprocessed";

pub(super) const USER_AGENT: Text =
    Text::from_static(concat!("micro-rust/", env!("CARGO_PKG_VERSION")));

pub(super) const PROTOBUF: &str = "application/protobuf";
pub(super) const PROTO_RPC: &str = "application/proto-rpc";
pub(super) const JSON: &str = "application/json";
pub(super) const JSON_RPC: &str = "application/json-rpc";
pub(super) const OCTET_STREAM: &str = "application/octet-stream";
pub(super) const TEXT_PLAIN: &str = "text/plain";

/// The longest text of an error that is sent: its header must fit into any peer's bound.
const LONGEST_ERROR: usize = 16 * 1024;

/// The words of `error` as the value of `Micro-Error`.
///
/// As in Go, line ends become blanks and the ends are trimmed; other control characters, which no
/// strict parser takes, become blanks too. An error never looks like success or the end of a stream.
pub(super) fn error_text(error: &crate::Error) -> String {
    let mut wire = error.to_wire();
    if wire.len() > LONGEST_ERROR {
        let detail = error.detail();
        let mut end = detail.len().min(LONGEST_ERROR / 8);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        let short = detail.get(..end).unwrap_or_default().to_owned() + " …";
        let id: String = error.id().chars().take(256).collect();
        wire = crate::Error::new(id, short, error.code()).to_wire();
    }
    if wire.bytes().any(|byte| byte.is_ascii_control()) {
        wire = wire
            .chars()
            .map(|c| if c.is_ascii_control() { ' ' } else { c })
            .collect();
    }
    let text = wire.trim();
    if text.is_empty() || text == EOS {
        return error.to_json();
    }
    if text.len() == wire.len() {
        return wire;
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn an_errors_text_is_a_header_value_and_never_looks_like_success() {
        for (error, text) in [
            (Error::plain("boom"), "boom"),
            (Error::plain("  line1\nline2 é\r\n"), "line1 line2 é"),
            (Error::plain("a\0b\u{7f}c"), "a b c"),
            (Error::plain(""), "{}"),
            (Error::plain(" \n "), r#"{"detail":" \n "}"#),
            (Error::plain("EOS"), r#"{"detail":"EOS"}"#),
        ] {
            assert_eq!(error_text(&error), text);
        }
    }

    #[test]
    fn a_long_error_is_cut_and_stays_readable() {
        let error = Error::not_found("a.b", "é".repeat(20_000));
        let text = error_text(&error);
        assert!(text.len() < LONGEST_ERROR, "{}", text.len());
        let read = Error::from_wire(&text);
        assert_eq!((read.id(), read.code()), ("a.b", 404));
    }
}
