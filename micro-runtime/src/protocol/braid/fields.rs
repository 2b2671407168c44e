//! What payloads are made of: numbers in little endian, texts after their length, metadata blocks.

use bytes::{Buf, Bytes};

use super::fault::Fault;
use super::wire::{Credit, Frame, Head, Hello, Kind, PAIR, VERSION};
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

    /// A metadata block.
    pub(super) fn metadata(&mut self, limits: &Hello) -> Result<Metadata, Fault> {
        let pairs = usize::from(self.u16()?);
        if pairs > limits.pairs as usize {
            return Err(Fault::Limit(self.kind));
        }
        if pairs > self.left() / PAIR {
            return Err(Fault::Short(self.kind));
        }
        let mut metadata = Metadata::with_capacity(pairs);
        let mut room = limits.metadata as usize;
        for _ in 0..pairs {
            let (key, value) = (usize::from(self.u16()?), self.u32()? as usize);
            room = PAIR
                .checked_add(key)
                .and_then(|size| size.checked_add(value))
                .and_then(|size| room.checked_sub(size))
                .ok_or(Fault::Limit(self.kind))?;
            let (key, value) = (self.text(key)?, self.text(value)?);
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

/// The message of a frame, where its flags say that there is one.
pub(super) fn message(fields: Fields, there: bool, limits: &Hello) -> Result<Option<Bytes>, Fault> {
    if !there {
        return fields.end().map(|()| None);
    }
    if fields.left() > limits.message as usize {
        return Err(Fault::Limit(fields.kind));
    }
    Ok(Some(fields.rest()))
}

/// Reads a HELLO. Fields that a later version may append are skipped.
pub(super) fn read_hello(frame: Frame) -> Result<Hello, Fault> {
    let (_, mut fields) = Fields::of(frame);
    let version = fields.u16()?;
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    Ok(Hello::new(
        fields.u32()? as usize,
        fields.u32()? as usize,
        fields.u32()? as usize,
        fields.u32()? as usize,
        fields.u32()? as usize,
        fields.u32()? as usize,
    ))
}

pub(super) fn write_hello(hello: &Hello, out: &mut Vec<u8>) {
    out.extend_from_slice(&VERSION.to_le_bytes());
    for limit in [
        hello.calls,
        hello.message,
        hello.window,
        hello.metadata,
        hello.pairs,
        hello.bytes,
    ] {
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

/// Writes a block that the peer [takes](Hello::takes).
pub(super) fn write_metadata(metadata: &Metadata, out: &mut Vec<u8>) {
    out.extend_from_slice(&(metadata.len() as u16).to_le_bytes());
    for (key, value) in metadata.iter_text() {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
}

/// `text` without what is over `most` bytes, cut between characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    match text.len() > most {
        true => &text[..text.floor_char_boundary(most)],
        false => text,
    }
}
