//! What pages of other origins may do: those that are on the list, what the protocols need; others,
//! nothing.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::super::super::Grpc;
use crate::protocol::exchange::Answer;

/// How long a browser may keep the answer to a preflight, in seconds: two hours, the most that is
/// honoured everywhere.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// What the protocols' own clients send; what else a page asks for is added.
const SENT: &str = "content-type, connect-protocol-version, connect-timeout-ms, \
    connect-accept-encoding, connect-content-encoding, accept-encoding, content-encoding, \
    grpc-timeout, grpc-encoding, grpc-accept-encoding, x-grpc-web, x-user-agent, authorization";
/// What a page reads of every answer, whatever is exposed.
const ALWAYS_READ: [&str; 7] = [
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
];

/// The page that a request comes from, and what its browser is to be told.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Page {
    /// Its origin, which is allowed; `None` where no page asks.
    origin: Option<HeaderValue>,
    /// Whether answers differ by origin.
    varies: bool,
}

impl Page {
    /// That of a request whose origin is allowed.
    pub(super) fn of(settings: &Grpc, headers: &HeaderMap) -> Self {
        Self {
            origin: headers.get(ORIGIN).cloned(),
            varies: !settings.origins.is_empty(),
        }
    }

    /// Lets the page read the answer whose `head` this is, complete but for that.
    pub(super) fn write(&self, head: &mut HeaderMap) {
        if self.varies {
            head.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = &self.origin else {
            return;
        };
        let mut exposed = String::new();
        for name in head.keys() {
            if !ALWAYS_READ.contains(&name.as_str()) && *name != VARY {
                if !exposed.is_empty() {
                    exposed.push_str(", ");
                }
                exposed.push_str(name.as_str());
            }
        }
        if let Ok(exposed) = HeaderValue::try_from(exposed) {
            head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// Whether a browser asks if a page may send what it wants to send.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets a page of an origin that is allowed call.
pub(super) fn answer_preflight(page: &Page, asked: &HeaderMap, answer: &mut Answer) {
    let mut head = HeaderMap::with_capacity(8);
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    head.insert(VARY, HeaderValue::from_static(vary));
    if let Some(origin) = &page.origin {
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    let methods = HeaderValue::from_static("GET, POST");
    head.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Ok(allowed) = HeaderValue::try_from(allowed_headers(asked)) {
        head.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    head.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // Fails only where the caller is gone.
    let _ = answer.respond(StatusCode::NO_CONTENT, head, true);
}

/// What the protocols send, and what the page wants to send beside: metadata has names of its own.
fn allowed_headers(asked: &HeaderMap) -> String {
    let mut allowed = SENT.to_owned();
    let known: Vec<_> = SENT.split(", ").collect();
    let asked = asked
        .get_all(ACCESS_CONTROL_REQUEST_HEADERS)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for name in asked {
        if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
            && !known.contains(&name.as_str())
        {
            allowed.push_str(", ");
            allowed.push_str(name.as_str());
        }
    }
    allowed
}
