//! Requests: the headers that a Go client sends, in its order.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Asked;
use crate::http1::{Outbox, canonical, is_token, put_decimal};
use crate::metadata::{Metadata, Text};
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::{STREAM_ENDS, USER_AGENT};

/// Keys of metadata that are never sent as they are: the framing's, the call's own, and those that
/// would make the peer take the call for something else.
const RESERVED: [&str; 24] = [
    "Accept",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Host",
    "Keep-Alive",
    "Micro-Endpoint",
    "Micro-Error",
    "Micro-Id",
    "Micro-Method",
    "Micro-Protocol",
    "Micro-Service",
    "Micro-Stream",
    STREAM_ENDS,
    "Micro-Target",
    "Micro-Topic",
    "Proxy-Connection",
    "Te",
    "Timeout",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
];

/// Metadata of so many pairs is sorted without an allocation.
const FEW: usize = 16;

/// What the headers of a call say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) host: &'a str,
    pub(super) request: Asked<'a>,
    pub(super) content_type: &'a str,
    pub(super) number: u64,
    /// The value of `Micro-Stream`.
    pub(super) stream: u64,
    pub(super) timeout: Option<Duration>,
    pub(super) asks_for_ends: bool,
}

impl Outgoing<'_> {
    /// Appends the one request of a unary call.
    pub(super) fn put(&self, out: &mut Outbox, body: &Bytes) {
        let head = out.buffer();
        self.put_start(head);
        put_length(head, body.len());
        self.put_fields(head);
        put_body(out, body);
    }

    /// The parts that all requests of a stream share.
    pub(super) fn frames(&self) -> Frames {
        let mut start = BytesMut::new();
        self.put_start(&mut start);
        let mut fields = BytesMut::new();
        let at = self.put_fields(&mut fields);
        let after = fields.split_off(at.min(fields.len()));
        Frames {
            start: start.freeze(),
            before: fields.freeze(),
            after: after.freeze(),
        }
    }

    fn put_start(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"POST / HTTP/1.1\r\n");
        put_field(out, "Host", self.host);
        // As in Go, the caller's metadata may name another.
        match self.request.cx.metadata().get_text("User-Agent") {
            Some(given) => put_clean(out, "User-Agent", given),
            None => put_field(out, "User-Agent", &USER_AGENT),
        }
        if self.request.options.close_connection {
            put_field(out, "Connection", "close");
        }
    }

    /// Appends all fields but those of the start, sorted by name; gives the place of `Micro-Error`.
    fn put_fields(&self, out: &mut BytesMut) -> usize {
        let (mut few, mut many) = ([None; FEW], Vec::new());
        let mut metadata = Sorted::new(self.request.cx.metadata(), &mut few, &mut many);
        let endpoint = &*self.request.method.endpoint;
        metadata.put_before("Accept", out);
        put_field(out, "Accept", self.request.accept);
        metadata.put_before("Content-Type", out);
        put_field(out, "Content-Type", self.content_type);
        metadata.put_before("Micro-Endpoint", out);
        put_field(out, "Micro-Endpoint", endpoint);
        metadata.put_before("Micro-Error", out);
        let error = out.len();
        metadata.put_before("Micro-Id", out);
        put_number(out, "Micro-Id", self.number);
        metadata.put_before("Micro-Method", out);
        put_field(out, "Micro-Method", endpoint);
        metadata.put_before("Micro-Service", out);
        put_clean(out, "Micro-Service", self.request.service);
        metadata.put_before("Micro-Stream", out);
        put_number(out, "Micro-Stream", self.stream);
        if self.asks_for_ends {
            metadata.put_before(STREAM_ENDS, out);
            put_number(out, STREAM_ENDS, self.stream);
        }
        if Envelope::of(self.content_type) == Envelope::Grpc {
            metadata.put_before("Te", out);
            put_field(out, "Te", "trailers");
        }
        if let Some(timeout) = self.timeout {
            metadata.put_before("Timeout", out);
            let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            put_number(out, "Timeout", nanos);
        }
        metadata.put_rest(out);
        error
    }
}

/// The parts of a stream's requests that do not change, around the place of `Micro-Error`.
#[derive(Debug)]
pub(super) struct Frames {
    start: Bytes,
    before: Bytes,
    after: Bytes,
}

impl Frames {
    /// Appends a request with `body`, and with `error` where it is no message.
    pub(super) fn put(&self, out: &mut Outbox, body: &Bytes, error: Option<&str>) {
        let head = out.buffer();
        head.extend_from_slice(&self.start);
        put_length(head, body.len());
        head.extend_from_slice(&self.before);
        if let Some(words) = error {
            put_field(head, "Micro-Error", words);
        }
        head.extend_from_slice(&self.after);
        put_body(out, body);
    }
}

/// As Go's client says it: an empty body comes in chunks.
fn put_length(out: &mut BytesMut, length: usize) {
    match length {
        0 => put_field(out, "Transfer-Encoding", "chunked"),
        length => put_number(out, "Content-Length", length as u64),
    }
}

fn put_body(out: &mut Outbox, body: &Bytes) {
    let head = out.buffer();
    head.extend_from_slice(b"\r\n");
    if body.is_empty() {
        head.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.push(body);
    }
}

fn put_field(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_number(out: &mut BytesMut, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    put_decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field whose value is a user's: control characters become blanks, the ends are trimmed.
fn put_clean(out: &mut BytesMut, name: &str, value: &Text) {
    let at = out.len();
    let value = value.as_bytes();
    let blank = |byte: &u8| *byte == b' ' || byte.is_ascii_control();
    let begin = value.iter().position(|byte| !blank(byte));
    let end = value.iter().rposition(|byte| !blank(byte));
    out.extend_from_slice(name.as_bytes());
    if let Some(name) = out.get_mut(at..) {
        canonical(name);
    }
    out.extend_from_slice(b": ");
    if let (Some(begin), Some(end)) = (begin, end) {
        let at = out.len();
        out.extend_from_slice(value.get(begin..=end).unwrap_or_default());
        for byte in out.iter_mut().skip(at) {
            if byte.is_ascii_control() && *byte != b'\t' {
                *byte = b' ';
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

type Pair<'a> = Option<(&'a Text, &'a Text)>;

/// A call's metadata in the order of canonical names.
struct Sorted<'a, 'b> {
    /// What is left; the last comes first.
    pairs: &'b [Pair<'a>],
}

impl<'a, 'b> Sorted<'a, 'b> {
    /// Sorts `metadata` in `few`, or in `many` where it does not fit.
    fn new(
        metadata: &'a Metadata,
        few: &'b mut [Pair<'a>; FEW],
        many: &'b mut Vec<Pair<'a>>,
    ) -> Self {
        let pairs = metadata
            .iter_text()
            .filter(|(key, _)| is_token(key.as_bytes()) && !is_reserved(key.as_bytes()));
        let sorted = if metadata.len() <= FEW {
            let mut count = 0;
            for (slot, pair) in few.iter_mut().zip(pairs) {
                *slot = Some(pair);
                count += 1;
            }
            few.get_mut(..count).unwrap_or_default()
        } else {
            many.extend(pairs.map(Some));
            many.as_mut_slice()
        };
        sorted.sort_unstable_by(|one, other| {
            let name = |pair: &Pair<'a>| pair.map_or(&b""[..], |(key, _)| key.as_bytes());
            canonical_bytes(name(other)).cmp(canonical_bytes(name(one)))
        });
        Self { pairs: sorted }
    }

    /// Appends the pairs that come before `name`.
    fn put_before(&mut self, name: &str, out: &mut BytesMut) {
        while let Some((Some((key, value)), rest)) = self.pairs.split_last() {
            if canonical_bytes(key.as_bytes()).gt(name.bytes()) {
                return;
            }
            put_clean(out, key, value);
            self.pairs = rest;
        }
    }

    fn put_rest(&mut self, out: &mut BytesMut) {
        while let Some((Some((key, value)), rest)) = self.pairs.split_last() {
            put_clean(out, key, value);
            self.pairs = rest;
        }
    }
}

fn is_reserved(key: &[u8]) -> bool {
    RESERVED
        .iter()
        .any(|name| name.as_bytes().eq_ignore_ascii_case(key))
}

fn canonical_bytes(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut first = true;
    name.iter().map(move |byte| {
        let byte = if first {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        };
        first = byte == b'-';
        byte
    })
}
