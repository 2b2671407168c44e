//! Calls whose requests stream and whose reply is one.

use std::future::poll_fn;

use crate::call::{Payload, Receiver, Reply, Sender};
use crate::error::{Error, Result, id};

/// An open call whose requests stream: send them, then finish for the one reply.
#[derive(Debug)]
pub struct Upload<Q, R> {
    pub(super) send: Sender<Q>,
    pub(super) receive: Receiver<R>,
    pub(super) opening: Reply<()>,
}

impl<Q: Payload, R: Payload + Default> Upload<Q, R> {
    /// Waits for room and sends `message`. Cancel safe.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send(&mut self, message: Q) -> Result<()> {
        self.send.send(message).await
    }

    /// Ends the input and waits for the reply.
    ///
    /// # Errors
    /// The handler's error; 500 when the connection is gone or the stream ends without a reply.
    pub async fn finish(self) -> Result<R> {
        Ok(self.finish_full().await?.message)
    }

    /// Like [`finish`](Upload::finish), with metadata, trailers and the peer.
    ///
    /// # Errors
    /// As [`finish`](Upload::finish).
    pub async fn finish_full(self) -> Result<Reply<R>> {
        let Self {
            send,
            mut receive,
            opening,
        } = self;
        // A handler may answer before the input ends; its answer or error then says more than ours.
        let mut send = send.into_raw();
        let _ = poll_fn(|task| send.poll_finish(task)).await;
        let message = match receive.message().await? {
            Some(message) => message,
            None => return Err(receive.ended(miscounted("the stream ended without a reply"))),
        };
        let Reply { peer, .. } = opening;
        // The status of a stream comes after its message.
        if let Some(extra) = receive.next().await {
            extra?;
            let error = miscounted("more than one reply came to a client stream");
            return Err(receive.ended(error));
        }
        let mut reply = Reply::new(message);
        reply.metadata = receive.metadata();
        reply.trailers = receive.trailers();
        reply.peer = peer;
        Ok(reply)
    }

    /// The two halves, for a handler that answers before the input ends.
    pub fn split(self) -> (Sender<Q>, Receiver<R>) {
        (self.send, self.receive)
    }
}

/// The error of a stream that brought another number of replies than one.
fn miscounted(words: &'static str) -> Error {
    // gRPC's word for it is that the method is not implemented so.
    Error::internal(id::CLIENT_TRANSPORT, words).with_grpc_code(12)
}
