//! A reply's message that was read where another node could still be asked.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use crate::codec::{self, Codec, Payload};
use crate::error::{Error, Result, id};

/// Reads a message of one type.
pub(crate) type Reads = fn(&dyn Codec, &Bytes) -> Result<AlreadyRead>;

/// A message beside its bytes, so that it is read once. A copy of a reply has none.
#[derive(Default)]
pub(crate) struct AlreadyRead(Option<Box<dyn Any + Send + Sync>>);

struct ReadFrom<M> {
    /// Held, so that bytes at the same place are the same bytes.
    bytes: Bytes,
    message: M,
}

impl AlreadyRead {
    /// Reads a message of type `M`.
    pub(crate) fn read<M: Payload + Default>(codec: &dyn Codec, bytes: &Bytes) -> Result<Self> {
        let message = decode::<M>(codec, bytes.clone())?;
        let bytes = bytes.clone();
        Ok(Self(Some(Box::new(ReadFrom { bytes, message }))))
    }

    /// The message, if it is of type `M` and was read from these `bytes`: a wrapper may have put others
    /// in their place.
    pub(crate) fn take<M: Payload>(&mut self, bytes: &[u8]) -> Option<M> {
        let read: Box<ReadFrom<M>> = self.0.take()?.downcast().ok()?;
        let same = std::ptr::eq(&*read.bytes, bytes);
        same.then_some(read.message)
    }
}

/// Reads a reply's message.
///
/// # Errors
/// 500 of [`id::CLIENT_CODEC`], as Go Micro's client, where it cannot be read.
pub(crate) fn decode<M: Payload + Default>(codec: &dyn Codec, bytes: Bytes) -> Result<M> {
    codec::decode(codec, bytes).map_err(|error| match error.id() {
        "" => Error::internal(id::CLIENT_CODEC, error.detail().to_owned()).with_source(error),
        _ => error,
    })
}

impl Clone for AlreadyRead {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl fmt::Debug for AlreadyRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AlreadyRead")
            .field(&self.0.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Protobuf;

    fn read(bytes: &Bytes) -> AlreadyRead {
        AlreadyRead::read::<String>(&Protobuf::new("application/protobuf"), bytes).unwrap()
    }

    #[test]
    fn a_message_is_of_its_bytes_and_its_type_alone() {
        let bytes = Bytes::from_static(b"\x0a\x02hi");
        assert_eq!(read(&bytes).take(&bytes), Some("hi".to_owned()));
        assert_eq!(read(&bytes).take::<u64>(&bytes), None);
        let equal = Bytes::copy_from_slice(&bytes);
        assert_eq!(read(&bytes).take::<String>(&equal), None, "another's");
        assert_eq!(read(&bytes).take::<String>(&bytes[..2]), None);
        let mut copy = read(&bytes).clone();
        assert_eq!(copy.take::<String>(&bytes), None);
    }
}
