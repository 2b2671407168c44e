//! From a request to the answer to it, in Go Micro's words.

use std::borrow::Cow;
use std::time::Duration;

use tokio::sync::watch;

use super::desk::{Handed, Patience};
use super::listening::{Held, Place};
use super::message::{self, Posted};
use crate::broker::ID;
use crate::error::{Error, status_text};
use crate::http1::{Head, Malformed, Message, Outbox, Start, is_loopback, put_date, put_decimal};
use crate::tasks::Tasks;

/// What a request is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    /// The error, where it is one.
    error: Option<Error>,
    /// Whether the answer has no body though it tells its length.
    head_only: bool,
}

impl Answer {
    /// An error, whose own code is the status too.
    pub(super) fn error(error: Error) -> Self {
        let status = u16::try_from(error.code()).unwrap_or(500);
        Self {
            status,
            error: Some(error),
            head_only: false,
        }
    }

    /// The answer to bytes that are no request.
    pub(super) fn malformed(malformed: Malformed) -> Self {
        let (status, _) = malformed.status();
        Self::error(Error::new(ID, malformed.to_string(), i32::from(status)))
    }

    /// The answer to a request whose body has ended too soon.
    pub(super) fn unread(malformed: Malformed) -> Self {
        let words = format!("Error reading request body: {malformed}");
        Self::error(Error::internal(ID, words))
    }

    /// Appends the response, its fields in Go's order.
    pub(super) fn put(&self, out: &mut Outbox, close: bool, tasks: &Tasks) {
        let mut body = self.error.as_ref().map(Error::to_json).unwrap_or_default();
        // Go answers this one with another function than all the others.
        let not_allowed = self.status == 405;
        if not_allowed {
            body.push('\n');
        }
        let head = out.buffer();
        head.extend_from_slice(b"HTTP/1.1 ");
        put_decimal(head, u64::from(self.status));
        head.extend_from_slice(b" ");
        head.extend_from_slice(status_text(i32::from(self.status)).as_bytes());
        if not_allowed {
            head.extend_from_slice(
                b"\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff",
            );
        }
        head.extend_from_slice(b"\r\nDate: ");
        put_date(head, tasks.now());
        head.extend_from_slice(b"\r\nContent-Length: ");
        put_decimal(head, body.len() as u64);
        if self.error.is_some() && !not_allowed {
            head.extend_from_slice(b"\r\nContent-Type: text/plain; charset=utf-8");
        }
        if close {
            head.extend_from_slice(b"\r\nConnection: close");
        }
        head.extend_from_slice(b"\r\n\r\n");
        if !self.head_only {
            out.push(&body.into());
        }
    }
}

/// Deals with a request: refuses it, or hands its message over and waits for the handler.
pub(super) async fn answer(
    request: Message,
    held: Held,
    place: &Place,
    closing: &mut watch::Receiver<bool>,
) -> Answer {
    let Message { head, body, .. } = request;
    let Start::Request { method, target } = head.start() else {
        return Answer::malformed(Malformed::Syntax);
    };
    if let Err(mut refusal) = admit(&head, method, target, place.loopback.as_deref()) {
        refusal.head_only = method == b"HEAD";
        return refusal;
    }
    let Posted { topic, message } = match message::decode(&body) {
        Ok(posted) => posted,
        Err(words) => {
            let words = format!("Error parsing request body: {words}");
            return Answer::error(Error::internal(ID, words));
        }
    };
    // It has been copied, and the handler may take its time.
    drop(body);
    if topic.is_empty() {
        return Answer::error(Error::internal(ID, "Topic not found"));
    }
    let id = node_id(target).unwrap_or_default();
    let only_taken = prefers_async(&head);
    let mut patience = Patience {
        room: place.options.room,
        settle: match only_taken {
            true => Duration::ZERO,
            false => place.options.settle,
        },
        closing,
    };
    let handed = place.desk.hand(&id, topic, message, held, &mut patience);
    match handed.await {
        Handed::Over => Answer {
            status: if only_taken { 202 } else { 200 },
            error: None,
            head_only: false,
        },
        // Go answers 200, and what was posted is lost. Its publishers look at no status; ours sends
        // the message to another member of the queue.
        Handed::Nobody => Answer::error(Error::not_found(ID, "nobody has subscribed by this id")),
        Handed::Full => Answer::error(Error::unavailable(
            ID,
            "the subscription has no room: its queue is full, or the broker is closing",
        )),
    }
}

/// Whether a request may be dealt with.
fn admit(head: &Head, method: &[u8], target: &[u8], loopback: Option<&str>) -> Result<(), Answer> {
    let count = |wanted: &[u8]| head.fields().filter(|(name, _)| *name == wanted).count();
    if head.get(b"Origin").is_some() {
        let words = "pages may not publish here";
        return Err(Answer::error(Error::forbidden(ID, words)));
    }
    let hosts = count(b"Host");
    if hosts > 1 || (hosts == 0 && head.http11) {
        let words = "a request names one Host";
        return Err(Answer::error(Error::bad_request(ID, words)));
    }
    let host = head.get(b"Host").unwrap_or_default();
    if loopback.is_some_and(|own| !is_loopback(host) && own.as_bytes() != host) {
        let words = "the broker listens on loopback, and the Host header names another place";
        return Err(Answer::error(Error::forbidden(ID, words)));
    }
    if method != b"POST" {
        return Err(Answer {
            status: 405,
            // Go's error says another code than its status.
            ..Answer::error(Error::bad_request(ID, "Method not allowed"))
        });
    }
    if path(target) != b"/" {
        let words = "messages are posted to /";
        return Err(Answer::error(Error::not_found(ID, words)));
    }
    let media = head.get(b"Content-Type").unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    let encoded = head.get(b"Content-Encoding").is_some_and(|encoding| {
        !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
    });
    if encoded || count(b"Content-Type") > 1 || !media.trim_ascii().eq_ignore_ascii_case(JSON) {
        let words = "messages are posted as application/json, and not compressed";
        return Err(Answer::error(Error::new(ID, words, 415)));
    }
    Ok(())
}

/// Whether the publisher wants to know that its message is taken, and not to wait for the handler
/// (RFC 7240 section 4.1). Ours says so, Go Micro's does not.
fn prefers_async(head: &Head) -> bool {
    head.get(b"Prefer").is_some_and(|preferences| {
        let mut all = preferences.split(|byte| *byte == b',' || *byte == b';');
        all.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"respond-async"))
    })
}

const JSON: &[u8] = b"application/json";

fn path(target: &[u8]) -> &[u8] {
    target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default()
}

/// The first `id` of the query, unescaped; a pair whose escapes are wrong is passed over, as in Go.
fn node_id(target: &[u8]) -> Option<String> {
    let query = target.splitn(2, |byte| *byte == b'?').nth(1)?;
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let key = unescaped(sides.next()?)?;
        let value = unescaped(sides.next().unwrap_or_default())?;
        (key == "id").then(|| value.into_owned())
    })
}

/// Text of a query; `None` where it is not UTF-8, or has a `%` without two digits or a `;`.
fn unescaped(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| b"%+;".contains(byte)) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b';' => return None,
            b'+' => b' ',
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            byte => *byte,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_readable_id_of_a_query_counts() {
        for (target, id) in [
            ("/?id=a-1", Some("a-1")),
            ("/?x=y&id=a-1&id=b", Some("a-1")),
            ("/?id=a%2Fb+c%2b%C3%A9", Some("a/b c+é")),
            ("/?%69d=a", Some("a")),
            ("/?id", Some("")),
            ("/?id=%zz&id=b", Some("b")),
            ("/?id=%f", None),
            ("/?id=%ff", None),
            ("/?id=a;b", None),
            ("/?ID=a", None),
            ("/", None),
            ("/?", None),
            ("/?id=a?b=c", Some("a?b=c")),
        ] {
            assert_eq!(node_id(target.as_bytes()).as_deref(), id, "{target}");
        }
    }
}
