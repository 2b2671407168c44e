//! What is written at once: a short prefix and a body, which need not lie in one piece.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// How long a prefix is: that of a message in gRPC.
const PREFIX: usize = 5;

/// A prefix and a body that is not copied behind it.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Chunk {
    prefix: [u8; PREFIX],
    /// How much of the prefix is written.
    at: usize,
    body: Bytes,
}

impl Chunk {
    /// `prefix` and then `body`.
    pub(in crate::protocol) fn prefixed(prefix: [u8; PREFIX], body: Bytes) -> Self {
        Self {
            prefix,
            at: 0,
            body,
        }
    }

    /// The body behind the prefix.
    pub(in crate::protocol) fn into_body(self) -> Bytes {
        self.body
    }

    /// What is left of the prefix.
    pub(in crate::protocol) fn prefix(&self) -> &[u8] {
        self.prefix.get(self.at..).unwrap_or_default()
    }
}

impl From<Bytes> for Chunk {
    fn from(body: Bytes) -> Self {
        Self {
            prefix: [0; PREFIX],
            at: PREFIX,
            body,
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.prefix().len() + self.body.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.prefix() {
            [] => &self.body,
            prefix => prefix,
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let parts = [self.prefix(), &self.body];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in into.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        let of_prefix = count.min(self.prefix().len());
        self.at += of_prefix;
        self.body.advance(count - of_prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_its_bytes_in_order_however_they_are_taken() {
        for step in 1..9 {
            let mut chunk = Chunk::prefixed(*b"01234", Bytes::from_static(b"567"));
            let mut taken = Vec::new();
            while chunk.has_remaining() {
                let some = chunk.chunk();
                let some = some.get(..step.min(some.len())).unwrap().to_vec();
                chunk.advance(some.len());
                taken.extend(some);
            }
            assert_eq!(taken, b"01234567");
        }
        let mut chunk = Chunk::prefixed(*b"01234", Bytes::from_static(b"567"));
        chunk.advance(3);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(chunk.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"34"[..], &b"567"[..]));
        chunk.advance(4);
        assert_eq!((chunk.remaining(), chunk.chunk()), (1, &b"7"[..]));
    }
}
