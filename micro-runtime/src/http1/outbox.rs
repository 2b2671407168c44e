//! Bytes on their way out: heads and small bodies copied into one buffer, large bodies shared.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// A body of at least so many bytes is not copied.
const LARGE: usize = 16 * 1024;
/// Pieces in one system call.
const PIECES: usize = 16;
/// A buffer that has grown larger is not kept when it is empty.
const KEEP: usize = 64 * 1024;

/// What is still to be written to a connection, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    shared: VecDeque<Bytes>,
    shared_len: usize,
    /// Follows what is shared.
    tail: BytesMut,
}

impl Outbox {
    /// The buffer to append a head or a small body to.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends a body: copied if it is small, so that it need not be shared.
    pub(crate) fn push(&mut self, body: &Bytes) {
        if body.len() < LARGE {
            self.tail.extend_from_slice(body);
            return;
        }
        if !self.tail.is_empty() {
            let head = self.tail.split().freeze();
            self.shared_len += head.len();
            self.shared.push_back(head);
        }
        self.shared_len += body.len();
        self.shared.push_back(body.clone());
    }

    /// Moves all of `other` behind what is here.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        while let Some(piece) = other.shared.pop_front() {
            self.push(&piece);
        }
        other.shared_len = 0;
        self.tail.extend_from_slice(&other.tail);
        other.tail.clear();
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.shared_len + self.tail.len()
    }

    /// Whether all is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what is left.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing is left; `written` counts the bytes handed over.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        io: &mut W,
        written: &mut usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut io = Pin::new(io);
        while !self.is_empty() {
            let n = if self.shared.is_empty() {
                ready!(io.as_mut().poll_write(task, &self.tail))?
            } else {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let all = self.shared.iter().map(|piece| &**piece);
                let mut count = 0;
                for (slot, piece) in pieces.iter_mut().zip(all.chain([&*self.tail])) {
                    *slot = IoSlice::new(piece);
                    count += 1;
                }
                let pieces = pieces.get(..count).unwrap_or_default();
                ready!(io.as_mut().poll_write_vectored(task, pieces))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
            self.consume(n);
        }
        if self.tail.capacity() > KEEP {
            self.tail = BytesMut::new();
        }
        // A byte stream may hold back what was written, TLS for one.
        io.poll_flush(task)
    }

    fn consume(&mut self, mut n: usize) {
        while let Some(first) = self.shared.front_mut() {
            let part = n.min(first.len());
            first.advance(part);
            self.shared_len -= part;
            n -= part;
            if !first.is_empty() {
                return;
            }
            self.shared.pop_front();
        }
        self.tail.advance(n.min(self.tail.len()));
    }
}

/// Appends `number` in decimal.
pub(crate) fn put_decimal(out: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    for slot in digits.iter_mut().rev() {
        // A remainder of ten fits a byte.
        *slot = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
