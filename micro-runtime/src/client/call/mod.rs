//! The builder that a generated method returns: options chain, `.await` sends.

mod explain;
mod options;
mod upload;

pub use explain::{Explain, Explained, PendingExplained};
pub use upload::Upload;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context as Task, Poll, ready};

use super::Defaults;
use super::stream::watched;
use crate::call::{
    AlreadyRead, Body, BoxFuture, CallOptions, Invoke, Payload, RawStream, Reads, Receiver, Reply,
    Request, Sender, decode,
};
use crate::codec::{self, Codec};
use crate::context::Context;
use crate::error::why::{Cause, Refusal, Step};
use crate::error::{Error, Result, id};
use crate::metadata::{Metadata, Text};
use crate::method::{Kind, MethodRef};
use explain::Called;

/// Where a typed client's calls go: a name resolved once, or a service in this process.
///
/// Without generated code it calls methods by their endpoints, with any [`Payload`] or with a
/// [`Frame`](crate::call::Frame) that is encoded already:
/// ```no_run
/// # async fn example(service: micro_runtime::Service) -> micro_runtime::Result<()> {
/// use micro_runtime::call::Frame;
///
/// let greeter = service.client().target("greeter");
/// let mut replies = greeter
///     .server_stream::<_, Frame>("Say.Count", Frame(r#"{"name":"John"}"#.into()))
///     .content_type("application/json")
///     .await?;
/// while let Some(Frame(json)) = replies.message().await? {
///     println!("{json:?}");
/// }
/// let (mut out, mut input) = greeter.bidi::<Frame, Frame>("Say.Sum").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Target(Arc<Resolved>);

/// What calls of one target share.
struct Resolved {
    service: Text,
    invoke: Arc<dyn Invoke>,
    defaults: Arc<Defaults>,
}

impl Target {
    /// Calls to `service` through `invoke`, with the defaults of a new client.
    pub fn new(service: impl Into<Text>, invoke: Arc<dyn Invoke>) -> Self {
        Self::with_defaults(service, invoke, Arc::default())
    }

    pub(super) fn with_defaults(
        service: impl Into<Text>,
        invoke: Arc<dyn Invoke>,
        defaults: Arc<Defaults>,
    ) -> Self {
        Self(Arc::new(Resolved {
            service: service.into(),
            invoke,
            defaults,
        }))
    }

    /// The name called.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// What its calls go by: for code that sends requests itself.
    pub fn invoker(&self) -> &Arc<dyn Invoke> {
        &self.0.invoke
    }

    /// A unary call.
    pub fn unary<Q, R>(&self, method: impl Into<MethodRef>, request: Q) -> Call<Unary<Q, R>> {
        self.call(
            method.into().of_kind(Kind::Unary),
            Unary {
                request,
                reply: PhantomData,
            },
        )
    }

    /// A call whose replies stream.
    pub fn server_stream<Q, R>(
        &self,
        method: impl Into<MethodRef>,
        request: Q,
    ) -> Call<ServerStream<Q, R>> {
        self.call(
            method.into().of_kind(Kind::ServerStream),
            ServerStream {
                request,
                reply: PhantomData,
            },
        )
    }

    /// A call whose requests stream.
    pub fn client_stream<Q, R>(&self, method: impl Into<MethodRef>) -> Call<ClientStream<Q, R>> {
        self.call(
            method.into().of_kind(Kind::ClientStream),
            ClientStream(PhantomData),
        )
    }

    /// A call both of whose sides stream.
    pub fn bidi<Q, R>(&self, method: impl Into<MethodRef>) -> Call<Bidi<Q, R>> {
        self.call(method.into().of_kind(Kind::Bidi), Bidi(PhantomData))
    }

    fn call<K>(&self, method: MethodRef, kind: K) -> Call<K> {
        Call {
            target: self.clone(),
            method,
            kind,
            // Taken now, not when it is awaited: the future may be moved to another task.
            parent: Context::current(),
            watch_parent: false,
            metadata: Metadata::new(),
            content_type: None,
            options: CallOptions::default(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}

/// Marks a unary call.
#[derive(Debug)]
pub struct Unary<Q, R> {
    request: Q,
    reply: PhantomData<fn() -> R>,
}

/// Marks a call whose replies stream.
#[derive(Debug)]
pub struct ServerStream<Q, R> {
    request: Q,
    reply: PhantomData<fn() -> R>,
}

/// Marks a call whose requests stream.
#[derive(Debug)]
pub struct ClientStream<Q, R>(PhantomData<fn(Q) -> R>);

/// Marks a call both of whose sides stream.
#[derive(Debug)]
pub struct Bidi<Q, R>(PhantomData<fn(Q) -> R>);

/// A call that has not been sent: set options, then `.await`.
///
/// Dropping the future of a sent call gives it up, also at the other end.
#[must_use = "a call does nothing unless awaited"]
pub struct Call<K> {
    target: Target,
    method: MethodRef,
    kind: K,
    parent: Option<Context>,
    watch_parent: bool,
    metadata: Metadata,
    content_type: Option<Text>,
    options: CallOptions,
}

impl<K> Call<K> {
    /// Also gives what came beside the message: metadata, trailers, the peer.
    pub fn full(self) -> Full<K> {
        Full(self)
    }
}

impl<K> fmt::Debug for Call<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("target", &self.target)
            .field("endpoint", &self.method.endpoint)
            .finish_non_exhaustive()
    }
}

/// A call whose answer comes with its metadata, trailers and peer; see [`Call::full`].
#[derive(Debug)]
#[must_use = "a call does nothing unless awaited"]
pub struct Full<K>(Call<K>);

/// A sent call.
#[must_use = "futures do nothing unless awaited"]
pub struct Pending<M> {
    state: State,
    /// That of the content type that the call has named.
    codec: Option<Arc<dyn Codec>>,
    called: Called,
    read: Read<M>,
}

/// Reads a reply.
type Read<M> = fn(Reply, &Arc<dyn Codec>, &Called) -> Result<Reply<M>>;

enum State {
    Sent(BoxFuture<Result<Reply>>),
    Failed(Option<Error>),
}

impl<M> fmt::Debug for Pending<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl<M> Future for Pending<M> {
    type Output = Result<Reply<M>>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let reply = match &mut this.state {
            State::Sent(sent) => ready!(sent.as_mut().poll(task)),
            State::Failed(error) => Err(error.take().unwrap_or_else(polled_again)),
        };
        this.state = State::Failed(None);
        let codec = this.codec.as_ref();
        let codec = codec.unwrap_or(&this.called.target.0.defaults.codec);
        let read = reply.and_then(|reply| (this.read)(reply, codec, &this.called));
        Poll::Ready(read.map_err(|error| this.called.failed(error)))
    }
}

fn polled_again() -> Error {
    Error::internal(id::CLIENT, "the call was polled after it had ended")
}

/// A sent call that gives the message alone.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct PendingMessage<M>(Pending<M>);

impl<M> Future for PendingMessage<M> {
    type Output = Result<M>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().0)
            .poll(task)
            .map_ok(|reply| reply.message)
    }
}

/// Encodes, sends, and says how the reply is read.
fn send<K, Q: Payload, M>(
    call: Call<K>,
    message: impl FnOnce(K) -> Option<Q>,
    read: Read<M>,
    reads: Option<Reads>,
) -> Pending<M> {
    // Taken apart here, once: a call is large, and each step on its way would copy it.
    let Call {
        target,
        method,
        kind,
        parent,
        watch_parent,
        metadata,
        content_type,
        options,
    } = call;
    let called = Called {
        target,
        method: method.clone(),
        recorder: options.recorder.clone(),
    };
    let fail = |error: Error, called| Pending {
        // No node was asked, and none is to blame.
        state: State::Failed(Some(error.or_caused_by(Cause::Own))),
        codec: None,
        called,
        read,
    };
    let named = match called.target.0.defaults.named(content_type.as_deref()) {
        Ok(named) => named,
        Err(error) => return fail(error, called),
    };
    let Resolved {
        service,
        invoke,
        defaults,
    } = &*called.target.0;
    let codec = named.as_ref().unwrap_or(&defaults.codec);
    let mut source: Option<Arc<dyn Payload>> = None;
    let body = match message(kind) {
        None => Body::Empty,
        Some(message) => match codec::encode(&**codec, &message) {
            Err(error) => return fail(error, called),
            Ok(bytes) => {
                // JSON is the one encoding that a legacy node wants in another dialect.
                if codec.content_type() == "application/json" {
                    source = Some(Arc::new(message));
                }
                Body::One(bytes)
            }
        },
    };
    let request = Request {
        cx: Context::outgoing(parent.as_ref(), metadata, &defaults.forward),
        service: service.clone(),
        codec: codec.clone(),
        body,
        // Others are not sent again, so that it is soon enough to read their replies at the end.
        reads: reads.filter(|_| options.idempotent || method.idempotency.is_idempotent()),
        method,
        options,
        source,
        dialling: AtomicBool::new(false),
        is_kept: defaults.failures.are_kept(),
    };
    let sent = invoke.invoke(request);
    let sent = match parent.filter(|_| watch_parent) {
        None => sent,
        Some(parent) => within(sent, parent),
    };
    Pending {
        state: State::Sent(sent),
        codec: named,
        called,
        read,
    }
}

/// The call, given up when `parent` is.
fn within(sent: BoxFuture<Result<Reply>>, parent: Context) -> BoxFuture<Result<Reply>> {
    Box::pin(async move {
        tokio::select! {
            biased;
            () = parent.cancelled() => {
                let words = "the call that this one belongs to was given up";
                let error = Error::timeout(id::CLIENT, words).caused_by(Cause::GivenUp);
                Err(error.with_step(Step::Refused(Refusal::new("parent", words))))
            }
            reply = sent => reply.map(|reply| watched(reply, parent.clone())),
        }
    })
}

fn read_message<R: Payload + Default>(
    mut reply: Reply,
    codec: &Arc<dyn Codec>,
    called: &Called,
) -> Result<Reply<R>> {
    let already = reply.read.take(reply.message.as_bytes());
    reply.try_read(called, |body| match already {
        Some(message) => Ok(message),
        None => decode(&**codec, body.into_bytes()),
    })
}

impl<M> Reply<M> {
    /// As [`try_map`](Reply::try_map), where what cannot be read is the node's fault.
    fn try_read<N>(self, called: &Called, read: impl FnOnce(M) -> Result<N>) -> Result<Reply<N>> {
        let Self {
            message,
            metadata,
            trailers,
            peer,
            began,
            read: already,
        } = self;
        match read(message) {
            Ok(message) => Ok(Reply {
                message,
                metadata,
                trailers,
                peer,
                began,
                read: already,
            }),
            Err(error) => Err(called.unread(error, &called.origin(peer, began))),
        }
    }
}

fn read_raw(body: Body) -> Result<RawStream> {
    match body {
        Body::Stream(raw) => Ok(raw),
        Body::Empty | Body::One(_) => Err(Error::internal(
            id::CLIENT,
            "a stream was asked for and a single message came",
        )),
    }
}

fn read_receiver<R: Payload + Default>(
    reply: Reply,
    codec: &Arc<dyn Codec>,
    called: &Called,
) -> Result<Reply<Receiver<R>>> {
    let metadata = reply.metadata.clone();
    let origin = Arc::new(called.origin(reply.peer.clone(), reply.began));
    reply.try_read(called, |body| {
        let receiver = Receiver::new(read_raw(body)?.receive, codec.clone());
        Ok(receiver.opened_with(&metadata, origin))
    })
}

fn read_upload<Q: Payload, R: Payload + Default>(
    reply: Reply,
    codec: &Arc<dyn Codec>,
    called: &Called,
) -> Result<Reply<Upload<Q, R>>> {
    let mut opening = Reply::new(());
    opening.metadata = reply.metadata.clone();
    opening.peer = reply.peer.clone();
    let origin = Arc::new(called.origin(reply.peer.clone(), reply.began));
    reply.try_read(called, |body| {
        let raw = read_raw(body)?;
        Ok(Upload {
            send: Sender::new(raw.send, codec.clone()).of(origin.clone()),
            receive: Receiver::new(raw.receive, codec.clone())
                .opened_with(&opening.metadata, origin),
            opening,
        })
    })
}

type Both<Q, R> = (Sender<Q>, Receiver<R>);

fn read_both<Q: Payload, R: Payload + Default>(
    reply: Reply,
    codec: &Arc<dyn Codec>,
    called: &Called,
) -> Result<Reply<Both<Q, R>>> {
    let metadata = reply.metadata.clone();
    let origin = Arc::new(called.origin(reply.peer.clone(), reply.began));
    reply.try_read(called, |body| {
        let raw = read_raw(body)?;
        Ok((
            Sender::new(raw.send, codec.clone()).of(origin.clone()),
            Receiver::new(raw.receive, codec.clone()).opened_with(&metadata, origin),
        ))
    })
}

macro_rules! into_future {
    ($kind:ident<$q:ident, $r:ident> => $output:ty, $message:expr, $read:expr, $reads:expr) => {
        impl<$q: Payload, $r: Payload + Default> IntoFuture for Full<$kind<$q, $r>> {
            type Output = Result<Reply<$output>>;
            type IntoFuture = Pending<$output>;

            fn into_future(self) -> Self::IntoFuture {
                send(self.0, $message, $read, $reads)
            }
        }

        impl<$q: Payload, $r: Payload + Default> IntoFuture for Call<$kind<$q, $r>> {
            type Output = Result<$output>;
            type IntoFuture = PendingMessage<$output>;

            fn into_future(self) -> Self::IntoFuture {
                PendingMessage(self.full().into_future())
            }
        }
    };
}

into_future!(Unary<Q, R> => R, |kind| Some(kind.request), read_message, Some(AlreadyRead::read::<R>));
into_future!(ServerStream<Q, R> => Receiver<R>, |kind| Some(kind.request), read_receiver, None);
into_future!(ClientStream<Q, R> => Upload<Q, R>, |_| None::<Q>, read_upload, None);
into_future!(Bidi<Q, R> => Both<Q, R>, |_| None::<Q>, read_both, None);
