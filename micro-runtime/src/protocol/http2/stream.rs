//! The two directions of a stream.

use std::task::{Context as Task, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use super::client::Open;
use super::{Chunk, Fault};

/// What comes from the peer. Dropped before its end, it tells the peer to stop.
pub(in crate::protocol) struct Inbound {
    stream: RecvStream,
    /// Counts it as open, on a client.
    _open: Option<Open>,
}

impl Inbound {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            _open: None,
        }
    }

    /// Of a client, which counts its streams.
    pub(super) fn of_client(stream: RecvStream, open: Option<Open>) -> Self {
        Self {
            stream,
            _open: open,
        }
    }

    /// The next bytes, whose room the peer has back at once; `None` at the end of them.
    pub(in crate::protocol) fn poll_data(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        match ready!(self.stream.poll_data(task)) {
            None => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Some(Ok(data)) => {
                // Fails only where the stream is over, which the next poll tells.
                let _ = self.stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(data)))
            }
        }
    }

    /// What came after the bytes; to be asked after their end.
    pub(in crate::protocol) fn poll_trailers(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Fault>> {
        self.stream.poll_trailers(task).map_err(Fault::from)
    }

    /// Whether it is known that nothing follows.
    pub(in crate::protocol) fn is_at_end(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// What goes to the peer.
pub(in crate::protocol) struct Outbound(SendStream<Chunk>);

impl Outbound {
    pub(super) fn new(stream: SendStream<Chunk>) -> Self {
        Self(stream)
    }

    /// Waits until the peer takes more than `held` bytes beside what is on its way.
    ///
    /// # Errors
    /// When the stream is over.
    pub(in crate::protocol) fn poll_room(
        &mut self,
        held: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            if self.0.capacity() > held {
                return Poll::Ready(Ok(()));
            }
            self.0.reserve_capacity(held + 1);
            match ready!(self.0.poll_capacity(task)) {
                // Told of a change that may be too small.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Err(Fault::Over)),
            }
        }
    }

    /// Sends `chunk`; what the peer does not take yet waits here.
    pub(in crate::protocol) fn send(&mut self, chunk: Chunk, end: bool) -> Result<(), Fault> {
        if !end && !chunk.has_remaining() {
            return Ok(());
        }
        Ok(self.0.send_data(chunk, end)?)
    }

    /// Ends the stream with trailers.
    pub(in crate::protocol) fn finish(&mut self, trailers: HeaderMap) -> Result<(), Fault> {
        Ok(self.0.send_trailers(trailers)?)
    }

    /// Gives the stream up: what is not sent yet is dropped.
    pub(in crate::protocol) fn reset(&mut self) {
        self.0.send_reset(Reason::CANCEL);
    }

    /// Ready when the peer has reset the stream or is gone.
    pub(in crate::protocol) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.0.poll_reset(task).map(|_| ())
    }
}
