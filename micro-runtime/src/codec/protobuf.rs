//! Protobuf's own encoding.

use bytes::{Bytes, BytesMut};

use super::{Codec, Payload};
use crate::error::{Error, Result};

/// `application/protobuf` and the content types that carry the same bytes in another envelope.
#[derive(Clone, Copy, Debug)]
pub struct Protobuf {
    content_type: &'static str,
}

impl Protobuf {
    /// Protobuf under the name `content_type`.
    pub const fn new(content_type: &'static str) -> Self {
        Self { content_type }
    }
}

impl Codec for Protobuf {
    fn content_type(&self) -> &str {
        self.content_type
    }

    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
        message.encode_proto(out);
        Ok(())
    }

    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
        message.merge_proto(body)
    }
}

/// Reads protobuf into a prost message, as Go Micro words its failure.
///
/// # Errors
/// Plain words where the bytes are not such a message.
pub fn merge<M: prost::Message>(message: &mut M, body: Bytes) -> Result<()> {
    // The space is U+00A0 in some builds of protobuf-go and plain in others; tools match on the rest.
    message.merge(body).map_err(|error| {
        Error::plain("proto: cannot parse invalid wire-format data").with_source(error)
    })
}
