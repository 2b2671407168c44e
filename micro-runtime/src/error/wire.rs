//! Go Micro's form of an error: JSON as Go's `encoding/json` writes it.

use std::fmt::Write as _;

use serde::Deserialize;

use super::Error;

/// The four fields of Go Micro's `errors.Error`; others are ignored, as in Go.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    id: String,
    #[serde(default)]
    code: i32,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    status: String,
}

pub(super) fn parse(text: &str) -> Option<Error> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let form: Form = serde_json::from_str(text).ok()?;
    let mut error = Error::new(form.id, form.detail, form.code);
    // A peer that leaves the status out means the code's own.
    if !form.status.is_empty() {
        error = error.with_status(form.status);
    }
    Some(error)
}

/// Writes `value` as Go's `encoding/json` writes a string, quotes included.
pub(crate) fn write_go_json_string(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
