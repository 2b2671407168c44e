//! Messages out of a stream of bytes.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use super::chunked::{Chunked, Trailers};
use super::head::{Field, Head, Scan, Start};
use super::{Bounds, Malformed};
use crate::transport::Io;

/// What is read at once where nothing is known of what comes.
const READ: usize = 8 * 1024;
/// Room below this is not worth a read.
const LITTLE: usize = 1024;
/// What is read at once of a body that is taken in pieces, and how long a piece becomes.
const PIECE: usize = 16 * 1024;
/// How many informational responses may come before an answer.
const INFORMATIONAL: usize = 8;
/// A buffer that has held a larger body is not kept for the next message.
const KEEP: usize = 64 * 1024;

/// Which way messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// We are the server.
    Request,
    /// We are the client.
    Response,
}

/// A message, whole.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its head.
    pub(crate) head: Head,
    /// Its body, without chunks.
    pub(crate) body: Bytes,
    /// Whether another message may follow on the connection.
    pub(crate) keep_alive: bool,
}

/// The beginning of a message whose body is taken in pieces.
#[cfg_attr(
    not(any(test, feature = "grpc")),
    expect(
        dead_code,
        reason = "only what is built on gRPC takes bodies in pieces"
    )
)]
#[derive(Debug)]
pub(crate) struct Opening {
    /// Its head.
    pub(crate) head: Head,
    /// How long the body is, where the head says it; 0 where there is none.
    pub(crate) length: Option<usize>,
    /// Whether another message may follow on the connection.
    pub(crate) keep_alive: bool,
}

/// What there is of a body that is taken in pieces.
#[cfg_attr(
    not(any(test, feature = "grpc")),
    expect(
        dead_code,
        reason = "only what is built on gRPC takes bodies in pieces"
    )
)]
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of it, not none.
    Data(Bytes),
    /// Nothing before more is read.
    Nothing,
    /// It has ended.
    End(Trailers),
}

/// Cuts messages from bytes as they come.
///
/// A message is taken whole ([`decode`](Decoder::decode)), or its head first
/// ([`head`](Decoder::head), [`open`](Decoder::open)) and then its body as it comes
/// ([`piece`](Decoder::piece)).
#[derive(Debug)]
pub(crate) struct Decoder {
    role: Role,
    bounds: Bounds,
    state: State,
    /// The list of fields of an earlier head.
    spare: Vec<Field>,
    /// Informational responses since the last answer.
    informational: usize,
}

#[derive(Debug)]
enum State {
    Head(Scan),
    Body {
        head: Head,
        framing: Framing,
    },
    /// The head is taken, the body comes in pieces.
    Pieces(Framing),
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunked(Chunked),
    /// Only a response may end with its connection.
    UntilClose,
    /// All pieces are taken, and only their end is left to be told.
    Ended(Trailers),
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub(crate) fn new(role: Role, bounds: Bounds) -> Self {
        Self {
            role,
            bounds,
            state: State::Head(Scan::default()),
            spare: Vec::new(),
            informational: 0,
        }
    }

    /// The next message in `inbox`; `None` where bytes are missing.
    ///
    /// # Errors
    /// Where the bytes are no message that we take.
    pub(crate) fn decode(&mut self, inbox: &mut BytesMut) -> Result<Option<Message>, Malformed> {
        self.read_head(inbox)?;
        let State::Body { framing, .. } = &mut self.state else {
            return Ok(None);
        };
        let body = match framing {
            Framing::Length(length) if *length > self.bounds.body => {
                return Err(Malformed::BodyTooLarge);
            }
            Framing::Length(length) if inbox.len() < *length => return Ok(None),
            Framing::Length(length) => {
                let body = inbox.split_to(*length).freeze();
                if *length > KEEP {
                    *inbox = BytesMut::from(&inbox[..]);
                }
                body
            }
            Framing::Chunked(chunked) => match chunked.decode(inbox, self.bounds.body)? {
                Some(body) => body,
                None => return Ok(None),
            },
            Framing::UntilClose if inbox.len() > self.bounds.body => {
                return Err(Malformed::BodyTooLarge);
            }
            Framing::UntilClose => return Ok(None),
            // Only of pieces.
            Framing::Ended(_) => Bytes::new(),
        };
        Ok(self.finish(body))
    }

    /// The head of the message that comes next or is coming, read before its body is there; `None`
    /// where bytes of it are missing. It stays until the message is taken, whole or by
    /// [`open`](Decoder::open). Of responses, those that only inform are passed over.
    ///
    /// # Errors
    /// Where the bytes are no head that we take.
    pub(crate) fn head(&mut self, inbox: &mut BytesMut) -> Result<Option<&Head>, Malformed> {
        while let Err(malformed) = self.read_head(inbox) {
            // Which response informs was told when all else of its head was found good, and its
            // bytes are gone from the inbox.
            self.informational += 1;
            if malformed != Malformed::Informational || self.informational > INFORMATIONAL {
                return Err(malformed);
            }
        }
        Ok(match &self.state {
            State::Body { head, .. } => Some(head),
            State::Head(_) | State::Pieces(_) => None,
        })
    }

    /// Takes the head that is there, so that the body comes in pieces; `None` where there is none.
    ///
    /// How long the body may be is for the taker of its pieces.
    #[cfg_attr(
        not(any(test, feature = "grpc")),
        expect(
            dead_code,
            reason = "only what is built on gRPC takes bodies in pieces"
        )
    )]
    pub(crate) fn open(&mut self) -> Option<Opening> {
        let (head, framing) = match std::mem::replace(&mut self.state, State::Head(Scan::default()))
        {
            State::Body { head, framing } => (head, framing),
            other => {
                self.state = other;
                return None;
            }
        };
        self.informational = 0;
        let opening = Opening {
            length: match framing {
                Framing::Length(length) => Some(length),
                Framing::Chunked(_) | Framing::UntilClose | Framing::Ended(_) => None,
            },
            keep_alive: !matches!(framing, Framing::UntilClose) && keeps_alive(&head),
            head,
        };
        self.state = State::Pieces(framing);
        Some(opening)
    }

    /// What `inbox` has of the body that has been opened. After its end the next message follows.
    ///
    /// # Errors
    /// Where the bytes are no body.
    #[cfg_attr(
        not(any(test, feature = "grpc")),
        expect(
            dead_code,
            reason = "only what is built on gRPC takes bodies in pieces"
        )
    )]
    pub(crate) fn piece(&mut self, inbox: &mut BytesMut) -> Result<Piece, Malformed> {
        let State::Pieces(framing) = &mut self.state else {
            return Ok(Piece::Nothing);
        };
        let trailers = match framing {
            Framing::Length(0) => Trailers::new(),
            Framing::Length(left) => {
                let n = inbox.len().min(*left).min(PIECE);
                *left -= n;
                return Ok(data(inbox.split_to(n).freeze()));
            }
            Framing::Chunked(chunked) => {
                let ended = chunked.gather(inbox, usize::MAX, PIECE)?;
                let gathered = chunked.take();
                match ended {
                    Some(trailers) if gathered.is_empty() => trailers,
                    Some(trailers) => {
                        *framing = Framing::Ended(trailers);
                        return Ok(Piece::Data(gathered));
                    }
                    None => return Ok(data(gathered)),
                }
            }
            Framing::Ended(trailers) => std::mem::take(trailers),
            Framing::UntilClose => {
                let n = inbox.len().min(PIECE);
                return Ok(data(inbox.split_to(n).freeze()));
            }
        };
        self.state = State::Head(Scan::default());
        Ok(Piece::End(trailers))
    }

    /// The end of a body in pieces by the end of its connection, when `inbox` has no more of it.
    ///
    /// # Errors
    /// Where the body should have gone on.
    #[cfg_attr(
        not(any(test, feature = "grpc")),
        expect(
            dead_code,
            reason = "only what is built on gRPC takes bodies in pieces"
        )
    )]
    pub(crate) fn end_piece(&mut self) -> Result<(), Malformed> {
        match &self.state {
            State::Pieces(Framing::UntilClose) => {
                self.state = State::Head(Scan::default());
                Ok(())
            }
            State::Head(_) | State::Body { .. } | State::Pieces(_) => Err(Malformed::Truncated),
        }
    }

    /// Reads a head, if the next thing is one and it is there.
    fn read_head(&mut self, inbox: &mut BytesMut) -> Result<(), Malformed> {
        // Who speaks something else may wait for us while we wait for the rest of a head.
        if self.role == Role::Response
            && matches!(self.state, State::Head(_))
            && !begins_a_response(inbox)
        {
            return Err(Malformed::Version);
        }
        if let State::Head(scan) = &mut self.state
            && let Some(end) = scan.end(inbox, self.bounds.head, false)?
        {
            *scan = Scan::default();
            let spare = std::mem::take(&mut self.spare);
            let head = Head::parse(inbox.split_to(end), self.role, self.bounds.headers, spare)?;
            let framing = framing(&head, self.role, self.bounds.body)?;
            self.state = State::Body { head, framing };
        }
        Ok(())
    }

    /// The last message when the connection has ended; `None` where it ended between two.
    ///
    /// # Errors
    /// Where it ended within one.
    pub(crate) fn end(&mut self, inbox: &mut BytesMut) -> Result<Option<Message>, Malformed> {
        match &self.state {
            State::Head(_) if inbox.is_empty() => Ok(None),
            State::Body {
                framing: Framing::UntilClose,
                ..
            } => {
                let body = std::mem::take(inbox).freeze();
                Ok(self.finish(body))
            }
            State::Head(_) | State::Body { .. } | State::Pieces(_) => Err(Malformed::Truncated),
        }
    }

    /// Whether no message has begun.
    pub(crate) fn is_between(&self, inbox: &BytesMut) -> bool {
        matches!(self.state, State::Head(_)) && inbox.is_empty()
    }

    /// Whether a head is there and its body is not.
    pub(crate) fn has_head(&self) -> bool {
        matches!(self.state, State::Body { .. })
    }

    /// Takes the head of a message whose body cannot be had, so that its sender can be answered.
    pub(crate) fn take_head(&mut self) -> Option<Head> {
        match std::mem::replace(&mut self.state, State::Head(Scan::default())) {
            State::Body { head, .. } => Some(head),
            State::Head(_) | State::Pieces(_) => None,
        }
    }

    /// Takes the buffers of a head that is done with.
    pub(crate) fn recycle(&mut self, head: Head) {
        self.spare = head.into_spare();
    }

    /// How many bytes to make room for before the next read.
    ///
    /// It grows with what has come, never by what a peer says will come.
    pub(crate) fn room(&self, inbox: &BytesMut) -> usize {
        match &self.state {
            State::Body {
                framing: Framing::Length(length),
                ..
            } => length
                .saturating_sub(inbox.len())
                .clamp(1, inbox.len().max(READ)),
            State::Pieces(Framing::Length(left)) => (*left).clamp(1, PIECE),
            State::Pieces(_) => PIECE,
            State::Body { .. } | State::Head(_) => READ,
        }
    }

    fn finish(&mut self, body: Bytes) -> Option<Message> {
        match std::mem::replace(&mut self.state, State::Head(Scan::default())) {
            State::Body { head, framing } => {
                let keep_alive = !matches!(framing, Framing::UntilClose) && keeps_alive(&head);
                Some(Message {
                    head,
                    body,
                    keep_alive,
                })
            }
            State::Head(_) | State::Pieces(_) => None,
        }
    }
}

fn data(bytes: Bytes) -> Piece {
    match bytes.is_empty() {
        true => Piece::Nothing,
        false => Piece::Data(bytes),
    }
}

/// How the body after `head` ends (RFC 9112 section 6.3, without its leniencies).
fn framing(head: &Head, role: Role, bound: usize) -> Result<Framing, Malformed> {
    let mut length = None;
    let mut chunked = false;
    for (name, value) in head.fields() {
        match name {
            b"Content-Length" => {
                if length.is_some() {
                    return Err(Malformed::TwoLengths);
                }
                length = Some(parse_length(value)?);
            }
            b"Transfer-Encoding" => {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") || !head.http11 {
                    return Err(Malformed::Encoding);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    let bodiless = match head.start() {
        Start::Status { code, .. } if (100..200).contains(&code) => {
            return Err(Malformed::Informational);
        }
        Start::Status { code, .. } => matches!(code, 204 | 304),
        Start::Request { .. } => false,
    };
    match (length, chunked) {
        (Some(_), true) => Err(Malformed::LengthAndEncoding),
        _ if bodiless => Ok(Framing::Length(0)),
        (Some(length), false) => Ok(Framing::Length(
            usize::try_from(length).unwrap_or(bound.saturating_add(1)),
        )),
        (None, true) => Ok(Framing::Chunked(Chunked::default())),
        (None, false) if role == Role::Response => Ok(Framing::UntilClose),
        (None, false) => Ok(Framing::Length(0)),
    }
}

/// Whether `inbox` is the beginning of a response, as far as can be told.
fn begins_a_response(inbox: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"HTTP/1.";
    inbox
        .iter()
        .zip(BEGINNING)
        .all(|(byte, wanted)| byte == wanted)
}

/// Digits alone: `+5`, `5, 5` and the like are read differently by different parsers.
fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Length);
    }
    // A number too long for 64 bits is a body too long for any bound.
    Ok(std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(u64::MAX))
}

fn keeps_alive(head: &Head) -> bool {
    let mut keep_alive = head.http11;
    for (name, value) in head.fields() {
        if name == b"Connection" {
            for token in value.split(|byte| *byte == b',') {
                let token = token.trim_ascii();
                if token.eq_ignore_ascii_case(b"close") {
                    return false;
                }
                keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    keep_alive
}

/// Reads once into `inbox`, which gets `room` if it has little; 0 is the end of the connection.
pub(crate) fn poll_fill(
    io: &mut dyn Io,
    inbox: &mut BytesMut,
    room: usize,
    task: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if inbox.capacity() - inbox.len() < room.min(LITTLE) {
        inbox.reserve(room);
    }
    pin!(io.read_buf(inbox)).poll(task)
}
