//! Frames on their way out, in one buffer, large messages beside it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::wire::{HEAD, Head};

/// From this size a message is not copied into the buffer but written from where it is.
const LARGE: usize = 4 * 1024;
/// How many slices one vectored write takes.
pub(super) const SLICES: usize = 16;
/// A buffer that has grown over this is given back when it is empty.
const KEPT: usize = 512 * 1024;

/// Frames that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    at: usize,
    /// Messages and where in `bytes` they belong, in order.
    large: VecDeque<(usize, Bytes)>,
    /// How many bytes are left to write, large messages included.
    left: usize,
}

impl Batch {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            ..Self::default()
        }
    }

    /// How many bytes are left to write.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Appends bytes that are no frame.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.left += bytes.len();
    }

    /// Appends a frame of `head`, the fields that `fields` writes, and `message`.
    pub(super) fn frame(
        &mut self,
        mut head: Head,
        message: &Bytes,
        fields: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        head.write(&mut self.bytes);
        fields(&mut self.bytes);
        let length = self.bytes.len() - start - HEAD + message.len();
        head.length = u32::try_from(length).expect("a HELLO keeps messages below half of this");
        if let Some(bytes) = self.bytes.get_mut(start..start + 4) {
            bytes.copy_from_slice(&head.length.to_le_bytes());
        }
        if message.len() < LARGE {
            self.bytes.extend_from_slice(message);
        } else {
            self.large.push_back((self.bytes.len(), message.clone()));
        }
        self.left += HEAD + length;
    }

    /// Appends a frame of `head` and a small `message`.
    pub(super) fn small(&mut self, mut head: Head, message: &[u8]) {
        head.length = u32::try_from(message.len()).expect("it is small");
        let length = HEAD + message.len();
        self.bytes.reserve(length);
        head.write(&mut self.bytes);
        self.bytes.extend_from_slice(message);
        self.left += length;
    }

    /// What to write next, as one slice; empty at the end.
    pub(super) fn chunk(&self) -> &[u8] {
        match self.large.front() {
            None => self.bytes.get(self.at..).unwrap_or_default(),
            Some((position, message)) if self.at == *position => message,
            Some((position, _)) => self.bytes.get(self.at..*position).unwrap_or_default(),
        }
    }

    /// Whether more than [`chunk`](Batch::chunk) is left.
    pub(super) fn is_scattered(&self) -> bool {
        !self.large.is_empty()
    }

    /// What to write next, as slices; says how many.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut from = self.at;
        let mut count = 0;
        let mut put = |bytes: &'a [u8]| match slices.get_mut(count) {
            Some(slice) if !bytes.is_empty() => {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            _ => {}
        };
        for (position, message) in self.large.iter().take(SLICES) {
            put(self.bytes.get(from..*position).unwrap_or_default());
            put(message);
            from = *position;
        }
        // Only where no large message was left out does the rest of the buffer follow.
        if self.large.len() <= SLICES {
            put(self.bytes.get(from..).unwrap_or_default());
        }
        count
    }

    /// Notes that `written` more bytes are written.
    pub(super) fn advance(&mut self, written: usize) {
        self.left = self.left.saturating_sub(written);
        let mut written = written;
        while let Some((position, message)) = self.large.front_mut() {
            let before = written.min(*position - self.at);
            self.at += before;
            written -= before;
            if self.at < *position {
                return;
            }
            if written < message.len() {
                message.advance(written);
                return;
            }
            written -= message.len();
            self.large.pop_front();
        }
        self.at += written;
    }

    /// Makes room for the next frames once all are written.
    pub(super) fn reset(&mut self) {
        self.at = 0;
        self.left = 0;
        self.large.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{CallId, Kind};
    use super::*;

    fn frames(sizes: &[usize]) -> (Batch, Vec<u8>) {
        let mut batch = Batch::default();
        let mut whole = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let message = Bytes::from(vec![i as u8; *size]);
            let mut head = Head::new(Kind::Message, 0, CallId::NONE);
            batch.frame(head, &message, |out| out.push(7));
            head.length = *size as u32 + 1;
            head.write(&mut whole);
            whole.push(7);
            whole.extend_from_slice(&message);
        }
        (batch, whole)
    }

    #[test]
    fn all_bytes_come_out_in_order_however_they_are_taken() {
        let sizes: Vec<usize> = (0..40)
            .map(|i| if i % 3 == 0 { LARGE + i } else { i })
            .collect();
        for step in [1, 3, 17, LARGE, LARGE + 20, 50_000, usize::MAX] {
            // Small steps look at all that is left very often.
            let sizes = if step < LARGE { &sizes[..5] } else { &sizes };
            let (mut batch, whole) = frames(sizes);
            assert_eq!(batch.len(), whole.len());
            let (mut by_chunk, mut taken) = (Vec::new(), 0);
            while !batch.is_empty() {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = batch.slices(&mut slices);
                let gathered: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert_eq!(whole[taken..taken + gathered.len()], gathered);
                assert!(gathered.starts_with(batch.chunk()));
                let n = step.min(gathered.len());
                by_chunk.extend_from_slice(&gathered[..n]);
                taken += n;
                batch.advance(n);
            }
            assert_eq!(by_chunk, whole, "in steps of {step}");
        }
    }

    #[test]
    fn a_large_message_is_not_copied() {
        let mut batch = Batch::default();
        let message = Bytes::from(vec![1; LARGE]);
        batch.frame(Head::new(Kind::Message, 0, CallId::NONE), &message, |_| {});
        batch.advance(HEAD);
        assert_eq!(batch.chunk().as_ptr(), message.as_ptr());
    }
}
