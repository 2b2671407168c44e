//! The client's side: a unary call owns a connection of the node's pool while it lasts, a stream
//! has one of its own. No task runs for either, unless a stream's peer reads too slowly.

mod incoming;
mod outgoing;
mod stream;
mod wire;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::incoming::{Answer, Expected};
use self::outgoing::Outgoing;
use self::wire::{Failure, Wire};
use super::Mucp;
use super::envelope::Envelope;
use super::names::{JSON, JSON_RPC, PROTO_RPC, PROTOBUF};
use crate::call::{Body, CallOptions, Payload, Reply, Request, dial};
use crate::codec;
use crate::context::Context;
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::metadata::Text;
use crate::method::Method;
use crate::protocol::connections::Open;
use crate::protocol::{AttemptLimits, Channel, Connections, Destination, Environment};
use crate::transport::Borrowed;

/// The way to one node.
#[derive(Debug)]
pub(super) struct MucpChannel {
    node: Destination,
    environment: Environment,
    settings: Mucp,
    /// The next call's id.
    next: AtomicU64,
    /// Idle connections, the latest used last. At most `environment.pool_size`.
    idle: Mutex<Vec<Wire>>,
    /// All connections, those of calls in flight too.
    open: Arc<AtomicUsize>,
    closed: AtomicBool,
}

/// What is needed of a request; unlike it, it may be shared between threads, and so be held by a
/// future while that waits.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    cx: &'a Context,
    service: &'a Text,
    method: &'a Method,
    options: &'a CallOptions,
    accept: &'a str,
    message: &'a Bytes,
    source: Option<&'a dyn Payload>,
    dialling: &'a AtomicBool,
}

impl<'a> Asked<'a> {
    fn new(request: &'a Request) -> Self {
        static NOTHING: Bytes = Bytes::new();
        Self {
            cx: &request.cx,
            service: &request.service,
            method: &request.method,
            options: &request.options,
            accept: request.codec.content_type(),
            message: match &request.body {
                Body::One(message) => message,
                Body::Empty | Body::Stream(_) => &NOTHING,
            },
            source: request.source.as_deref(),
            dialling: &request.dialling,
        }
    }
}

/// A call as this node wants it encoded.
struct Dialect<'a> {
    content_type: &'a str,
    envelope: Envelope,
    message: Cow<'a, Bytes>,
}

impl MucpChannel {
    pub(super) fn new(node: Destination, environment: Environment, settings: Mucp) -> Self {
        Self {
            node,
            environment,
            settings,
            next: AtomicU64::new(0),
            idle: Mutex::default(),
            open: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    async fn unary(&self, request: Asked<'_>, limits: AttemptLimits) -> Result<Reply> {
        let number = self.number()?;
        let dialect = self.dialect(request)?;
        let body = seal(&dialect, request, number);
        let expected = Expected {
            content_type: dialect.content_type,
            envelope: dialect.envelope,
        };
        loop {
            let timeout = remaining(request, limits)?;
            let (mut wire, used) = match self.take_idle() {
                Some(wire) => (wire, true),
                None => (dial(request.dialling, self.dial(limits)).await?, false),
            };
            let outgoing = Outgoing {
                host: crate::transport::host(&self.node.address),
                request,
                content_type: dialect.content_type,
                number,
                stream: number,
                timeout,
                asks_for_ends: false,
            };
            outgoing.put(wire.out(), &body);
            let message = match wire.exchange().await {
                Ok(message) => message,
                // The peer closed an idle connection, and nothing of the call has left.
                Err(Failure { written: 0, .. }) if used => continue,
                Err(failure) => return Err(failure.into()),
            };
            let reusable = message.keep_alive && !request.options.close_connection;
            let answer = incoming::read(&message.head, message.body, &expected);
            let answer =
                answer.map_err(
                    |error| match incoming::is_unprocessed(&message.head, number) {
                        true => error.unprocessed(),
                        false => error,
                    },
                );
            let peer = wire.peer().clone();
            wire.recycle(message.head);
            if reusable {
                self.keep(wire);
            }
            return match answer? {
                Answer::Message(body) => {
                    let mut reply = Reply::new(Body::One(body));
                    reply.peer = Some(peer);
                    Ok(reply)
                }
                // Neither is an answer to a unary call; a server that says so is not ours or Go's.
                Answer::End | Answer::Ends => Err(Error::internal(
                    id::CLIENT_TRANSPORT,
                    "the end of a stream came in answer to a unary call",
                )
                .caused_by(Cause::Garbled)),
            };
        }
    }

    async fn open(&self, request: Asked<'_>, limits: AttemptLimits) -> Result<Reply> {
        let number = self.number()?;
        let dialect = self.dialect(request)?;
        remaining(request, limits)?;
        let wire = dial(request.dialling, self.dial(limits)).await?;
        stream::open(self, wire, request, dialect, number).await
    }

    /// The next call's number: its `Micro-Id`.
    fn number(&self) -> Result<u64> {
        if self.closed.load(Ordering::Acquire) {
            let words = format!("the client of {} is closed", self.node.id);
            return Err(Error::unavailable(id::CLIENT, words)
                .unprocessed()
                .caused_by(Cause::Own));
        }
        Ok(self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn dial(&self, limits: AttemptLimits) -> Result<Wire> {
        let address = &self.node.address;
        let dialled = self.environment.transport.dial(address);
        match tokio::time::timeout(limits.dial_timeout, dialled).await {
            Ok(connection) => Ok(Wire::new(
                connection?,
                &self.node.id,
                self.environment.max_message,
                Open::count(&self.open),
            )),
            Err(_) => {
                let words = format!("connection error: dial tcp {address}: i/o timeout");
                Err(Error::internal(id::CLIENT, words).unprocessed())
            }
        }
    }

    /// An idle connection that is young enough and still open.
    fn take_idle(&self) -> Option<Wire> {
        let now = Instant::now();
        loop {
            let mut wire = self.idle().pop()?;
            let age = now.saturating_duration_since(wire.born());
            if age < self.environment.pool_ttl && wire.is_open() {
                return Some(wire);
            }
        }
    }

    fn keep(&self, wire: Wire) {
        if self.closed.load(Ordering::Acquire) || !wire.is_clean() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < self.environment.pool_size {
            idle.push(wire);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How this node wants the call: nodes from before `protocol` metadata want envelopes.
    fn dialect<'a>(&self, request: Asked<'a>) -> Result<Dialect<'a>> {
        let content_type = match request.accept {
            JSON if self.node.legacy => JSON_RPC,
            PROTOBUF if self.node.legacy => PROTO_RPC,
            given => given,
        };
        let message = match request.source {
            Some(source) if content_type != request.accept && content_type == JSON_RPC => {
                Cow::Owned(legacy_json(source)?)
            }
            _ => Cow::Borrowed(request.message),
        };
        Ok(Dialect {
            content_type,
            envelope: Envelope::of(content_type),
            message,
        })
    }
}

impl Channel for MucpChannel {
    fn call<'a>(
        &'a self,
        request: &'a Request,
        limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        if request.method.kind.is_stream() {
            Box::pin(self.open(Asked::new(request), limits))
        } else {
            Box::pin(self.unary(Asked::new(request), limits))
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    fn connections(&self) -> Option<Connections> {
        let idle = self.idle().len();
        let open = self.open.load(Ordering::Relaxed);
        Some(Connections::pooled("mucp", open.max(idle), idle))
    }
}

/// The message in its envelope; not even shared where that is none.
fn seal<'a>(dialect: &Dialect<'a>, request: Asked<'_>, number: u64) -> Cow<'a, Bytes> {
    match dialect.envelope {
        Envelope::Bare => dialect.message.clone(),
        envelope => {
            let message = dialect.message.clone().into_owned();
            let number = number.to_string();
            Cow::Owned(envelope.seal_request(&request.method.endpoint, &number, message))
        }
    }
}

/// The message as Go's json-rpc codec reads it, which is not the JSON that was written.
#[cfg(feature = "json")]
fn legacy_json(source: &dyn Payload) -> Result<Bytes> {
    codec::encode(&codec::JsonCodec::go(JSON_RPC).for_client(), source)
}

#[cfg(not(feature = "json"))]
fn legacy_json(_source: &dyn Payload) -> Result<Bytes> {
    let codecs = codec::Codecs::default();
    Err(codecs.require(JSON_RPC).map_or_else(
        |error| error,
        |_| Error::internal(id::CLIENT, "this build has no JSON"),
    ))
}

/// How long the caller still waits: what the server is told.
fn remaining(request: Asked<'_>, limits: AttemptLimits) -> Result<Option<Duration>> {
    let deadline = request
        .cx
        .deadline()
        .into_iter()
        .chain(limits.deadline)
        .min();
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(Error::timeout(id::CLIENT, "context deadline exceeded").unprocessed()),
    }
}
