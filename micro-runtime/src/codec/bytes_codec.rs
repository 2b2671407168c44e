//! `application/octet-stream`: bytes as they are.

use bytes::{Bytes, BytesMut};

use super::{Codec, Payload};
use crate::error::{Error, Result, id};

/// Raw bytes; only a [`Frame`](super::Frame) passes.
#[derive(Clone, Copy, Debug)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    fn content_type(&self) -> &str {
        "application/octet-stream"
    }

    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
        let frame = message.frame().ok_or_else(refuse)?;
        out.extend_from_slice(frame);
        Ok(())
    }

    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
        if message.set_frame(&body) {
            Ok(())
        } else {
            Err(refuse())
        }
    }
}

fn refuse() -> Error {
    Error::internal(
        id::CLIENT_CODEC,
        "application/octet-stream carries only a Frame: use another content type",
    )
}
