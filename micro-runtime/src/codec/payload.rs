//! Messages as codecs see them.

use std::any::Any;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::form::Form;
use crate::error::Result;

/// A message that every codec can write and read, behind one vtable.
///
/// Generated code implements it for each message; this crate for the well-known types, `()`, the
/// wrapper scalars and [`Frame`].
pub trait Payload: Any + Send + Sync {
    /// How many bytes [`encode_proto`](Payload::encode_proto) writes.
    fn proto_len(&self) -> usize;

    /// Appends protobuf's encoding.
    fn encode_proto(&self, out: &mut BytesMut);

    /// Merges protobuf's encoding into this message.
    ///
    /// # Errors
    /// 400 where the bytes are not such a message.
    fn merge_proto(&mut self, body: Bytes) -> Result<()>;

    /// The form that text codecs walk; `None` for raw bytes.
    fn form(&self) -> Option<&dyn Form>;

    /// The form that text codecs fill; `None` for raw bytes.
    fn form_mut(&mut self) -> Option<&mut dyn Form>;

    /// The bytes that pass any codec as they are: only a [`Frame`] has them.
    fn frame(&self) -> Option<&Bytes> {
        None
    }

    /// Takes bytes as they came; says whether it is a [`Frame`].
    fn set_frame(&mut self, _body: &Bytes) -> bool {
        false
    }
}

impl fmt::Debug for dyn Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}

/// Bytes that no codec touches: Go Micro's `bytes.Frame`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl Payload for Frame {
    fn proto_len(&self) -> usize {
        self.0.len()
    }

    fn encode_proto(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.0);
    }

    fn merge_proto(&mut self, body: Bytes) -> Result<()> {
        self.0 = body;
        Ok(())
    }

    fn form(&self) -> Option<&dyn Form> {
        None
    }

    fn form_mut(&mut self) -> Option<&mut dyn Form> {
        None
    }

    fn frame(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    fn set_frame(&mut self, body: &Bytes) -> bool {
        self.0 = body.clone();
        true
    }
}
