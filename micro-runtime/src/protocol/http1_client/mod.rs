//! The client's side of HTTP/1.1: one exchange at a time on a connection, and those that are free
//! for the next one.

mod answered;
mod request;
mod upload;

pub(super) use answered::{Answered, Inbound};
pub(super) use upload::Upload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Waker};
use std::time::Duration;

use bytes::BytesMut;
use http::Request;
use tokio::time::Instant;

use super::connections::Open;
use super::http2::Chunk;
use crate::http1::{Bounds, Decoder, Role};
use crate::tasks::Tasks;
use crate::transport::{Io, ReadSide, WriteSide};
use answered::{Sending, poll_fill};
use request::Body;

/// What the head of an answer may hold.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 256;

/// A connection between two exchanges.
struct Wire {
    read: ReadSide,
    write: WriteSide,
    decoder: Decoder,
    inbox: BytesMut,
    /// When it was made.
    since: Instant,
    /// Counts it.
    open: Option<Open>,
}

/// The free connections to one node.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    /// The last one is the freshest; `None` once closed.
    idle: Mutex<Option<Vec<Wire>>>,
    /// All connections, those with an exchange too.
    open: Arc<AtomicUsize>,
    /// How many are kept.
    most: usize,
    /// How long one is used.
    ttl: Duration,
    tasks: Tasks,
}

impl Pool {
    /// Keeps `most` connections, each no longer than `ttl`.
    pub(super) fn new(most: usize, ttl: Duration, tasks: Tasks) -> Self {
        Self(Arc::new(Shared {
            idle: Mutex::new(Some(Vec::new())),
            open: Arc::default(),
            most,
            ttl,
            tasks,
        }))
    }

    /// Adds a new connection.
    pub(super) fn add(&self, io: Box<dyn Io>) {
        self.0.keep(self.0.new_wire(io));
    }

    /// Sends `head` on a free connection, with the whole body or with one that is sent by and by;
    /// `None` where no connection is free.
    pub(super) fn send(
        &self,
        head: &Request<()>,
        whole: Option<&Chunk>,
    ) -> Option<(Answered, Option<Upload>)> {
        let wire = self.0.take()?;
        Some(self.0.begin(wire, true, head, whole))
    }

    /// The same on a new connection.
    pub(super) fn send_on(
        &self,
        io: Box<dyn Io>,
        head: &Request<()>,
        whole: Option<&Chunk>,
    ) -> (Answered, Option<Upload>) {
        self.0.begin(self.0.new_wire(io), false, head, whole)
    }

    /// How many connections there are, and how many of them are free.
    pub(super) fn counts(&self) -> (usize, usize) {
        let idle = self.0.lock().as_ref().map_or(0, Vec::len);
        (self.0.open.load(Ordering::Relaxed).max(idle), idle)
    }

    /// Closes the free connections, and each other when its exchange has ended.
    pub(super) fn close(&self) {
        let idle = self.0.lock().take();
        // Their other ends may wake.
        drop(idle);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn begin(
        self: &Arc<Self>,
        wire: Wire,
        used: bool,
        head: &Request<()>,
        whole: Option<&Chunk>,
    ) -> (Answered, Option<Upload>) {
        let Wire {
            read,
            write,
            decoder,
            inbox,
            since,
            open,
        } = wire;
        let (sending, upload) = match whole {
            Some(body) => {
                let outbox = request::outbox(head, Body::Whole(body));
                (Sending::ours(write, outbox), None)
            }
            None => {
                let outbox = request::outbox(head, Body::Chunked);
                let (upload, sending) = upload::begin(write, outbox, &self.tasks);
                (sending, Some(upload))
            }
        };
        let answered = Answered::new(Inbound {
            read,
            decoder,
            inbox,
            since,
            open,
            used,
            sending,
            pool: Arc::downgrade(self),
            keep_alive: false,
            state: answered::State::Body,
        });
        (answered, upload)
    }

    /// A free connection that has not ended and has nothing unasked to say.
    fn take(&self) -> Option<Wire> {
        loop {
            let mut wire = self.lock().as_mut()?.pop()?;
            let mut task = Task::from_waker(Waker::noop());
            let silent = poll_fill(&mut wire.read, &mut wire.inbox, 1, &mut task).is_pending();
            if silent && wire.since.elapsed() < self.ttl {
                return Some(wire);
            }
        }
    }

    fn keep(&self, wire: Wire) {
        let mut one_too_many = None;
        if let Some(idle) = self.lock().as_mut() {
            if idle.len() >= self.most.max(1) {
                one_too_many = Some(idle.remove(0));
            }
            idle.push(wire);
        }
        drop(one_too_many);
    }

    fn new_wire(&self, io: Box<dyn Io>) -> Wire {
        let (read, write) = io.split();
        Wire {
            read,
            write,
            decoder: decoder(),
            inbox: BytesMut::new(),
            since: Instant::now(),
            open: Some(Open::count(&self.open)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Wire>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decoder() -> Decoder {
    let bounds = Bounds {
        head: HEAD,
        headers: HEADERS,
        // Whoever takes a body in pieces bounds it.
        body: usize::MAX,
    };
    Decoder::new(Role::Response, bounds)
}
