//! What can be wrong with a JSON document or a message, in Go's words where Go has some.

use std::fmt;

use crate::error::Error;

pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

/// One wrong thing, and the field it is wrong with.
///
/// Boxed, so that a result of the reader stays small.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    text: String,
    /// Message and field.
    place: Option<(&'static str, &'static str)>,
}

/// What a [`Fault`] is about; tests ask for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// No value at all.
    Empty,
    /// The document ends too early.
    Truncated,
    /// A character where it may not stand.
    Syntax,
    /// Bytes that are not UTF-8.
    Utf8,
    /// Too many lists and objects in each other.
    Deep,
    /// A value of another type.
    Mismatch,
    /// A number that the type cannot hold.
    Range,
    /// A value that an enum does not have.
    Enum,
    /// A key that the map's key type cannot hold.
    Key,
    /// A string that is not base64.
    Base64,
    /// A string that is not a time, or a time out of range.
    Timestamp,
    /// A string that is not a duration, or a duration out of range.
    Duration,
    /// A path that has no camelCase form.
    FieldMask,
    /// The content of an `Any` that cannot be known.
    Any,
    /// A number that JSON or Go's JSON does not have.
    Unsupported,
    /// A oneof that Go could not read.
    Oneof,
}

impl Fault {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            text: text.into(),
            place: None,
        }))
    }

    pub(super) fn truncated() -> Self {
        Self::new(Kind::Truncated, "unexpected EOF")
    }

    /// `found` may not stand where it stands.
    pub(super) fn syntax(found: char, context: &str) -> Self {
        let quoted = match found {
            '\'' => r"'\''".to_owned(),
            '"' => "'\"'".to_owned(),
            found => format!("'{}'", found.escape_debug()),
        };
        Self::new(
            Kind::Syntax,
            format!("invalid character {quoted} {context}"),
        )
    }

    /// A JSON value of type `found` where `wanted` is needed.
    pub(super) fn mismatch(found: &str, wanted: &str) -> Self {
        Self::new(
            Kind::Mismatch,
            format!("json: cannot unmarshal {found} into a value of type {wanted}"),
        )
    }

    /// The number written as `text` is not one of type `wanted`.
    pub(super) fn range(text: &str, wanted: &str) -> Self {
        Self::new(
            Kind::Range,
            format!(
                "json: cannot unmarshal number {} into a value of type {wanted}",
                Short(text)
            ),
        )
    }

    /// The fault with its place, if it has none yet: the innermost field names it.
    #[must_use]
    pub(super) fn at(mut self, message: &'static str, field: &'static str) -> Self {
        // A broken document is broken as a whole: the field it broke in says nothing.
        let syntax = matches!(
            self.0.kind,
            Kind::Empty | Kind::Truncated | Kind::Syntax | Kind::Utf8 | Kind::Deep
        );
        if !syntax && self.0.place.is_none() {
            self.0.place = Some((message, field));
        }
        self
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// An error of a body that a peer sent, in plain words as Go Micro's server answers.
    pub(super) fn into_plain(self) -> Error {
        Error::plain(self.to_string())
    }

    /// An error with an id and code 500.
    pub(super) fn into_internal(self, id: &'static str) -> Error {
        Error::internal(id, self.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        match self.0.place {
            Some((message, field)) => write!(f, " (field {field} of {message})"),
            None => Ok(()),
        }
    }
}

/// A peer's text in an error: as much of it as a person needs.
pub(super) struct Short<'a>(pub(super) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 64;
        match self.0.char_indices().nth(MOST) {
            Some((end, _)) => write!(f, "{}...", self.0.get(..end).unwrap_or_default()),
            None => f.write_str(self.0),
        }
    }
}
