//! The one who writes on a connection, and how far it has come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use tokio::io::AsyncWrite;

use super::batch::{Batch, SLICES};
use super::outbox::FIRST;
use crate::transport::WriteSide;

/// The writing half of a connection with what it is writing.
pub(super) struct Writer {
    io: WriteSide,
    pub(super) batch: Batch,
    /// Whether bytes may sit in a buffer of the connection's own, as with TLS.
    unflushed: bool,
}

impl Writer {
    pub(super) fn new(io: WriteSide) -> Self {
        Self {
            io,
            batch: Batch::with_capacity(FIRST),
            unflushed: false,
        }
    }

    /// Says that nothing follows.
    pub(super) fn poll_shutdown(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }

    pub(super) fn is_done(&self) -> bool {
        self.batch.is_empty() && !self.unflushed
    }

    /// Writes some, or flushes what is written.
    pub(super) fn poll_some(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        if self.batch.is_empty() {
            ready!(Pin::new(&mut self.io).poll_flush(task))?;
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        }
        let written = if self.batch.is_scattered() && self.io.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.batch.slices(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            ready!(Pin::new(&mut self.io).poll_write_vectored(task, slices))?
        } else {
            ready!(Pin::new(&mut self.io).poll_write(task, self.batch.chunk()))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.batch.advance(written);
        Poll::Ready(Ok(()))
    }
}
