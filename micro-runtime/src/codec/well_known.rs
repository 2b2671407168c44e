//! Well-known types and bare scalars as messages of their own.
//!
//! prost maps `google.protobuf.Empty` to `()` and the wrappers (`StringValue` and its like) to the
//! scalars that they wrap, so these are messages too.

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, Value};

use super::Payload;
use super::form::Form;
use crate::error::Result;

macro_rules! payload {
    ($($type:ty),* $(,)?) => {$(
        impl Payload for $type {
            fn proto_len(&self) -> usize {
                self.encoded_len()
            }

            fn encode_proto(&self, out: &mut BytesMut) {
                self.encode_raw(out);
            }

            fn merge_proto(&mut self, body: Bytes) -> Result<()> {
                super::merge_proto(self, body)
            }

            fn form(&self) -> Option<&dyn Form> {
                Some(self)
            }

            fn form_mut(&mut self) -> Option<&mut dyn Form> {
                Some(self)
            }
        }
    )*};
}
payload!(
    Any,
    Duration,
    FieldMask,
    ListValue,
    Struct,
    Timestamp,
    Value,
    (),
    bool,
    i32,
    i64,
    u32,
    u64,
    f32,
    f64,
    String,
    Vec<u8>,
    Bytes,
);
