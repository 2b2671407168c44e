//! What a connection's reader shares with the handlers that run: their places, and the way back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::batch::Batch;
use super::super::client::answer_ping;
use super::super::dictionary::Told;
use super::super::fault::Fault;
use super::super::flow::Flow;
use super::super::outbox::{Beside, Flush, Outbox, Room};
use super::super::pieces::{Partial, Parts};
use super::super::wire::{CallId, Head, Hello, Kind};
use super::{Asked, gone};
use crate::call::StreamEnd;
use crate::context::Context;
use crate::error::Result;

/// What a server keeps beside its queue.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) told: Told,
    pub(super) parts: Parts,
    /// The number of the last ping that is not answered yet; an older one need not be.
    pub(super) ping: Option<u64>,
}

impl Waiting {
    /// Nothing yet, for a peer with these limits.
    pub(super) fn new(theirs: &Hello) -> Self {
        Self {
            told: Told::new(theirs),
            parts: Parts::new(theirs),
            ping: None,
        }
    }

    /// Forgets what waits to be sent.
    pub(super) fn clear(&mut self) {
        self.ping = None;
        self.parts = Parts::none();
    }
}

impl Beside for Waiting {
    fn waits(&self) -> bool {
        self.ping.is_some()
    }

    fn append(&mut self, queue: &mut Batch) {
        if let Some(number) = self.ping.take() {
            answer_ping(number, queue);
        }
    }

    fn parts(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

/// The server's end of one connection.
pub(super) struct Session {
    pub(super) out: Outbox<Waiting>,
    /// What the peer takes.
    pub(super) theirs: Hello,
    /// Whether replies are compressed.
    pub(super) compress: bool,
    slots: Mutex<Slots>,
    /// How long the messages are that have come in part, together.
    unfinished: AtomicUsize,
    /// Told when no handler runs any more.
    idle: Notify,
}

#[derive(Default)]
struct Slots {
    /// By the index of a call's id.
    places: Vec<Place>,
    running: usize,
}

#[derive(Default)]
struct Place {
    /// Of the last call that had it.
    generation: Option<u32>,
    running: Option<Running>,
    /// A message that has come in part.
    partial: Option<Box<Partial<Coming>>>,
}

/// What comes in pieces.
pub(super) struct Coming {
    /// Whether the message is compressed.
    pub(super) packed: bool,
    /// The call that begins with the message; else it is a stream's message.
    pub(super) call: Option<Asked>,
}

/// A call whose handler runs in a task of its own.
pub(super) struct Running {
    cx: Context,
    pub(super) abort: Option<AbortHandle>,
    pub(super) flow: Option<Arc<Flow>>,
}

impl Running {
    /// Stops the handler, and what it has given its stream to.
    pub(super) fn stop(&self) {
        // First, so that a handler that is just running sees why its stream fails.
        self.cx.cancel();
        if let Some(abort) = &self.abort {
            abort.abort();
        }
        if let Some(flow) = &self.flow {
            flow.end(StreamEnd::Failed(gone())).wake();
        }
    }
}

/// What a frame of a call is for.
pub(super) enum Found {
    Unary,
    Stream(Arc<Flow>),
    /// A call that is over: the frame was late.
    Late,
}

impl Session {
    pub(super) fn new(out: Outbox<Waiting>, theirs: Hello, compress: bool) -> Self {
        Self {
            out,
            theirs,
            compress,
            slots: Mutex::default(),
            unfinished: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// Takes note of a new call, of which at most `most` have places.
    pub(super) fn admit(&self, id: CallId, most: usize) -> Result<(), Fault> {
        let index = id.index as usize;
        if index >= most {
            return Err(Fault::Index(id));
        }
        let mut slots = self.lock();
        if slots.places.len() <= index {
            slots.places.resize_with(index + 1, Place::default);
        }
        let place = slots.places.get_mut(index).ok_or(Fault::Index(id))?;
        let used = place
            .generation
            .is_some_and(|generation| id.is_within(generation));
        if place.running.is_some() || place.partial.is_some() || used {
            return Err(Fault::Busy(id));
        }
        place.generation = Some(id.generation);
        Ok(())
    }

    /// Gives an admitted call its place, before its task is spawned.
    pub(super) fn run(&self, id: CallId, cx: Context, flow: Option<Arc<Flow>>) {
        let mut slots = self.lock();
        if let Some(place) = slots.places.get_mut(id.index as usize) {
            place.running = Some(Running {
                cx,
                abort: None,
                flow,
            });
            slots.running += 1;
        }
    }

    /// Keeps what stops a call's task, unless that has ended already.
    pub(super) fn set_abort(&self, id: CallId, abort: AbortHandle) {
        let mut slots = self.lock();
        if let Some(place) = slots.places.get_mut(id.index as usize)
            && place.generation == Some(id.generation)
            && let Some(running) = &mut place.running
        {
            running.abort = Some(abort);
        }
    }

    /// Takes a call out of its place; `None` where it has left it already.
    pub(super) fn leave(&self, id: CallId) -> Option<Left> {
        let mut slots = self.lock();
        let place = slots.places.get_mut(id.index as usize)?;
        if place.generation != Some(id.generation) {
            return None;
        }
        let partial = place.partial.take();
        let running = place.running.take();
        self.finished(partial.as_deref());
        let running = running?;
        slots.running -= 1;
        let alone = slots.running == 0;
        Some(Left { running, alone })
    }

    /// Ends a call with what `write` appends, unless it was given up, once there is room for that and
    /// a message of `length` bytes.
    pub(super) async fn end(
        &self,
        id: CallId,
        length: usize,
        mut write: impl FnMut(&mut Batch, &mut Waiting),
    ) {
        let alone = loop {
            self.out.room_for(length).await;
            // Under the queue's lock: a connection that drains ends when no call is in its place, and
            // the answer must be in the queue by then.
            let ended = self.out.append(Room::Ignored, |queue, waiting, _| {
                if !waiting.parts.may_begin(length) {
                    return (None, Flush::Held);
                }
                let Some(left) = self.leave(id) else {
                    return (Some(false), Flush::Held);
                };
                write(queue, waiting);
                let flush = if left.alone { Flush::Now } else { Flush::Soon };
                (Some(left.alone), flush)
            });
            match ended {
                // Another has begun its message first.
                Ok(None) => {}
                Ok(Some(alone)) => break alone,
                Err(_) => return,
            }
        };
        if alone {
            self.idle.notify_one();
        }
    }

    /// Takes the first piece of a message, within `most` bytes of all that have begun. Of a call that
    /// is over it is dropped.
    pub(super) fn begin(
        &self,
        id: CallId,
        partial: Partial<Coming>,
        most: usize,
    ) -> Result<(), Fault> {
        let mut slots = self.lock();
        let unfinished = self.unfinished.load(Ordering::Relaxed) + partial.total();
        let Some(place) = slots.places.get_mut(id.index as usize) else {
            return Err(Fault::Unknown(id));
        };
        if place.partial.is_some() {
            return Err(Fault::Order(id));
        }
        if unfinished > most {
            return Err(Fault::Limit(Kind::Piece));
        }
        place.partial = Some(Box::new(partial));
        self.unfinished.store(unfinished, Ordering::Relaxed);
        Ok(())
    }

    /// Takes another piece; gives the message once it is all there.
    pub(super) fn piece(
        &self,
        id: CallId,
        piece: &[u8],
        more: bool,
    ) -> Result<Option<(Coming, Bytes)>, Fault> {
        let mut slots = self.lock();
        let Some(place) = slots.places.get_mut(id.index as usize) else {
            return Err(Fault::Unknown(id));
        };
        let generation = place.generation.ok_or(Fault::Unknown(id))?;
        if generation != id.generation {
            return match id.is_within(generation) {
                true => Ok(None),
                false => Err(Fault::Unknown(id)),
            };
        }
        let Some(partial) = place.partial.as_mut() else {
            // Of a call that was refused, or that is over: its pieces were on their way.
            return match place.running {
                Some(_) => Err(Fault::Piece(id)),
                None => Ok(None),
            };
        };
        if !partial.add(id, piece, more)? {
            return Ok(None);
        }
        let partial = place.partial.take();
        self.finished(partial.as_deref());
        Ok(partial.map(|partial| partial.finish()))
    }

    fn finished(&self, partial: Option<&Partial<Coming>>) {
        if let Some(partial) = partial {
            self.unfinished
                .fetch_sub(partial.total(), Ordering::Relaxed);
        }
    }

    /// Whether a message of this call has come in part.
    pub(super) fn is_within_message(&self, id: CallId) -> bool {
        self.is_within_messages()
            && self
                .lock()
                .places
                .get(id.index as usize)
                .is_some_and(|place| {
                    place.generation == Some(id.generation) && place.partial.is_some()
                })
    }

    /// Whether any message has come in part.
    pub(super) fn is_within_messages(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed) > 0
    }

    /// What has the id `id`.
    pub(super) fn find(&self, id: CallId) -> Result<Found, Fault> {
        let slots = self.lock();
        let place = slots.places.get(id.index as usize);
        let Some((place, generation)) = place.and_then(|place| Some((place, place.generation?)))
        else {
            return Err(Fault::Unknown(id));
        };
        if generation == id.generation
            && let Some(running) = &place.running
        {
            return Ok(match &running.flow {
                Some(flow) => Found::Stream(flow.clone()),
                None => Found::Unary,
            });
        }
        match id.is_within(generation) {
            true => Ok(Found::Late),
            false => Err(Fault::Unknown(id)),
        }
    }

    /// Stops every handler.
    pub(super) fn abort_all(&self) {
        let running: Vec<Running> = {
            let mut slots = self.lock();
            slots.running = 0;
            slots
                .places
                .iter_mut()
                .filter_map(|place| place.running.take())
                .collect()
        };
        running.iter().for_each(Running::stop);
    }

    /// Whether one handler runs alone: then there is nothing to write together.
    pub(super) fn is_alone(&self) -> bool {
        self.lock().running == 1
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().running == 0 && !self.is_within_messages()
    }

    /// Waits until no handler runs. Cancel safe, for one waiter.
    pub(super) async fn idle(&self) {
        while !self.is_idle() {
            self.idle.notified().await;
        }
    }

    /// Appends a small frame that waits for no room. Where the connection is over it says nothing.
    pub(super) fn control(&self, head: Head, flush: Flush, fields: impl FnOnce(&mut Vec<u8>)) {
        let _ = self.out.append(Room::Ignored, |queue, _, _| {
            queue.frame(head, &Bytes::new(), fields);
            ((), flush)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has left its place.
pub(super) struct Left {
    pub(super) running: Running,
    /// Whether it was the last that ran.
    pub(super) alone: bool,
}
