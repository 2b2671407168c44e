//! A call between the typed code at its ends and the protocols in between.
//!
//! A client's stub encodes the message and hands a [`Request`] to an [`Invoke`]; a server's protocol
//! hands a `Request` to a [`Dispatch`], which generated code implements. Wrappers see the same
//! `Request` and [`Reply`] on both sides.

mod backoff;
mod failures;
mod hedge;
mod inspected;
mod options;
mod origin;
mod queue;
mod read;
mod stream;
mod wrapper;

pub use crate::codec::{Frame, Payload};
pub use backoff::Backoff;
pub(crate) use failures::{Failed, Failures};
pub use hedge::Hedge;
pub use inspected::{Figure, Inspected, MAX_STANDINGS, Standing};
pub use options::{CallOptions, Retry, RetryDecision, RetryPolicy};
pub(crate) use origin::Origin;
pub(crate) use queue::Queue;
pub(crate) use read::{AlreadyRead, Reads, decode};
pub use stream::{RawReceive, RawSend, RawStream, Receiver, Sender, StreamEnd};
pub use wrapper::{Next, Wrapper};

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::codec::Codec;
use crate::context::{Context, Peer};
use crate::error::{Error, Result};
use crate::metadata::{Metadata, Text};
use crate::method::{MethodRef, ServiceDescriptor};

/// A boxed future: what object-safe async seams return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A call on its way, encoded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// Metadata, deadline, peer. A wrapper changes it in place.
    pub cx: Context,
    /// The name of the service called: `go.micro.srv.greeter`.
    pub service: Text,
    /// The method called.
    pub method: MethodRef,
    /// What encoded the body and decodes the reply; it names the content type.
    pub codec: Arc<dyn Codec>,
    /// The message, or on a server the stream of messages.
    pub body: Body,
    /// What the caller asked for; all default on a server.
    pub options: CallOptions,
    /// The message itself where another encoding may still be needed: see `protocol::mucp`'s legacy nodes.
    pub(crate) source: Option<Arc<dyn Payload>>,
    /// Reads the reply, where another node is asked if it cannot be read.
    pub(crate) reads: Option<Reads>,
    /// Whether a connection is being waited for: what a try that ends meanwhile has failed by.
    pub(crate) dialling: AtomicBool,
    /// Whether whoever made it keeps its failure for people who look.
    pub(crate) is_kept: bool,
}

impl Request {
    /// A request for `method` of `service` whose `body` is what `codec` has written.
    pub fn new(
        cx: Context,
        service: impl Into<Text>,
        method: impl Into<MethodRef>,
        codec: Arc<dyn Codec>,
        body: Body,
    ) -> Self {
        Self {
            cx,
            service: service.into(),
            method: method.into(),
            codec,
            body,
            options: CallOptions::default(),
            source: None,
            reads: None,
            dialling: AtomicBool::new(false),
            is_kept: false,
        }
    }

    /// Says that a client's wrapper changes the reply's message: decrypts it, or unpacks it. Before it
    /// goes on, since the reply of an idempotent call is else read as it comes from the node, where
    /// another one can still be asked, and one that cannot be read is held against the node. It is then
    /// read when all wrappers have seen it.
    pub fn will_change_reply(&mut self) {
        self.reads = None;
    }

    /// A copy of the request, to send it twice; `None` where its body is a stream, which has none.
    pub fn try_clone(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::One(bytes) => Body::One(bytes.clone()),
            Body::Stream(_) => return None,
        };
        Some(Self {
            cx: self.cx.clone(),
            service: self.service.clone(),
            method: self.method.clone(),
            codec: self.codec.clone(),
            body,
            options: self.options.clone(),
            source: self.source.clone(),
            reads: self.reads,
            dialling: AtomicBool::new(false),
            is_kept: self.is_kept,
        })
    }
}

/// Awaits a connection, and notes in `dialling` that it does.
pub(crate) async fn dial<T>(dialling: &AtomicBool, connection: impl Future<Output = T>) -> T {
    dialling.store(true, Ordering::Relaxed);
    let connection = connection.await;
    dialling.store(false, Ordering::Relaxed);
    connection
}

/// Whether a peer gave the call up, in the code of gRPC or with a timeout, because its time is up, with
/// so much of ours `left`: it was told whole milliseconds.
pub(crate) fn ran_out(error: &Error, left: Duration) -> bool {
    (error.grpc_code() == Some(1) || error.is_timeout()) && left <= Duration::from_millis(2)
}

/// What a request or a reply holds.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing: the opening of a client's stream; the reply of a server's stream handler.
    #[default]
    Empty,
    /// One encoded message: a unary call either way, or the request of a server stream.
    One(Bytes),
    /// Messages as they come: on a server the stream that the handler works on, on a client the
    /// reply of a stream's opening.
    Stream(RawStream),
}

impl Body {
    /// The one message; empty for any other body.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Empty | Self::Stream(_) => Bytes::new(),
        }
    }

    /// The bytes of the one message; empty for any other body.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::One(bytes) => bytes,
            Self::Empty | Self::Stream(_) => &[],
        }
    }
}

/// What came back: raw in wrappers and protocols, typed from a client's `.full()`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reply<M = Body> {
    /// The message, or the stream.
    pub message: M,
    /// Metadata that came before the message.
    pub metadata: Metadata,
    /// Metadata that came after it; of a stream see [`Receiver::trailers`].
    pub trailers: Metadata,
    /// Who answered.
    pub peer: Option<Arc<Peer>>,
    pub(crate) read: AlreadyRead,
    /// When the try began that brought it.
    pub(crate) began: Option<Instant>,
}

impl<M> Reply<M> {
    /// A reply of `message` alone.
    pub fn new(message: M) -> Self {
        Self {
            message,
            metadata: Metadata::new(),
            trailers: Metadata::new(),
            peer: None,
            read: AlreadyRead::default(),
            began: None,
        }
    }

    /// The reply with its message turned into another.
    pub fn try_map<N>(self, turn: impl FnOnce(M) -> Result<N>) -> Result<Reply<N>> {
        let Self {
            message,
            metadata,
            trailers,
            peer,
            read,
            began,
        } = self;
        Ok(Reply {
            message: turn(message)?,
            metadata,
            trailers,
            peer,
            read,
            began,
        })
    }
}

/// Sends a request somewhere and gives what comes back.
///
/// A client is one; so is a server, in process ([`Local`](crate::server::Local)). Dropping the future gives the call up:
/// the handler's future is dropped at the other end.
pub trait Invoke: Send + Sync + 'static {
    /// Sends `request`. Of a stream the reply comes when it is open, with [`Body::Stream`].
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>>;
}

/// A service's handlers behind one object-safe door; generated code implements it.
pub trait Dispatch: Send + Sync + 'static {
    /// What is served.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Runs method number `index`.
    ///
    /// The body of a unary request is [`Body::One`], else [`Body::Stream`]; the reply's is
    /// [`Body::One`] or, when a stream has ended well, [`Body::Empty`]. An `index` out of range is
    /// answered with an error.
    fn call(&self, index: u16, request: Request) -> BoxFuture<Result<Reply>>;
}

impl fmt::Debug for dyn Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dispatch")
            .field(&self.descriptor().full_name)
            .finish()
    }
}
