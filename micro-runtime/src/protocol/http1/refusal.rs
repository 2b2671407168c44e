//! Requests that nobody here serves, and what their senders are told.

use super::kind::Kind;
use crate::http1::{Head, is_allowed_origin, is_loopback};
use crate::protocol::grpc::Grpc;

/// A status, its text, and words.
type Refusal = (u16, &'static str, &'static str);

/// Why a request is not served; of one that is the protocols' of the web only what concerns its form.
///
/// Who may ask at all is looked at before what is asked for, so that a page from elsewhere learns
/// nothing.
pub(super) fn of(kind: Kind, head: &Head, settings: &Grpc) -> Option<Refusal> {
    let hosts = head.fields().filter(|(name, _)| *name == b"Host").count();
    if hosts > 1 {
        return Some((400, "Bad Request", "too many Host headers"));
    }
    if hosts == 0 && head.http11 {
        return Some((400, "Bad Request", "missing required Host header"));
    }
    // They are asked the same by who serves them, in their own form.
    if kind == Kind::Web {
        return None;
    }
    Some(guard(head, settings).unwrap_or(match kind {
        Kind::WebSocket => (501, "Not Implemented", "WebSocket is not spoken here"),
        Kind::Grpc => (
            505,
            "HTTP Version Not Supported",
            "gRPC needs HTTP/2; gRPC-Web and Connect are spoken over HTTP/1.1 too",
        ),
        Kind::Mucp | Kind::Web | Kind::Unknown => (
            404,
            "Not Found",
            "this is a Micro service: calls are POST /package.Service/Method with Content-Type: \
             application/json, or POST / with Micro-Endpoint and Content-Type headers",
        ),
    }))
}

/// What a web page may not have asked from elsewhere.
fn guard(head: &Head, settings: &Grpc) -> Option<Refusal> {
    let is_known = |origin: &[u8]| is_allowed_origin(&settings.origins, origin);
    let mut fields = head.fields();
    if fields.any(|(name, value)| name == b"Origin" && !is_known(value)) {
        let words = "pages of this origin may not call here: name it in the allowed origins";
        return Some((403, "Forbidden", words));
    }
    if settings.loopback_only && !is_loopback(head.get(b"Host").unwrap_or_default()) {
        let words = "the server listens on loopback, and the Host header names another place";
        return Some((403, "Forbidden", words));
    }
    None
}
