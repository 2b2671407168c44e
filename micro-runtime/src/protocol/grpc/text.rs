//! gRPC-Web's text: base64 of a stream's bytes, padded wherever its sender likes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Error, id};
use crate::protocol::http2::Chunk;

/// `chunk` as text, padded: it may be followed by another.
pub(super) fn encode(mut chunk: Chunk) -> Chunk {
    let length = chunk.remaining();
    let bytes = chunk.copy_to_bytes(length);
    Chunk::from(Bytes::from(STANDARD.encode(bytes)))
}

/// Reads text that comes in pieces of any length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decoder {
    /// The bits of the group that has begun.
    bits: u32,
    /// How many letters of it came, and how many `=` after them.
    letters: u8,
    pads: u8,
}

impl Decoder {
    /// Appends what `text` says to `bytes`.
    ///
    /// # Errors
    /// Where it is not base64.
    pub(super) fn decode(&mut self, text: &[u8], bytes: &mut BytesMut) -> Result<(), Error> {
        bytes.reserve(text.len() / 4 * 3 + 3);
        for &letter in text {
            if letter == b'=' {
                self.pads += 1;
                match self.letters + self.pads {
                    3 if self.letters == 2 => {}
                    4 if self.letters >= 2 => self.give(bytes),
                    _ => return Err(wrong()),
                }
                continue;
            }
            let value = value(letter).filter(|_| self.pads == 0);
            self.bits = self.bits << 6 | u32::from(value.ok_or_else(wrong)?);
            self.letters += 1;
            if self.letters == 4 {
                self.give(bytes);
            }
        }
        Ok(())
    }

    /// As [`decode`](Decoder::decode), of a text that ends here, with padding or without.
    pub(super) fn end(&mut self, bytes: &mut BytesMut) -> Result<(), Error> {
        match (self.letters, self.pads) {
            (0, 0) => Ok(()),
            (2 | 3, 0) => {
                self.give(bytes);
                Ok(())
            }
            _ => Err(wrong()),
        }
    }

    /// Appends the bytes of a group: one less than it has letters.
    fn give(&mut self, bytes: &mut BytesMut) {
        let missing = 4 - u32::from(self.letters.min(4));
        let [_, whole @ ..] = (self.bits << (6 * missing)).to_be_bytes();
        let count = usize::from(self.letters.saturating_sub(1));
        bytes.extend_from_slice(whole.get(..count).unwrap_or_default());
        *self = Self::default();
    }
}

fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn wrong() -> Error {
    Error::bad_request(id::SERVER, "the text is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], step: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = BytesMut::new();
        let mut decoder = Decoder::default();
        for piece in text.chunks(step) {
            decoder.decode(piece, &mut bytes)?;
        }
        decoder.end(&mut bytes)?;
        Ok(bytes.to_vec())
    }

    #[test]
    fn text_says_the_same_wherever_it_is_cut() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(89)).collect();
            let padded = STANDARD.encode(&bytes);
            let bare = padded.trim_end_matches('=');
            // Two texts in a row, the first with its padding in the middle.
            let twice = [&*padded, &*padded].concat();
            for step in 1..=twice.len().max(1) {
                assert_eq!(read(padded.as_bytes(), step).unwrap(), bytes);
                assert_eq!(read(bare.as_bytes(), step).unwrap(), bytes);
                let both = [&*bytes, &*bytes].concat();
                assert_eq!(read(twice.as_bytes(), step).unwrap(), both);
            }
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in [
            "A", "A=", "A===", "=", "AA=A", "AA=", "A\nAA", "AA-_", "AAAA====", "é",
        ] {
            assert_eq!(read(text.as_bytes(), 3).unwrap_err().code(), 400, "{text}");
        }
    }
}
