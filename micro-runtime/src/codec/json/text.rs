//! Strings and bytes as JSON strings.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};

/// Writes `text` with quotes; `html` also escapes what Go's `encoding/json` does for the sake of
/// HTML and JavaScript: `<`, `>`, `&`, U+2028 and U+2029.
pub(super) fn write_string(out: &mut BytesMut, text: &str, html: bool) {
    out.put_u8(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| may_need_escape(byte, html)) {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            write_char(out, c, html);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.put_u8(b'"');
}

/// Writes `bytes` as base64 with quotes and padding.
pub(super) fn write_base64(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u8(b'"');
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).unwrap_or_default();
    out.resize(start + length, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.truncate(start + written.expect("there is room for what encoded_len said"));
    out.put_u8(b'"');
}

/// Whether a character that begins with `byte` may need an escape. No character has such a byte
/// but at its start.
fn may_need_escape(byte: u8, html: bool) -> bool {
    match byte {
        b'"' | b'\\' | 0..=0x1f => true,
        // U+2028 and U+2029 begin with 0xe2, as others do.
        b'<' | b'>' | b'&' | 0xe2 => html,
        _ => false,
    }
}

fn write_char(out: &mut BytesMut, c: char, html: bool) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => {
            let escaped =
                c < ' ' || (html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'));
            // Writing to a buffer that grows cannot fail.
            let _ = match escaped {
                true => write!(out, "\\u{:04x}", u32::from(c)),
                false => out.write_char(c),
            };
            return;
        }
    };
    out.extend_from_slice(short.as_bytes());
}
