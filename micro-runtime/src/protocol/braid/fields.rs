//! What payloads are made of: numbers in little endian, texts after their length, metadata blocks.

use std::time::Duration;

use bytes::{Buf, Bytes};

use super::dictionary::{Known, Said};
use super::fault::Fault;
use super::wire::{Credit, Frame, Head, Hello, Kind, PAIR, VERSION, flag};
use crate::metadata::{Metadata, Text};

/// Reads the fields of one payload; what it gives are slices of it.
pub(super) struct Fields {
    kind: Kind,
    payload: Bytes,
    at: usize,
}

impl Fields {
    pub(super) fn of(frame: Frame) -> (Head, Self) {
        let Frame { head, payload } = frame;
        let fields = Self {
            kind: head.kind,
            payload,
            at: 0,
        };
        (head, fields)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self
            .payload
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .ok_or(Fault::Short(self.kind))?;
        self.at += N;
        Ok(*bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of up to 32 bits, seven in a byte, the low ones first.
    pub(super) fn varint(&mut self) -> Result<u32, Fault> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).map_err(|_| Fault::Number(self.kind));
            }
        }
        Err(Fault::Number(self.kind))
    }

    /// A text after its length.
    fn long_text(&mut self) -> Result<Text, Fault> {
        let length = self.varint()? as usize;
        self.text(length)
    }

    /// How much time is left.
    pub(super) fn deadline(&mut self) -> Result<Duration, Fault> {
        let number = self.u32()?;
        let count = u64::from(number & COUNT);
        Ok(match number >> UNIT_AT {
            0 => Duration::from_micros(count),
            1 => Duration::from_millis(count),
            2 => Duration::from_secs(count),
            _ => return Err(Fault::Number(self.kind)),
        })
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.payload.len() - self.at
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, Fault> {
        if length > self.left() {
            return Err(Fault::Short(self.kind));
        }
        let bytes = self.payload.slice(self.at..self.at + length);
        self.at += length;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, length: usize) -> Result<Text, Fault> {
        Text::from_utf8(self.bytes(length)?).map_err(|_| Fault::Text(self.kind))
    }

    /// A text after its length in 16 bits.
    pub(super) fn short_text(&mut self, most: usize) -> Result<Text, Fault> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Fault::Limit(self.kind));
        }
        self.text(length)
    }

    /// A metadata block, whose pairs `known` may have or is given.
    pub(super) fn metadata(
        &mut self,
        limits: &Hello,
        known: &mut Known,
    ) -> Result<Metadata, Fault> {
        let pairs = self.varint()? as usize;
        if pairs > limits.pairs as usize {
            return Err(Fault::Limit(self.kind));
        }
        if pairs > self.left() {
            return Err(Fault::Short(self.kind));
        }
        let mut metadata = Metadata::with_capacity(pairs);
        let mut room = limits.metadata as usize;
        for _ in 0..pairs {
            let (key, value) = match Said::of(self.varint()?) {
                Said::New { kept } => {
                    let (key, value) = (self.long_text()?, self.long_text()?);
                    if kept && !known.keep(&key, &value, limits) {
                        return Err(Fault::Limit(self.kind));
                    }
                    (key, value)
                }
                Said::Pair(entry) => known.get(entry).ok_or(Fault::Number(self.kind))?.clone(),
                Said::Key(entry) => {
                    let (key, _) = known.get(entry).ok_or(Fault::Number(self.kind))?;
                    (key.clone(), self.long_text()?)
                }
            };
            room = room
                .checked_sub(PAIR + key.as_bytes().len() + value.as_bytes().len())
                .ok_or(Fault::Limit(self.kind))?;
            metadata.set(key, value);
        }
        Ok(metadata)
    }

    /// What is left: the message.
    pub(super) fn rest(self) -> Bytes {
        let mut payload = self.payload;
        payload.advance(self.at);
        payload
    }

    /// Says that nothing may be left.
    pub(super) fn end(self) -> Result<(), Fault> {
        if self.left() > 0 {
            return Err(Fault::Long(self.kind));
        }
        Ok(())
    }
}

/// What a frame has of a message.
pub(super) enum Part {
    None,
    /// All of it.
    Whole(Bytes),
    /// How long it is, and its first piece.
    First(u32, Bytes),
}

/// The message of a frame, where `there` says that there is one.
pub(super) fn message(
    head: &Head,
    mut fields: Fields,
    there: bool,
    limits: &Hello,
) -> Result<Part, Fault> {
    let more = head.has(flag::MORE);
    if !there {
        // What does not begin cannot go on, nor be compressed.
        if head.flags & (flag::MORE | flag::PACKED) != 0 {
            let (kind, flags) = (head.kind, head.flags);
            return Err(Fault::Flags { kind, flags });
        }
        return fields.end().map(|()| Part::None);
    }
    let total = match more {
        true => fields.u32()?,
        false => 0,
    };
    let length = fields.left();
    if length > limits.piece as usize || length.max(total as usize) > limits.message as usize {
        return Err(Fault::Limit(head.kind));
    }
    if !more {
        return Ok(Part::Whole(fields.rest()));
    }
    // A piece that is empty, or all that there is, would cost more than it carries.
    if length == 0 || length >= total as usize {
        return Err(Fault::Piece(head.id));
    }
    Ok(Part::First(total, fields.rest()))
}

/// Reads a HELLO. Fields that a later version may append are skipped.
pub(super) fn read_hello(frame: Frame) -> Result<Hello, Fault> {
    let (_, mut fields) = Fields::of(frame);
    let version = fields.u16()?;
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let mut numbers = [0; 10];
    for number in &mut numbers {
        *number = fields.u32()?;
    }
    Ok(Hello::from_numbers(numbers))
}

pub(super) fn write_hello(hello: &Hello, out: &mut Vec<u8>) {
    out.extend_from_slice(&VERSION.to_le_bytes());
    for limit in hello.numbers() {
        out.extend_from_slice(&limit.to_le_bytes());
    }
}

/// Reads a CREDIT.
pub(super) fn read_credit(frame: Frame) -> Result<Credit, Fault> {
    let (_, mut fields) = Fields::of(frame);
    let credit = Credit {
        messages: fields.u32()?,
        bytes: fields.u32()?,
    };
    fields.end()?;
    Ok(credit)
}

/// What a GOAWAY says: its sender takes no more calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goaway {
    /// How many calls of this connection were taken; those made after them were not.
    pub(super) taken: u64,
    /// [`Fault::code`], or 0 where the sender only stops.
    pub(super) code: u16,
    pub(super) reason: Text,
}

impl Goaway {
    pub(super) fn read(frame: Frame) -> Result<Self, Fault> {
        let (_, mut fields) = Fields::of(frame);
        let (taken, code) = (fields.u64()?, fields.u16()?);
        let reason = fields.left();
        Ok(Self {
            taken,
            code,
            reason: fields.text(reason)?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.taken.to_le_bytes());
        out.extend_from_slice(&self.code.to_le_bytes());
        out.extend_from_slice(cut(&self.reason, 512).as_bytes());
    }
}

pub(super) fn write_short_text(text: &str, out: &mut Vec<u8>) {
    let text = cut(text, usize::from(u16::MAX));
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Writes a number of [`Fields::varint`].
pub(super) fn write_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes how much time is left, in the finest unit that can count it.
pub(super) fn write_deadline(left: Duration, out: &mut Vec<u8>) {
    let units = [left.as_micros(), left.as_millis(), left.as_secs().into()];
    let (unit, count) = (0..)
        .zip(units)
        .find(|(_, count)| *count <= COUNT.into())
        .unwrap_or((2, COUNT.into()));
    // It fits: it is no more than the mask.
    let number = unit << UNIT_AT | (count as u32 & COUNT);
    out.extend_from_slice(&number.to_le_bytes());
}

/// The bits of a deadline that count, and where those of its unit are.
const COUNT: u32 = (1 << UNIT_AT) - 1;
const UNIT_AT: u32 = 30;

/// `text` without what is over `most` bytes, cut between characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    match text.len() > most {
        true => &text[..text.floor_char_boundary(most)],
        false => text,
    }
}
