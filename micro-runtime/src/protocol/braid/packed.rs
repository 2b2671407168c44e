//! Messages in compressed form: an encoding, how long the message is, and what is left of it.

use bytes::Bytes;

/// The bit of `zlib` (RFC 1950) in a HELLO, and its number before a message.
pub(super) const ZLIB: u32 = 1;

/// What this side reads.
pub(super) const READS: u32 = if cfg!(feature = "flate") { ZLIB } else { 0 };

/// A shorter message is sent as it is.
const WORTH: usize = 1024;

/// How many times as long a message may be as its zlib form: the format does not reach more.
const RATIO: usize = 1040;

/// `message` compressed, where `wanted` and where the peer reads it and it becomes shorter.
pub(super) fn pack(message: &Bytes, wanted: bool, encodings: u32) -> Option<Bytes> {
    if !wanted || message.len() < WORTH || encodings & ZLIB == 0 {
        return None;
    }
    zlib::pack(message).filter(|packed| packed.len() < message.len())
}

/// The message in `packed`, of at most `most` bytes; `None` where it is broken.
pub(super) fn unpack(packed: &[u8], most: usize) -> Option<Bytes> {
    let (encoding, rest) = packed.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if u32::from(*encoding) != ZLIB || length > most || length / RATIO > rest.len() {
        return None;
    }
    zlib::unpack(rest, length)
}

#[cfg(feature = "flate")]
mod zlib {
    use std::io::{Read, Write};

    use bytes::Bytes;
    use flate2::Compression;
    use flate2::read::ZlibDecoder;
    use flate2::write::ZlibEncoder;

    pub(super) fn pack(message: &[u8]) -> Option<Bytes> {
        let mut out = Vec::with_capacity(message.len() / 2);
        out.push(super::ZLIB as u8);
        out.extend_from_slice(&u32::try_from(message.len()).ok()?.to_le_bytes());
        let mut encoder = ZlibEncoder::new(out, Compression::fast());
        encoder.write_all(message).ok()?;
        Some(encoder.finish().ok()?.into())
    }

    pub(super) fn unpack(packed: &[u8], length: usize) -> Option<Bytes> {
        let mut message = Vec::with_capacity(length);
        let mut decoder = ZlibDecoder::new(packed);
        // The limit is reached before the end of the form is: one byte more shows both.
        let read = decoder
            .by_ref()
            .take(length as u64 + 1)
            .read_to_end(&mut message)
            .ok()?;
        (read == length && decoder.total_in() == packed.len() as u64).then(|| message.into())
    }
}

#[cfg(not(feature = "flate"))]
mod zlib {
    use bytes::Bytes;

    pub(super) fn pack(_message: &[u8]) -> Option<Bytes> {
        None
    }

    pub(super) fn unpack(_packed: &[u8], _length: usize) -> Option<Bytes> {
        None
    }
}
