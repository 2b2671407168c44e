//! gzip, message by message.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::message::too_large;
use crate::error::{Error, id};

/// Its name in `grpc-encoding`.
pub(super) const NAME: &str = "gzip";

/// How much room is made before it is known how long a message is.
const FIRST: usize = 64 * 1024;

pub(super) fn compress(message: &[u8]) -> Result<Bytes, Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
    encoder.write_all(message)?;
    Ok(encoder.finish()?.into())
}

/// What `packed` holds, where that is not more than `most` bytes.
pub(super) fn decompress(packed: &[u8], most: usize) -> Result<Bytes, Error> {
    let mut message = Vec::with_capacity(packed.len().saturating_mul(4).min(FIRST).min(most));
    // One more than is taken tells that there is more.
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut message)
        .map_err(|error| {
            Error::internal(id::SERVER, format!("a message's gzip is broken: {error}"))
                .with_grpc_code(13)
        })?;
    if message.len() > most {
        return Err(too_large(message.len(), most));
    }
    Ok(message.into())
}
