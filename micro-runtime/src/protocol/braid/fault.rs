//! What a peer can do wrong on a connection; each ends it.

use std::fmt;

use super::wire::{CallId, HEAD, Kind};
use crate::error::why::Cause;
use crate::error::{Error, id};

/// A violation of the protocol. Its [code](Fault::code) and words go to the peer in a GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The first bytes are not braid's.
    Magic,
    /// A version that is not spoken here.
    Version(u16),
    Kind(u8),
    Flags {
        kind: Kind,
        flags: u8,
    },
    Length {
        kind: Kind,
        length: u32,
        longest: usize,
    },
    /// The payload ends within a field.
    Short(Kind),
    /// The payload goes on after its last field.
    Long(Kind),
    /// Text that is not UTF-8.
    Text(Kind),
    /// More metadata, or a longer message, than this side has said it takes.
    Limit(Kind),
    /// A HELLO that is not the first frame, or a first frame that is none.
    Hello,
    /// A kind of frame that this side does not take.
    Direction(Kind),
    /// A route that was not interned, or one that may not be.
    Route(u16),
    /// A call beyond the number that may be in flight.
    Index(CallId),
    /// A call with an id that is in use, or was.
    Busy(CallId),
    /// A frame of a call that there never was.
    Unknown(CallId),
    /// More messages than the window allows.
    Overflow(CallId),
    /// A message after the end of its direction.
    Ended(CallId),
    /// More credit than can be counted.
    Credit(CallId),
    /// A reply that does not fit the call: a stream's message before its opening, a second opening.
    Order(CallId),
    /// A frame, or a message in pieces, that was begun and not finished in time.
    Slow,
    /// A number that its field cannot have.
    Number(Kind),
    /// A message whose compression is broken, or was not agreed on.
    Packed(CallId),
    /// A piece of a message that was not begun, or that is not as long as it was told.
    Piece(CallId),
    /// More pings than are answered.
    Pings,
}

impl Fault {
    /// The number in a GOAWAY; 0 there means that nothing is wrong.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Magic => 1,
            Self::Version(_) => 2,
            Self::Kind(_) => 3,
            Self::Flags { .. } => 4,
            Self::Length { .. } => 5,
            Self::Short(_) => 6,
            Self::Long(_) => 7,
            Self::Text(_) => 8,
            Self::Limit(_) => 9,
            Self::Hello => 10,
            Self::Direction(_) => 11,
            Self::Route(_) => 12,
            Self::Index(_) => 13,
            Self::Busy(_) => 14,
            Self::Unknown(_) => 15,
            Self::Overflow(_) => 16,
            Self::Ended(_) => 17,
            Self::Credit(_) => 18,
            Self::Order(_) => 19,
            Self::Slow => 20,
            Self::Number(_) => 21,
            Self::Packed(_) => 22,
            Self::Piece(_) => 23,
            Self::Pings => 24,
        }
    }

    /// What callers on the connection get.
    pub(super) fn to_error(self) -> Error {
        let cause = match self {
            Self::Slow => Cause::Silent,
            _ => Cause::Garbled,
        };
        Error::internal(id::CLIENT_TRANSPORT, format!("braid: {self}")).caused_by(cause)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the peer does not speak braid"),
            Self::Version(version) => write!(f, "version {version} is not spoken here, 1 is"),
            Self::Kind(kind) => write!(f, "there is no frame of kind {kind}"),
            Self::Flags { kind, flags } => {
                write!(f, "a frame of kind {kind:?} has no flags {flags:#04x}")
            }
            Self::Length {
                kind,
                length,
                longest,
            } => write!(
                f,
                "{kind:?} with {length} bytes after its {HEAD}, at most {longest} are taken"
            ),
            Self::Short(kind) => write!(f, "{kind:?} ends within a field"),
            Self::Long(kind) => write!(f, "{kind:?} goes on after its last field"),
            Self::Text(kind) => write!(f, "text in {kind:?} is not UTF-8"),
            Self::Limit(kind) => write!(f, "{kind:?} is over a limit told in the HELLO"),
            Self::Hello => f.write_str("HELLO must be the first frame and only that"),
            Self::Direction(kind) => write!(f, "{kind:?} is not taken on this side"),
            Self::Route(route) => write!(f, "route {route} was not named, or may not be"),
            Self::Index(id) => write!(f, "call {id} is over the number of calls in flight"),
            Self::Busy(id) => write!(f, "call {id} has an id that was used before"),
            Self::Unknown(id) => write!(f, "call {id} was never made"),
            Self::Overflow(id) => write!(f, "call {id} sends more messages than it has credit for"),
            Self::Ended(id) => write!(f, "call {id} sends a message after its end"),
            Self::Credit(id) => write!(f, "call {id} gives more credit than can be counted"),
            Self::Order(id) => write!(f, "call {id} is answered out of order"),
            Self::Slow => f.write_str("a frame or a message was not finished in time"),
            Self::Number(kind) => write!(f, "{kind:?} has a number that its field cannot have"),
            Self::Packed(id) => write!(f, "call {id} has a message that cannot be unpacked"),
            Self::Piece(id) => write!(f, "call {id} has a piece that belongs to no message"),
            Self::Pings => f.write_str("more pings than are answered"),
        }
    }
}
