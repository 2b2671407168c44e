//! Streams: raw ones between protocols and generated code, typed ones in users' hands.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::task::coop;

use super::{Origin, Payload};
use crate::codec::{self, Codec};
use crate::error::why::Cause;
use crate::error::{Error, Result};
use crate::metadata::Metadata;

/// The two directions of a stream as a protocol offers them, encoded.
///
/// Dropping both gives the stream up: the other end sees it as cancelled.
pub struct RawStream {
    /// Towards the peer.
    pub send: Box<dyn RawSend>,
    /// From the peer.
    pub receive: Box<dyn RawReceive>,
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawStream")
    }
}

/// Takes messages for the peer.
pub trait RawSend: Send + Sync {
    /// Waits until the next [`send`](RawSend::send) has room.
    ///
    /// # Errors
    /// When the stream is over: the peer's error, or that the connection is gone.
    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<()>>;

    /// Takes one message; call it only after `poll_ready` has said so.
    fn send(&mut self, message: Bytes) -> Result<()>;

    /// As [`send`](RawSend::send), for small messages, which are cheaper to copy than to share.
    fn send_copy(&mut self, message: &[u8]) -> Result<()> {
        self.send(Bytes::copy_from_slice(message))
    }

    /// Says that no message follows and waits until that is on its way.
    ///
    /// A client's half-close. On a server it does nothing: the stream ends with the handler.
    fn poll_finish(&mut self, task: &mut Context<'_>) -> Poll<Result<()>>;
}

/// Gives messages of the peer.
pub trait RawReceive: Send + Sync {
    /// The next message; `None` when the peer has ended the stream well, which stays so. Whoever got
    /// the stream's error does not ask again.
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes>>>;

    /// What the peer sent before its first message, where that may come later than the opening of the
    /// stream; empty for a protocol whose opening brings it.
    fn metadata(&self) -> Metadata {
        Metadata::new()
    }

    /// What the peer sent at the end, once it has.
    fn trailers(&self) -> Metadata {
        Metadata::new()
    }
}

/// How a stream was ended.
#[derive(Clone, Debug)]
pub enum StreamEnd {
    /// Well, with trailers.
    Done(Metadata),
    /// With an error.
    Failed(Error),
}

/// The sending half of a stream of `M`.
///
/// Not `Clone`: one task waits for room at a time. On a client, dropping it without
/// [`finish`](Sender::finish) while the receiver lives also ends the input.
pub struct Sender<M> {
    raw: Box<dyn RawSend>,
    codec: Arc<dyn Codec>,
    /// What small messages are encoded into, each in its turn.
    small: BytesMut,
    /// How many messages were sent.
    sent: usize,
    /// The call, on a client.
    origin: Option<Arc<Origin>>,
    message: PhantomData<fn(M)>,
}

/// To ask whether other tasks want their turn costs as much as a small message.
const TURN: usize = 8;

impl<M: Payload> Sender<M> {
    /// A sender that writes with `codec` into `raw`.
    pub fn new(raw: Box<dyn RawSend>, codec: Arc<dyn Codec>) -> Self {
        Self {
            raw,
            codec,
            small: BytesMut::new(),
            sent: 0,
            origin: None,
            message: PhantomData,
        }
    }

    /// The sender of a stream of `origin`.
    pub(crate) fn of(mut self, origin: Arc<Origin>) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Waits for room and sends `message`.
    ///
    /// Cancel safe: a dropped future has sent all or nothing.
    ///
    /// # Errors
    /// The peer's error when it has ended the stream; 500 when the connection is gone; 400 when the
    /// message does not encode.
    pub async fn send(&mut self, message: M) -> Result<()> {
        let large = match codec::encode_small(&mut self.small, &*self.codec, &message) {
            Ok(large) => large,
            Err(error) => {
                return Err(match &self.origin {
                    Some(origin) => origin.unwritten(error),
                    None => error,
                });
            }
        };
        // One that always finds room gives way to other tasks now and then.
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(TURN) {
            coop::consume_budget().await;
        }
        let ready = poll_fn(|task| self.raw.poll_ready(task)).await;
        ready.map_err(|error| self.ended(error))?;
        let sent = match large {
            None => self.raw.send_copy(&self.small),
            Some(message) => self.raw.send(message),
        };
        sent.map_err(|error| match &self.origin {
            // Too long, for instance: the stream goes on.
            Some(origin) if Cause::of(&error) == Cause::Own => origin.unwritten(error),
            _ => self.ended(error),
        })
    }

    /// Ends the input: the handler sees the end of the stream, its replies still come.
    ///
    /// # Errors
    /// 500 when the connection is gone.
    pub async fn finish(mut self) -> Result<()> {
        let finished = poll_fn(|task| self.raw.poll_finish(task)).await;
        finished.map_err(|error| self.ended(error))
    }

    fn ended(&self, error: Error) -> Error {
        match &self.origin {
            Some(origin) => origin.ended(error),
            None => error,
        }
    }

    /// The raw stream under it.
    pub fn into_raw(self) -> Box<dyn RawSend> {
        self.raw
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// The receiving half of a stream of `M`; also a `futures` [`Stream`].
pub struct Receiver<M> {
    raw: Box<dyn RawReceive>,
    codec: Arc<dyn Codec>,
    /// An error of the stream was given: nothing follows.
    failed: bool,
    /// What came with the opening.
    opening: Metadata,
    /// The call, on a client.
    origin: Option<Arc<Origin>>,
    message: PhantomData<fn() -> M>,
}

impl<M: Payload + Default> Receiver<M> {
    /// A receiver that reads with `codec` from `raw`.
    pub fn new(raw: Box<dyn RawReceive>, codec: Arc<dyn Codec>) -> Self {
        Self {
            raw,
            codec,
            failed: false,
            opening: Metadata::new(),
            origin: None,
            message: PhantomData,
        }
    }

    /// The receiver of a stream of `origin` whose opening brought `metadata`.
    pub(crate) fn opened_with(mut self, metadata: &Metadata, origin: Arc<Origin>) -> Self {
        self.opening = metadata.clone();
        self.origin = Some(origin);
        self
    }

    /// An error by which the stream has ended, with the decisions of its call.
    pub(crate) fn ended(&self, error: Error) -> Error {
        match &self.origin {
            Some(origin) => origin.ended(error),
            None => error,
        }
    }

    /// The next message; `None` when the peer has ended the stream well, and after its error.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The peer's error; 500 when the connection is gone or a message does not decode; 408 when the
    /// stream was idle for longer than its idle timeout.
    pub async fn next(&mut self) -> Option<Result<M>> {
        poll_fn(|task| self.poll_message(task)).await
    }

    /// Like [`next`](Receiver::next), in the shape that `?` likes: `while let Some(m) = r.message().await? {`.
    ///
    /// # Errors
    /// As [`next`](Receiver::next).
    pub async fn message(&mut self) -> Result<Option<M>> {
        self.next().await.transpose()
    }

    /// What the peer sent before its first message, once it is there; on a client. A peer may hold
    /// it back until then, so that a stream is open without it.
    pub fn metadata(&self) -> Metadata {
        let late = self.raw.metadata();
        match late.is_empty() {
            true => self.opening.clone(),
            false => late,
        }
    }

    /// What the peer sent after the last message; empty before the end.
    pub fn trailers(&self) -> Metadata {
        self.raw.trailers()
    }

    /// The raw stream under it.
    pub fn into_raw(self) -> Box<dyn RawReceive> {
        self.raw
    }

    fn poll_message(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<M>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let next = ready!(self.raw.poll_next(task));
        // What does not decode is one message's fault, and the stream goes on.
        self.failed = matches!(next, Some(Err(_)));
        let read = match next {
            None => return Poll::Ready(None),
            Some(Ok(body)) => codec::decode(&*self.codec, body).map_err(|error| (error, true)),
            Some(Err(error)) => Err((error, false)),
        };
        Poll::Ready(Some(read.map_err(|(error, unread)| match &self.origin {
            Some(origin) if unread => origin.unread(error),
            _ => self.ended(error),
        })))
    }
}

impl<M: Payload + Default> Stream for Receiver<M> {
    type Item = Result<M>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<M>>> {
        self.get_mut().poll_message(task)
    }
}

impl<M> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
