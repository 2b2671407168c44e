//! What a response means. Only its status, its body, `Content-Type`, `Micro-Error` and our own
//! header are looked at: the rest may echo another call's.

use bytes::Bytes;

use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::http1::{Head, Start};
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::{ENDS_OPEN, EOS, STREAM_ENDS, TEXT_PLAIN, UNPROCESSED};

/// The longest text of a peer that is put into an error.
const LONGEST_TEXT: usize = 1024;

/// What the caller asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) content_type: &'a str,
    pub(super) envelope: Envelope,
}

/// A response's meaning, where it is no error.
#[derive(Debug)]
pub(super) enum Answer {
    /// A message, out of its envelope.
    Message(Bytes),
    /// The end of a stream.
    End,
    /// The server's word that it will send the end of this stream.
    Ends,
}

/// Reads a response.
///
/// # Errors
/// The handler's error, or what is wrong with the response.
pub(super) fn read(head: &Head, body: Bytes, expected: &Expected<'_>) -> Result<Answer> {
    if let Start::Status { code, reason } = head.start()
        && code != 200
    {
        return Err(status_error(code, reason, &body));
    }
    let words = head.get(b"Micro-Error").filter(|words| !words.is_empty());
    if let Some(words) = words {
        if words == EOS.as_bytes() {
            return Ok(Answer::End);
        }
        // An envelope's error is the same in its own words, and not shortened by any header.
        let within = match expected.envelope {
            Envelope::Bare | Envelope::Grpc => None,
            envelope => envelope.open_reply(body).ok(),
        };
        let words = String::from_utf8_lossy(words);
        return Err(match within {
            Some(opened) if !opened.error.is_empty() => Error::from_wire(&opened.error),
            _ => Error::from_wire(&words),
        });
    }
    if head.get(STREAM_ENDS.as_bytes()) == Some(ENDS_OPEN.as_bytes()) {
        return Ok(Answer::Ends);
    }
    let content_type = head.get(b"Content-Type").unwrap_or_default();
    if content_type.starts_with(TEXT_PLAIN.as_bytes())
        && content_type != expected.content_type.as_bytes()
    {
        return Err(Error::internal(id::CLIENT_CODEC, text_of(&body)).caused_by(Cause::Garbled));
    }
    let opened = expected.envelope.open_reply(body).map_err(|error| {
        Error::internal(
            id::CLIENT_CODEC,
            format!("the reply's envelope cannot be read: {}", error.detail()),
        )
        .caused_by(Cause::Garbled)
    })?;
    match &*opened.error {
        "" => {}
        EOS => return Ok(Answer::End),
        words => return Err(Error::from_wire(words)),
    }
    Ok(Answer::Message(opened.message))
}

/// Whether the response says that call number `number` has reached no handler.
pub(super) fn is_unprocessed(head: &Head, number: u64) -> bool {
    let said = head.get(UNPROCESSED.as_bytes());
    said.is_some_and(|said| {
        let said = std::str::from_utf8(said).ok();
        said.and_then(|said| said.parse().ok()) == Some(number)
    })
}

/// A status that no mucp server sends: a proxy's, or of a server that speaks something else.
fn status_error(code: u16, reason: &[u8], body: &[u8]) -> Error {
    let reason = String::from_utf8_lossy(reason);
    let words = format!("{code} {reason}: {}", text_of(body));
    let code = if (400..600).contains(&code) {
        code
    } else {
        500
    };
    let cause = match code {
        // Somebody on the way takes no more.
        429 | 503 => Cause::Refused,
        _ => Cause::Garbled,
    };
    Error::new(id::CLIENT_TRANSPORT, words, i32::from(code)).caused_by(cause)
}

fn text_of(body: &[u8]) -> String {
    let part = body.get(..LONGEST_TEXT.min(body.len())).unwrap_or_default();
    String::from_utf8_lossy(part).trim().to_owned()
}
