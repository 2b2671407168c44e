//! From a request to its answer.

use bytes::Bytes;
use serde::Serialize;

use super::facts::{self, Sources};
use super::listening::Place;
use super::page;
use crate::error::status_text;
use crate::http1::{Head, Outbox, Start, is_loopback, put_date, put_decimal};
use crate::tasks::Tasks;

/// What a request is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    body: Bytes,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Of every answer: nobody keeps it, no page of another origin has any use of it, and what is in it
/// loads nothing but the page's own style and runs nothing.
const GUARDS: &str = "\r\nCache-Control: no-store\
    \r\nContent-Security-Policy: default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\
    \r\nCross-Origin-Opener-Policy: same-origin\
    \r\nCross-Origin-Resource-Policy: same-origin\
    \r\nReferrer-Policy: no-referrer\
    \r\nX-Content-Type-Options: nosniff\
    \r\nX-Frame-Options: DENY\
    \r\nConnection: close";

impl Answer {
    /// A refusal, with a sentence that says why.
    pub(super) fn refuse(status: u16, words: &str) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: format!("{words}\n").into(),
        }
    }

    fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            content_type,
            body: body.into(),
        }
    }

    /// `facts` as JSON, laid out for people too.
    fn json(status: u16, facts: &impl Serialize) -> Self {
        match serde_json::to_string_pretty(facts) {
            Ok(mut text) => {
                text.push('\n');
                Self {
                    status,
                    ..Self::ok(JSON, text)
                }
            }
            Err(error) => Self::refuse(500, &error.to_string()),
        }
    }

    /// Appends the response; the connection closes after it.
    pub(super) fn put(&self, out: &mut Outbox, tasks: &Tasks) {
        let head = out.buffer();
        head.extend_from_slice(b"HTTP/1.1 ");
        put_decimal(head, u64::from(self.status));
        head.extend_from_slice(b" ");
        head.extend_from_slice(status_text(i32::from(self.status)).as_bytes());
        head.extend_from_slice(b"\r\nDate: ");
        put_date(head, tasks.now());
        head.extend_from_slice(b"\r\nContent-Type: ");
        head.extend_from_slice(self.content_type.as_bytes());
        if self.status == 405 {
            head.extend_from_slice(b"\r\nAllow: GET");
        }
        head.extend_from_slice(GUARDS.as_bytes());
        head.extend_from_slice(b"\r\nContent-Length: ");
        put_decimal(head, self.body.len() as u64);
        head.extend_from_slice(b"\r\n\r\n");
        out.push(&self.body);
    }
}

/// The answer to a request with this head.
pub(super) fn answer(head: &Head, place: &Place) -> Answer {
    let Start::Request { method, target } = head.start() else {
        return Answer::refuse(400, "that is no request");
    };
    if let Some(refusal) = refusal(head, method, place.loopback) {
        return refusal;
    }
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &b""[..]),
    };
    let sources = &place.sources;
    let stopping = *place.stopping.borrow();
    match path {
        b"/" => Answer::ok(HTML, page::page(sources, stopping, query)),
        b"/style.css" => Answer::ok(CSS, page::STYLE),
        b"/health" => {
            let health = facts::health(sources);
            Answer::json(if health.live { 200 } else { 503 }, &health)
        }
        b"/ready" => {
            let ready = facts::ready(sources, stopping);
            Answer::json(if ready.ready { 200 } else { 503 }, &ready)
        }
        _ => told(path, sources),
    }
}

/// The paths that tell facts alone.
fn told(path: &[u8], sources: &Sources) -> Answer {
    match path {
        b"/stats" => Answer::json(200, &facts::stats(sources)),
        b"/calls" => Answer::json(200, &facts::calls(sources)),
        b"/nodes" => Answer::json(200, &facts::nodes(sources)),
        b"/pools" => Answer::json(200, &facts::pools(sources)),
        b"/breakers" => Answer::json(200, &facts::breakers(sources)),
        b"/settings" => Answer::json(200, &facts::settings(sources)),
        b"/why" => Answer::json(200, &facts::why(sources)),
        _ => Answer::refuse(
            404,
            "there are /, /health, /ready, /stats, /calls, /nodes, /pools, /breakers, /settings and /why",
        ),
    }
}

/// Why a request is not dealt with.
fn refusal(head: &Head, method: &[u8], loopback: bool) -> Option<Answer> {
    if head.get(b"Origin").is_some() {
        return Some(Answer::refuse(403, "pages may not ask here"));
    }
    let hosts = head.fields().filter(|(name, _)| *name == b"Host").count();
    if hosts > 1 || (hosts == 0 && head.http11) {
        return Some(Answer::refuse(400, "a request names one Host"));
    }
    // A page of a name that is made to lead here has that name as its host.
    if loopback && !is_loopback(head.get(b"Host").unwrap_or_default()) {
        let words = "the admin listener is on loopback, and the Host header names another place";
        return Some(Answer::refuse(403, words));
    }
    (method != b"GET").then(|| Answer::refuse(405, "there is only GET here"))
}
