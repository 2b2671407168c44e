//! What a frame is: its head, its kinds and flags, and the limits that both sides tell.

use std::fmt;

use super::fault::Fault;
use crate::metadata::Metadata;

/// The first bytes of a connection, both ways. The first is no letter, not TLS's 0x16 and not below
/// 0x80, so that every other protocol on the port can be told apart.
pub(super) const MAGIC: [u8; 4] = [0xC7, b'm', b'i', b'c'];
/// The version in a HELLO.
pub(super) const VERSION: u16 = 1;
/// How long a frame's head is.
pub(super) const HEAD: usize = 16;
/// How many names a connection's calls may intern, and how many bytes they may take together.
pub(super) const ROUTES: usize = 512;
pub(super) const ROUTE_BYTES: usize = 64 * 1024;
/// The number of a route that is named in its call and not interned.
pub(super) const NO_ROUTE: u16 = u16::MAX;
/// How long a service's name, a method's path and a content type may each be.
pub(super) const NAME: usize = 1024;
/// How long the payload of an ERROR may be.
pub(super) const ERROR: usize = 64 * 1024;
/// How long the payloads of a HELLO and of a GOAWAY may be.
const SMALL: usize = 1024;
/// Deadline, names and counts beside metadata and message, with room to spare.
const FIXED: usize = 4 * 1024;
/// How much of a message is in one frame of ours at most; what is longer comes in pieces.
pub(super) const PIECE: usize = 128 * 1024;
/// The smallest piece that a side may ask for.
const LEAST_PIECE: usize = 1024;
/// How many pairs of metadata a side remembers for its peer, and how many bytes of them.
pub(super) const ENTRIES: usize = 128;
pub(super) const ENTRY_BYTES: usize = 16 * 1024;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 1,
    Call = 2,
    Reply = 3,
    Error = 4,
    Message = 5,
    End = 6,
    Cancel = 7,
    Credit = 8,
    Ping = 9,
    Goaway = 10,
    Piece = 11,
}

/// Bits of a head's flags; what a bit means depends on the kind.
pub(super) mod flag {
    /// CALL: service, path and content type are named.
    pub(in super::super) const NAMES: u8 = 1;
    /// CALL: a deadline is there.
    pub(in super::super) const DEADLINE: u8 = 2;
    /// CALL, REPLY, ERROR: a metadata block is there.
    pub(in super::super) const METADATA: u8 = 4;
    /// CALL, REPLY: a message, or its first piece, is there.
    pub(in super::super) const BODY: u8 = 8;
    /// CALL: no more messages follow.
    pub(in super::super) const LAST: u8 = 16;
    /// CALL: the caller awaits a stream.
    pub(in super::super) const STREAM: u8 = 32;
    /// REPLY, END: a block of trailers is there.
    pub(in super::super) const TRAILERS: u8 = 32;
    /// CALL, REPLY, MESSAGE, PIECE: the message goes on in a PIECE.
    pub(in super::super) const MORE: u8 = 64;
    /// CALL, REPLY, MESSAGE: the message is compressed.
    pub(in super::super) const PACKED: u8 = 128;
    /// ERROR: the request certainly reached no handler.
    pub(in super::super) const UNPROCESSED: u8 = 1;
    /// ERROR: a gRPC status code is there.
    pub(in super::super) const GRPC: u8 = 2;
    /// ERROR: a status text is there.
    pub(in super::super) const STATUS: u8 = 8;
    /// PING: this is the answer.
    pub(in super::super) const ANSWER: u8 = 1;
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Call,
            3 => Self::Reply,
            4 => Self::Error,
            5 => Self::Message,
            6 => Self::End,
            7 => Self::Cancel,
            8 => Self::Credit,
            9 => Self::Ping,
            10 => Self::Goaway,
            11 => Self::Piece,
            _ => return None,
        })
    }

    /// The flags that a frame of this kind may have.
    fn flags(self) -> u8 {
        match self {
            Self::Call => {
                flag::NAMES
                    | flag::DEADLINE
                    | flag::METADATA
                    | flag::BODY
                    | flag::LAST
                    | flag::STREAM
                    | flag::MORE
                    | flag::PACKED
            }
            Self::Reply => flag::METADATA | flag::BODY | flag::TRAILERS | flag::MORE | flag::PACKED,
            Self::Message => flag::MORE | flag::PACKED,
            Self::Piece => flag::MORE,
            Self::Error => flag::UNPROCESSED | flag::GRPC | flag::METADATA | flag::STATUS,
            Self::End => flag::TRAILERS,
            Self::Ping => flag::ANSWER,
            Self::Hello | Self::Cancel | Self::Credit | Self::Goaway => 0,
        }
    }

    /// The longest payload that a side with these limits takes.
    fn longest(self, limits: &Hello) -> usize {
        let piece = limits.piece as usize;
        let metadata = limits.metadata as usize;
        match self {
            Self::Call => piece.saturating_add(metadata).saturating_add(FIXED),
            Self::Reply => piece
                .saturating_add(metadata.saturating_mul(2))
                .saturating_add(FIXED),
            // With its length before it where it goes on.
            Self::Message => piece.saturating_add(4),
            Self::Piece => piece,
            Self::Error => ERROR,
            Self::End => metadata.saturating_add(FIXED),
            Self::Hello | Self::Goaway => SMALL,
            Self::Credit => 16,
            Self::Cancel | Self::Ping => 8,
        }
    }
}

/// A call on a connection: a place in the caller's slab, and how often that was used.
///
/// The generation tells a late frame of an earlier call from one of the call that has its place now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CallId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl CallId {
    /// What frames that belong to no call carry.
    pub(super) const NONE: Self = Self {
        index: 0,
        generation: 0,
    };

    /// Whether this is of an earlier use of the place than `generation`, or of that one.
    pub(super) fn is_within(self, generation: u32) -> bool {
        // Wraps after 2³² uses of one place: far enough from what can be late.
        generation.wrapping_sub(self.generation) < u32::MAX / 2
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How long the payload is.
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// CALL: the number of the route. 0 elsewhere.
    pub(super) route: u16,
    pub(super) id: CallId,
}

impl Head {
    /// The head of a frame about to be written; its length is filled in then.
    pub(super) const fn new(kind: Kind, flags: u8, id: CallId) -> Self {
        Self {
            length: 0,
            kind,
            flags,
            route: 0,
            id,
        }
    }

    /// Reads a head, and refuses one that no frame within `limits` has.
    pub(super) fn parse(bytes: &[u8; HEAD], limits: &Hello) -> Result<Self, Fault> {
        let [
            l0,
            l1,
            l2,
            l3,
            kind,
            flags,
            r0,
            r1,
            i0,
            i1,
            i2,
            i3,
            g0,
            g1,
            g2,
            g3,
        ] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = Kind::from_byte(kind).ok_or(Fault::Kind(kind))?;
        if flags & !kind.flags() != 0 {
            return Err(Fault::Flags { kind, flags });
        }
        let longest = kind.longest(limits);
        if length as usize > longest {
            return Err(Fault::Length {
                kind,
                length,
                longest,
            });
        }
        Ok(Self {
            length,
            kind,
            flags,
            route: u16::from_le_bytes([r0, r1]),
            id: CallId {
                index: u32::from_le_bytes([i0, i1, i2, i3]),
                generation: u32::from_le_bytes([g0, g1, g2, g3]),
            },
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.route.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.id.index.to_le_bytes());
        bytes[12..].copy_from_slice(&self.id.generation.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What a side takes, told in its first frame. A peer that sends more is in the wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Calls in flight at once; indexes are below it. 0 on a client, which takes none.
    pub(super) calls: u32,
    /// Bytes of one message, and of all together that have begun to come in pieces.
    pub(super) message: u32,
    /// Messages of one stream that are not yet credited; at least 1.
    pub(super) window: u32,
    /// Bytes of one metadata block.
    pub(super) metadata: u32,
    /// Pairs of one metadata block.
    pub(super) pairs: u32,
    /// Bytes of one stream's messages that are not yet credited; at least 1. The last message may go
    /// beyond it.
    pub(super) bytes: u32,
    /// Bytes of a message in one frame; at least [`LEAST_PIECE`].
    pub(super) piece: u32,
    /// Pairs of metadata that are remembered, and their bytes.
    pub(super) entries: u32,
    pub(super) entry_bytes: u32,
    /// What messages may be compressed with: a bit for each [encoding](super::packed).
    pub(super) encodings: u32,
}

impl Hello {
    /// What this side tells.
    pub(super) fn ours(
        calls: usize,
        message: usize,
        [window, bytes]: [usize; 2],
        [metadata, pairs]: [usize; 2],
    ) -> Self {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            calls: small(calls),
            message: small(message),
            window: small(window),
            metadata: small(metadata),
            pairs: small(pairs),
            bytes: small(bytes),
            piece: small(PIECE),
            entries: small(ENTRIES),
            entry_bytes: small(ENTRY_BYTES),
            encodings: super::packed::READS,
        }
        .within_bounds()
    }

    /// The same, with nothing that could not be counted or could hold up a stream for ever.
    fn within_bounds(self) -> Self {
        Self {
            // The rest of the frame must fit in its length too.
            message: self.message.min(u32::MAX / 2),
            window: self.window.max(1),
            metadata: self.metadata.min(u32::MAX / 8),
            bytes: self.bytes.max(1),
            piece: self.piece.clamp(LEAST_PIECE as u32, u32::MAX / 2),
            ..self
        }
    }

    /// The numbers in the order in which they are told.
    pub(super) fn numbers(&self) -> [u32; 10] {
        [
            self.calls,
            self.message,
            self.window,
            self.metadata,
            self.pairs,
            self.bytes,
            self.piece,
            self.entries,
            self.entry_bytes,
            self.encodings,
        ]
    }

    /// What a peer has told.
    pub(super) fn from_numbers(numbers: [u32; 10]) -> Self {
        let [
            calls,
            message,
            window,
            metadata,
            pairs,
            bytes,
            piece,
            entries,
            entry_bytes,
            encodings,
        ] = numbers;
        Self {
            calls,
            message,
            window,
            metadata,
            pairs,
            bytes,
            piece,
            entries,
            entry_bytes,
            encodings,
        }
        .within_bounds()
    }

    /// What may be sent of a stream to a side with these limits before it gives credit.
    pub(super) fn window(&self) -> Credit {
        Credit {
            messages: self.window,
            bytes: self.bytes,
        }
    }

    /// Whether a peer with these limits takes `metadata`.
    pub(super) fn takes(&self, metadata: &Metadata) -> bool {
        metadata.len() <= self.pairs as usize && block_size(metadata) <= self.metadata as usize
    }
}

/// How many messages of a stream, and how many bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Credit {
    pub(super) messages: u32,
    pub(super) bytes: u32,
}

impl Credit {
    pub(super) const NONE: Self = Self {
        messages: 0,
        bytes: 0,
    };

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.messages.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }
}

/// How many bytes of a metadata block count against the limit: its pairs with their lengths.
pub(super) fn block_size(metadata: &Metadata) -> usize {
    metadata
        .iter_text()
        .map(|(key, value)| PAIR + key.as_bytes().len() + value.as_bytes().len())
        .sum()
}

/// What a pair counts beside its texts.
pub(super) const PAIR: usize = 6;

/// One frame, its payload a slice of the buffer that it was read into.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) payload: bytes::Bytes,
}
