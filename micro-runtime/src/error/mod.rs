//! The one error type, and Go Micro's form of it on the wire.
//!
//! An [`Error`] has what Go Micro's `errors.Error` has (id, code, detail, status) and beside it what
//! a caller can use here: the gRPC code a peer sent, details, metadata, a source and the decisions
//! that led to it ([`why`]). A protocol drops what it cannot carry.
//!
//! ```
//! use micro_runtime::Error;
//!
//! let error = Error::not_found("greeter.fail", "no such thing");
//! assert_eq!(error.code(), 404);
//! assert_eq!(
//!     error.to_wire(),
//!     r#"{"id":"greeter.fail","code":404,"detail":"no such thing","status":"Not Found"}"#
//! );
//! assert_eq!(Error::from_wire(&error.to_wire()), error);
//! ```

mod status;
pub mod why;
mod wire;

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

use bytes::Bytes;

use crate::metadata::Metadata;

pub use status::status_text;
pub use why::Why;
use why::{Attempt, Cause, Step};
pub(crate) use wire::write_go_json_string;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Ids of the errors that this crate makes itself: Go Micro's where it has one.
pub mod id {
    /// Made by the client: timeouts, selection, dialling.
    pub const CLIENT: &str = "go.micro.client";
    /// Encoding or decoding failed in the client.
    pub const CLIENT_CODEC: &str = "go.micro.client.codec";
    /// Sending or receiving failed in the client.
    pub const CLIENT_TRANSPORT: &str = "go.micro.client.transport";
    /// Made by the server: panics, limits, an expired deadline.
    pub const SERVER: &str = "go.micro.server";
}

/// An error of a call: one pointer wide, readable by Go Micro.
///
/// `code` is an HTTP status code as in Go Micro; 0 where the peer sent plain text. Two errors are
/// equal when id, code, detail and status are.
pub struct Error(Box<Inner>);

struct Inner {
    id: Cow<'static, str>,
    code: i32,
    detail: Cow<'static, str>,
    /// `None` means the standard text of `code`.
    status: Option<String>,
    /// The peer's words, where they were not Go Micro's JSON form.
    plain: bool,
    /// Whether the request certainly did not reach a handler.
    unprocessed: bool,
    /// In which way a try failed, where id and code do not tell it.
    cause: Option<Cause>,
    grpc_code: Option<i32>,
    details: Vec<Detail>,
    metadata: Metadata,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    why: Option<Box<Why>>,
}

/// A typed detail of an error, as in `google.protobuf.Any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The type URL, `type.googleapis.com/package.Message`.
    pub type_url: String,
    /// The message in protobuf's encoding.
    pub value: Bytes,
}

impl Error {
    /// An error with a free `code`; Go Micro's `errors.New`.
    ///
    /// `id` names who made it (`greeter.hello`); `detail` is for a person; `code` is an HTTP status.
    pub fn new(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        code: i32,
    ) -> Self {
        Self(Box::new(Inner {
            id: id.into(),
            code,
            detail: detail.into(),
            status: None,
            plain: false,
            unprocessed: false,
            cause: None,
            grpc_code: None,
            details: Vec::new(),
            metadata: Metadata::new(),
            source: None,
            why: None,
        }))
    }

    /// An error of words alone, as a Go handler's `errors.New("…")` arrives: code 0, no id.
    pub fn plain(detail: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new("", detail, 0);
        error.0.plain = true;
        error
    }

    /// 400: the request is wrong; sending it again will not help.
    pub fn bad_request(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 400)
    }

    /// 401: the caller is not known.
    pub fn unauthorized(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 401)
    }

    /// 403: the caller is known and may not.
    pub fn forbidden(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 403)
    }

    /// 404: what the request names does not exist.
    pub fn not_found(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 404)
    }

    /// 405: the method exists and does not do this.
    pub fn method_not_allowed(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 405)
    }

    /// 408: no answer in time. Go Micro's default policy retries this code.
    pub fn timeout(id: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, detail, 408)
    }

    /// 409: the state of things forbids the request.
    pub fn conflict(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 409)
    }

    /// 429: a limit was reached; try again later.
    pub fn too_many_requests(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 429)
    }

    /// 500: something went wrong inside.
    pub fn internal(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 500)
    }

    /// 501: the method is not there.
    pub fn not_implemented(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 501)
    }

    /// 503: not now; another node may answer.
    pub fn unavailable(
        id: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(id, detail, 503)
    }

    /// Who made the error; empty where a peer sent plain text.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The HTTP status code; 0 where a peer sent plain text.
    pub fn code(&self) -> i32 {
        self.0.code
    }

    /// What happened, for a person.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The text of the code: the peer's, or the standard one; empty where the code has none.
    pub fn status(&self) -> &str {
        match &self.0.status {
            Some(status) => status,
            None => status_text(self.0.code),
        }
    }

    /// The gRPC status code, where a gRPC or braid peer sent one.
    pub fn grpc_code(&self) -> Option<i32> {
        self.0.grpc_code
    }

    /// Typed details that came with the error.
    pub fn details(&self) -> &[Detail] {
        &self.0.details
    }

    /// Metadata that came with the error.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Why the call went where it went; `None` where the error is of no client's call.
    pub fn why(&self) -> Option<&Why> {
        self.0.why.as_deref()
    }

    /// The tries that were made before the call was given up, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.why().into_iter().flat_map(Why::attempts)
    }

    /// Whether the request certainly reached no handler, so that sending it again is safe.
    pub fn is_unprocessed(&self) -> bool {
        self.0.unprocessed
    }

    /// Whether this is a 408.
    pub fn is_timeout(&self) -> bool {
        self.0.code == 408
    }

    /// The error with `source` as its cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error with a status text of its own in place of the code's.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<String>) -> Self {
        let status = status.into();
        self.0.status = (status != status_text(self.0.code)).then_some(status);
        self
    }

    /// The error with a gRPC status code, kept exactly on protocols that carry one.
    #[must_use]
    pub fn with_grpc_code(mut self, code: i32) -> Self {
        self.0.grpc_code = Some(code);
        self
    }

    /// The error with one more typed detail.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.details.push(detail);
        self
    }

    /// The error with metadata for the caller.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// The error with the decisions that led to it, in place of those that it has.
    #[must_use]
    pub fn with_why(mut self, why: impl Into<Box<Why>>) -> Self {
        self.0.why = Some(why.into());
        self
    }

    /// The error with one more step before it: what a wrapper that refuses a call says.
    #[must_use]
    pub fn with_step(mut self, step: Step) -> Self {
        self.0.why.get_or_insert_default().push(step);
        self
    }

    /// The error, marked as of a request that certainly reached no handler.
    #[must_use]
    pub fn unprocessed(mut self) -> Self {
        self.0.unprocessed = true;
        self
    }

    /// The opposite: of a handler's error, which may be that of a call of its own.
    ///
    /// Which nodes that one went to is not its caller's affair: their addresses leave its words.
    pub(crate) fn processed(mut self) -> Self {
        self.0.unprocessed = false;
        self.0.cause = Some(Cause::Answered);
        if let Some(hidden) = self.why().and_then(|why| why.hide(self.detail())) {
            self.0.detail = hidden.into();
        }
        self
    }

    /// The error of a try that failed in this way, where its id and code tell another: for protocols
    /// and transports. It is of this process alone, as the decision log.
    #[must_use]
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The error, said to have failed in this way where nobody has said it yet.
    #[must_use]
    pub(crate) fn or_caused_by(mut self, cause: Cause) -> Self {
        self.0.cause.get_or_insert(cause);
        self
    }

    pub(crate) fn cause_told(&self) -> Option<Cause> {
        self.0.cause
    }

    /// Takes the decisions out of it.
    pub(crate) fn take_why(&mut self) -> Option<Box<Why>> {
        self.0.why.take()
    }

    /// What [`Display`] writes, in one allocation.
    pub(crate) fn words(&self) -> String {
        let more = self.id().len() + self.status().len() + 24;
        let mut words = String::with_capacity(self.detail().len() + more);
        // Writing to a string cannot fail.
        let _ = write!(words, "{self}");
        words
    }

    /// The text that Go Micro's peers read: JSON, or the plain words of a [plain](Error::plain) error.
    ///
    /// Fields with a zero value are left out and `<`, `>`, `&`, U+2028 and U+2029 are escaped, as
    /// Go's `encoding/json` does.
    pub fn to_wire(&self) -> String {
        if self.0.plain {
            return self.0.detail.clone().into_owned();
        }
        self.to_json()
    }

    /// The JSON form, also of a plain error: what `errors.Parse` gives in Go, printed.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64 + self.0.detail.len());
        out.push('{');
        let text = |name: &str, value: &str, out: &mut String| {
            if !value.is_empty() {
                if out.len() > 1 {
                    out.push(',');
                }
                let _ = write!(out, "\"{name}\":");
                write_go_json_string(value, out);
            }
        };
        text("id", &self.0.id, &mut out);
        if self.0.code != 0 {
            if out.len() > 1 {
                out.push(',');
            }
            let _ = write!(out, "\"code\":{}", self.0.code);
        }
        text("detail", &self.0.detail, &mut out);
        text("status", self.status(), &mut out);
        out.push('}');
        out
    }

    /// Reads what [`to_wire`](Error::to_wire) writes. Text that is not of that shape becomes the
    /// detail of a plain error, as Go's `errors.Parse` does.
    pub fn from_wire(text: &str) -> Self {
        // Whatever id it has: a peer passes on errors of its own calls.
        wire::parse(text)
            .unwrap_or_else(|| Self::plain(text.to_owned()))
            .caused_by(Cause::Answered)
    }
}

impl Display for Error {
    /// For a person: `greeter.fail: no such thing (404 Not Found)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.id.is_empty() {
            write!(f, "{}: ", self.0.id)?;
        }
        f.write_str(&self.0.detail)?;
        match (self.0.code, self.status()) {
            (0, _) => Ok(()),
            (code, "") => write!(f, " ({code})"),
            (code, status) => write!(f, " ({code} {status})"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `fn main() -> Result<()>` prints this form, so it reads as a sentence and names the cause.
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        if let Some(why) = self.why() {
            f.write_str("\n")?;
            why.write(f, &self.words())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.code(), self.detail(), self.status())
            == (other.id(), other.code(), other.detail(), other.status())
    }
}

impl Clone for Error {
    /// Everything but the source, which has no copy: its words stay in the detail.
    fn clone(&self) -> Self {
        let Inner {
            id,
            code,
            detail,
            status,
            plain,
            unprocessed,
            cause,
            grpc_code,
            details,
            metadata,
            source: _,
            why,
        } = &*self.0;
        Self(Box::new(Inner {
            id: id.clone(),
            code: *code,
            detail: detail.clone(),
            status: status.clone(),
            plain: *plain,
            unprocessed: *unprocessed,
            cause: *cause,
            grpc_code: *grpc_code,
            details: details.clone(),
            metadata: metadata.clone(),
            source: None,
            why: why.clone(),
        }))
    }
}

macro_rules! from_source {
    ($($type:ty),*) => {$(
        impl From<$type> for Error {
            /// 500 with the words and the source of the cause.
            fn from(source: $type) -> Self {
                Self::internal(id::SERVER, source.to_string()).with_source(source)
            }
        }
    )*};
}
from_source!(
    std::io::Error,
    fmt::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::str::Utf8Error,
    std::string::FromUtf8Error
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_go_writes() {
        let error = Error::not_found("greeter.fail", "a\n<b> \"c\" & \u{2028} é");
        assert_eq!(
            error.to_wire(),
            "{\"id\":\"greeter.fail\",\"code\":404,\"detail\":\"a\\n\\u003cb\\u003e \\\"c\\\" \\u0026 \\u2028 é\",\"status\":\"Not Found\"}"
        );
        assert_eq!(
            Error::new("", "x", 418).to_wire(),
            "{\"code\":418,\"detail\":\"x\",\"status\":\"I'm a teapot\"}"
        );
        assert_eq!(Error::plain("boom").to_wire(), "boom");
        assert_eq!(Error::plain("boom").to_json(), "{\"detail\":\"boom\"}");
    }

    #[test]
    fn reads_plain_text_as_detail_with_code_zero() {
        for text in ["boom", "", "{not json", "[1]", "\"x\"", "{\"code\":\"x\"}"] {
            let error = Error::from_wire(text);
            assert_eq!(
                (error.id(), error.code(), error.detail(), error.status()),
                ("", 0, text, "")
            );
            assert_eq!(error.to_wire(), text);
        }
    }

    #[test]
    fn keeps_a_status_that_is_not_the_codes() {
        let error =
            Error::from_wire(r#"{"id":"a","code":404,"detail":"d","status":"Gone fishing"}"#);
        assert_eq!(error.status(), "Gone fishing");
        assert_eq!(Error::from_wire(&error.to_wire()), error);
    }

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
