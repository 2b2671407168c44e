//! DNS messages: read from anybody, written without compression.
//!
//! Reading holds little whatever comes: names are at most 255 bytes, a pointer leads backwards only
//! and so many times, and a message has at most so many records as its reader says. What nobody here
//! needs is passed over.

mod name;
mod read;
#[cfg(test)]
pub(super) mod tests;
mod write;

pub(super) use name::{BadName, Name};

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How many questions and records a message of multicast DNS may have; Go Micro's have four.
pub(super) const MAX_RECORDS: usize = 256;
/// The largest message that one datagram carries over either IP.
pub(super) const MAX_MESSAGE: usize = 65_000;

/// An answer, and no question.
pub(super) const RESPONSE: u16 = 0x8000;
/// An answer by who knows best.
pub(super) const AUTHORITATIVE: u16 = 0x0400;
/// It did not fit, and is cut somewhere.
pub(super) const TRUNCATED: u16 = 0x0200;
/// The asker would like the server to ask others.
pub(super) const RECURSION: u16 = 0x0100;
/// The kind of question.
const OPCODE: u16 = 0x7800;
/// The success of an answer.
const RCODE: u16 = 0x000f;
/// The kind of question and the success of an answer: other than 0 they are not for us.
const OPCODE_AND_RCODE: u16 = 0x780f;

/// The internet.
pub(super) const IN: u16 = 1;
/// In a question: an answer to the asker alone is welcome; in a record: forget what you knew.
const TOP_BIT: u16 = 0x8000;

/// Types of records, and of questions for them.
pub(super) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    /// What a sender can do beside the oldest form (RFC 6891).
    pub(crate) const OPT: u16 = 41;
    pub(crate) const ANY: u16 = 255;
}

/// How answers go.
pub(super) mod rcode {
    pub(crate) const SUCCESS: u16 = 0;
    /// The question was not understood.
    pub(crate) const FORMAT: u16 = 1;
    /// There is no such name.
    pub(crate) const NO_NAME: u16 = 3;
    pub(crate) const NOT_IMPLEMENTED: u16 = 4;
}

/// A message: a question or an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) questions: Vec<Question>,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Message {
    /// Whether it answers and does not ask.
    pub(super) fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// Whether it is an ordinary question or a successful answer.
    pub(super) fn is_plain(&self) -> bool {
        self.flags & OPCODE_AND_RCODE == 0
    }

    /// Whether it is about an ordinary question, however that went.
    pub(super) fn is_query(&self) -> bool {
        self.flags & OPCODE == 0
    }

    /// How an answer went: one of [`rcode`].
    pub(super) fn rcode(&self) -> u16 {
        self.flags & RCODE
    }

    /// What it tells: its answers and what goes with them.
    pub(super) fn told(&self) -> impl Iterator<Item = &Record> {
        self.answers.iter().chain(&self.additionals)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
}

impl Question {
    /// A question in the class of the internet.
    pub(super) fn new(name: Name, kind: u16) -> Self {
        Self {
            name,
            kind,
            class: IN,
        }
    }

    /// Whether the asker would like to be answered alone.
    pub(super) fn is_unicast(&self) -> bool {
        self.class & TOP_BIT != 0
    }

    /// Whether it asks in the class of the internet, or in any.
    pub(super) fn is_internet(&self) -> bool {
        matches!(self.class & !TOP_BIT, IN | kind::ANY)
    }

    /// Whether it asks for records of this type.
    pub(super) fn wants(&self, kind: u16) -> bool {
        self.kind == kind || self.kind == kind::ANY
    }

    /// Whether both ask the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.class & !TOP_BIT == other.class & !TOP_BIT
            && self.name == other.name
    }
}

/// What is told about a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) class: u16,
    /// For how many seconds it holds; 0 takes it back.
    pub(super) ttl: u32,
    pub(super) data: Data,
}

impl Record {
    /// A record in the class of the internet.
    pub(super) fn new(name: Name, ttl: u32, data: Data) -> Self {
        Self {
            name,
            class: IN,
            ttl,
            data,
        }
    }

    pub(super) fn is_internet(&self) -> bool {
        self.class & !TOP_BIT == IN
    }
}

/// The contents of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Ptr(Name),
    /// The name that is meant.
    Cname(Name),
    /// The start of a zone: for how many seconds it holds that a name is not there.
    Soa(u32),
    /// A service's place.
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    /// Text, its strings joined. Written in strings of 255 bytes.
    Txt(Vec<u8>),
    /// A type that is not read, by its number.
    Other(u16),
}

/// Why a datagram is no message, or a message no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Malformed {
    /// It ends too early.
    Truncated,
    /// A name is longer than 255 bytes.
    LongName,
    /// A part of a name is of a kind that does not exist.
    Label,
    /// A pointer in a name leads forwards, or there are too many.
    Pointer,
    /// A record's contents are longer or shorter than it says.
    Length,
    /// There are more questions or records than its reader takes.
    TooMany,
    /// It is larger than [`MAX_MESSAGE`].
    TooLarge,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it ends too early",
            Self::LongName => "a name is too long",
            Self::Label => "a name has a part of an unknown kind",
            Self::Pointer => "a name leads in circles",
            Self::Length => "a record's length is wrong",
            Self::TooMany => "it has too many records",
            Self::TooLarge => "it is too large for a datagram",
        })
    }
}
