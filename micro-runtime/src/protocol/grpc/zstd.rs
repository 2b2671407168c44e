//! zstd, message by message.

use std::io::Read;

use bytes::Bytes;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::message::too_large;
use crate::error::{Error, id};

/// Its name in `grpc-encoding`.
pub(super) const NAME: &str = "zstd";

/// How much room is made before it is known how long a message is.
const FIRST: usize = 64 * 1024;
/// How far back a message may refer: what all readers must take (RFC 8878 section 3.1.1.1.2). So much
/// memory reading one takes at most, beside the message.
const WINDOW: u64 = 8 << 20;

pub(super) fn compress(message: &[u8]) -> Bytes {
    compress_to_vec(message, CompressionLevel::Fastest).into()
}

/// What `packed` holds, where that is not more than `most` bytes.
pub(super) fn decompress(packed: &[u8], most: usize) -> Result<Bytes, Error> {
    let mut message = Vec::with_capacity(packed.len().saturating_mul(4).min(FIRST).min(most));
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW);
    let mut rest = packed;
    while !rest.is_empty() {
        let frame = match StreamingDecoder::new_with_decoder(&mut rest, &mut decoder) {
            Ok(frame) => frame,
            // What is not for us, and is passed over.
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                rest = rest.get(length..).ok_or_else(|| broken(&"it is cut off"))?;
                continue;
            }
            Err(error) => return Err(broken(&error)),
        };
        // One more than is taken tells that there is more.
        let left = most.saturating_add(1).saturating_sub(message.len());
        frame
            .take(u64::try_from(left).unwrap_or(u64::MAX))
            .read_to_end(&mut message)
            .map_err(|error| broken(&error))?;
        if message.len() > most {
            return Err(too_large(message.len(), most));
        }
    }
    Ok(message.into())
}

fn broken(why: &dyn std::fmt::Display) -> Error {
    let words = format!("a message's zstd is broken: {why}");
    Error::internal(id::SERVER, words).with_grpc_code(13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_one_another_and_those_to_skip_are_passed_over() {
        let mut all = compress(b"one ").to_vec();
        all.extend_from_slice(b"\x53\x2a\x4d\x18\x03\0\0\0abc");
        all.extend_from_slice(&compress(b"two"));
        assert_eq!(decompress(&all, 7).unwrap(), &b"one two"[..]);
        assert_eq!(decompress(&all, 6).unwrap_err().grpc_code(), Some(8));
        let cut = b"\x53\x2a\x4d\x18\x03\0\0\0ab";
        assert_eq!(decompress(cut, 7).unwrap_err().grpc_code(), Some(13));
        assert_eq!(decompress(b"", 7).unwrap(), &b""[..]);
    }

    #[test]
    fn a_window_beyond_what_all_take_is_refused_before_it_is_made() {
        // A frame's magic, a descriptor that names a window, and one of 2 GiB.
        let frame = b"\x28\xb5\x2f\xfd\0\xa8\x01\0\0";
        assert_eq!(
            decompress(frame, 1 << 20).unwrap_err().grpc_code(),
            Some(13)
        );
    }

    #[test]
    fn no_change_of_bytes_does_more_than_fail() {
        let text = b"a text of some length, again and again, 0123456789. ".repeat(60);
        let packed = compress(&text);
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..4_000 {
            let mut changed = packed.to_vec();
            for _ in 0..chance.usize(1..4) {
                let at = chance.usize(..changed.len());
                if let Some(byte) = changed.get_mut(at) {
                    *byte = chance.u8(..);
                }
            }
            changed.truncate(chance.usize(..=changed.len()));
            if let Ok(message) = decompress(&changed, 10_000) {
                assert!(message.len() <= 10_000);
            }
        }
    }
}
