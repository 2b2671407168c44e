//! What a request asks for, told by its head in one pass.

use std::time::Duration;

use crate::error::{Error, id};
use crate::http1::{Head, Start, is_allowed_origin, is_loopback};
use crate::metadata::{Metadata, Text};
use crate::protocol::mucp::Mucp;
use crate::protocol::mucp::names::{JSON, JSON_RPC, OCTET_STREAM, PROTO_RPC, PROTOBUF};

/// A field that is not there.
const NONE: u16 = u16::MAX;

/// Where the fields are that mucp knows; of those that stand twice the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) content_type: u16,
    pub(super) endpoint: u16,
    pub(super) method: u16,
    pub(super) service: u16,
    pub(super) id: u16,
    pub(super) stream: u16,
    error: u16,
    topic: u16,
    protocol: u16,
    target: u16,
    timeout: u16,
    origin: u16,
    host: u16,
    ends: u16,
    x_endpoint: u16,
    x_method: u16,
    x_service: u16,
    x_stream: u16,
    hosts: u16,
    /// Whether any `Micro-*` or `X-Micro-*` is there.
    micro: bool,
}

/// A request's head with what was found in it.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) head: Head,
    pub(super) known: Known,
}

/// Why a request does not come to a handler.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is mucp: answered as one.
    Call(Error),
    /// It is not, or its sender may not speak mucp here: a real status, and the connection closes.
    Http(u16, &'static str, String),
}

impl Inbound {
    /// Looks `head` over.
    pub(super) fn new(head: Head) -> Self {
        let mut known = Known {
            content_type: NONE,
            endpoint: NONE,
            method: NONE,
            service: NONE,
            id: NONE,
            stream: NONE,
            error: NONE,
            topic: NONE,
            protocol: NONE,
            target: NONE,
            timeout: NONE,
            origin: NONE,
            host: NONE,
            ends: NONE,
            x_endpoint: NONE,
            x_method: NONE,
            x_service: NONE,
            x_stream: NONE,
            hosts: 0,
            micro: false,
        };
        for (index, (name, _)) in (0..NONE).zip(head.fields()) {
            let slot = match name {
                b"Content-Type" => &mut known.content_type,
                b"Micro-Endpoint" => &mut known.endpoint,
                b"Micro-Method" => &mut known.method,
                b"Micro-Service" => &mut known.service,
                b"Micro-Id" => &mut known.id,
                b"Micro-Stream" => &mut known.stream,
                b"Micro-Error" => &mut known.error,
                b"Micro-Topic" => &mut known.topic,
                b"Micro-Protocol" => &mut known.protocol,
                b"Micro-Target" => &mut known.target,
                b"Micro-Stream-Ends" => &mut known.ends,
                b"X-Micro-Endpoint" => &mut known.x_endpoint,
                b"X-Micro-Method" => &mut known.x_method,
                b"X-Micro-Service" => &mut known.x_service,
                b"X-Micro-Stream" => &mut known.x_stream,
                b"Timeout" => &mut known.timeout,
                b"Origin" => &mut known.origin,
                b"Host" => {
                    known.hosts += 1;
                    &mut known.host
                }
                _ => {
                    known.micro |= name.starts_with(b"Micro-") || name.starts_with(b"X-Micro-");
                    continue;
                }
            };
            if *slot == NONE {
                *slot = index;
            }
            known.micro |= name.starts_with(b"Micro-") || name.starts_with(b"X-Micro-");
        }
        Self { head, known }
    }

    /// Whether this request may be served here at all, whatever it asks for.
    pub(super) fn admit(&self, settings: &Mucp) -> std::result::Result<(), Refusal> {
        let Start::Request { method, target } = self.head.start() else {
            return Err(refuse(400, "Bad Request", "a request was expected"));
        };
        let mucp = self.known.micro || (method == b"POST" && target == b"/");
        if self.known.hosts > 1 || (self.known.hosts == 0 && self.head.http11) {
            // Go's words, for who looks for them.
            let words = if self.known.hosts == 0 {
                "missing required Host header"
            } else {
                "too many Host headers"
            };
            return Err(refuse(400, "Bad Request", words));
        }
        let origin = self.bytes(self.known.origin);
        if self.known.origin != NONE && !is_allowed_origin(&settings.origins, origin) {
            let words = "pages of this origin may not call here: name it in the allowed origins";
            return Err(forbid(mucp, words));
        }
        if settings.loopback_only && !is_loopback(self.bytes(self.known.host)) {
            let words = "the server listens on loopback, and the Host header names another place";
            return Err(forbid(mucp, words));
        }
        if !mucp {
            let words = "this is a Micro service: calls are POST / with Micro-Endpoint and \
                         Content-Type headers";
            return Err(refuse(404, "Not Found", words));
        }
        // Their answers have other framing, or none.
        if matches!(method, b"HEAD" | b"CONNECT" | b"TRACE" | b"OPTIONS") {
            let words = "calls are sent with POST";
            return Err(refuse(405, "Method Not Allowed", words));
        }
        Ok(())
    }

    /// Whether it is GET, which is for methods without side effects.
    pub(super) fn is_get(&self) -> bool {
        matches!(self.head.start(), Start::Request { method: b"GET", .. })
    }

    /// Whether it is an event.
    pub(super) fn is_event(&self) -> bool {
        !self.bytes(self.known.topic).is_empty()
    }

    /// The content type as sent, Go's default where there is none.
    pub(super) fn content_type(&self) -> &str {
        match self.str(self.known.content_type) {
            "" => PROTOBUF,
            given => given,
        }
    }

    /// The content type whose codec and envelope the body has: another for callers from before
    /// `Micro-*` headers.
    pub(super) fn body_type(&self) -> &str {
        let Known {
            endpoint,
            method,
            service,
            x_endpoint,
            x_method,
            x_service,
            ..
        } = self.known;
        let named = [endpoint, method, service, x_endpoint, x_method, x_service]
            .iter()
            .any(|index| *index != NONE);
        let given = self.content_type();
        let legacy = self.known.protocol == NONE
            && !self.is_event()
            && (!named || self.known.target != NONE);
        match given {
            JSON | JSON_RPC if legacy => JSON_RPC,
            PROTOBUF | PROTO_RPC | OCTET_STREAM if legacy => PROTO_RPC,
            given => given,
        }
    }

    /// The endpoint that the head names; empty where only an envelope may.
    pub(super) fn endpoint(&self) -> &str {
        let Known {
            endpoint,
            method,
            x_endpoint,
            x_method,
            ..
        } = self.known;
        [endpoint, method, x_endpoint, x_method]
            .iter()
            .map(|index| self.str(*index))
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// The id of the stream it belongs to.
    pub(super) fn stream(&self) -> Option<Text> {
        let index = if self.known.stream == NONE {
            self.known.x_stream
        } else {
            self.known.stream
        };
        let (_, id) = self.head.text(usize::from(index))?;
        (!id.as_bytes().is_empty()).then_some(id)
    }

    /// The words of `Micro-Error`: the end of a stream, or the caller's error.
    pub(super) fn error(&self) -> Option<&str> {
        Some(self.str(self.known.error)).filter(|words| !words.is_empty())
    }

    /// Whether this stream's caller asks for our word that it will be ended: it, and not one whose
    /// headers were passed on.
    pub(super) fn asks_for_ends(&self) -> bool {
        let asked = self.bytes(self.known.ends);
        !asked.is_empty() && asked == self.bytes(self.known.stream)
    }

    /// The caller's time limit. What is no number is ignored, as in Go.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.str(self.known.timeout)
            .parse::<u64>()
            .ok()
            .map(Duration::from_nanos)
    }

    /// What a handler sees: every field but those of the connection, and both ends' addresses.
    pub(super) fn metadata(&self, local: &Text, remote: &Text) -> Metadata {
        let fields = self.head.fields().len();
        let mut metadata = Metadata::with_capacity(fields + 2);
        for (index, (name, _)) in self.head.fields().enumerate() {
            if matches!(
                name,
                b"Host" | b"Transfer-Encoding" | b"Trailer" | b"Local" | b"Remote"
            ) {
                continue;
            }
            if let Some((name, value)) = self.head.text(index) {
                metadata.set_default(name, value);
            }
        }
        metadata.set("Local", local.clone());
        metadata.set("Remote", remote.clone());
        metadata
    }

    /// The bytes of a known field; empty where it is not there.
    pub(super) fn bytes(&self, index: u16) -> &[u8] {
        self.head.value(usize::from(index))
    }

    /// The text of a known field; empty where it is not there.
    pub(super) fn str(&self, index: u16) -> &str {
        std::str::from_utf8(self.bytes(index)).unwrap_or_default()
    }
}

fn refuse(code: u16, status: &'static str, words: &str) -> Refusal {
    Refusal::Http(code, status, words.to_owned())
}

fn forbid(mucp: bool, words: &'static str) -> Refusal {
    if mucp {
        return Refusal::Call(Error::forbidden(id::SERVER, words));
    }
    refuse(403, "Forbidden", words)
}
