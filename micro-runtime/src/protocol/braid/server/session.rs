//! What a connection's reader shares with the handlers that run: their places, and the way back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::batch::Batch;
use super::super::client::answer_ping;
use super::super::error::{ErrorFrame, Reached};
use super::super::fault::Fault;
use super::super::fields::write_metadata;
use super::super::flow::Flow;
use super::super::outbox::{Beside, Flush, HIGH_WATER, Outbox, Room};
use super::super::wire::{CallId, Head, Hello, Kind, flag};
use super::gone;
use crate::call::{Body, Reply, StreamEnd};
use crate::context::Context;
use crate::error::{Error, Result, id};

/// What a server keeps beside its queue.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The number of the last ping that is not answered yet; an older one need not be.
    pub(super) ping: Option<u64>,
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
}

/// The server's end of one connection.
pub(super) struct Session {
    pub(super) out: Outbox<Waiting>,
    /// What the peer takes.
    pub(super) theirs: Hello,
    slots: Mutex<Slots>,
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
    pub(super) fn new(out: Outbox<Waiting>, theirs: Hello) -> Self {
        Self {
            out,
            theirs,
            slots: Mutex::default(),
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
        if place.running.is_some() || used {
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
        let running = place.running.take()?;
        slots.running -= 1;
        let alone = slots.running == 0;
        Some(Left { running, alone })
    }

    /// Ends a call with what `write` appends, unless it was given up, once there is room.
    pub(super) async fn end(&self, id: CallId, write: impl FnOnce(&mut Batch)) {
        self.out.room().await;
        // Under the queue's lock: a connection that drains ends when no call is in its place, and the
        // answer must be in the queue by then.
        let alone = self.out.append(Room::Ignored, |queue, _, _| {
            let Some(left) = self.leave(id) else {
                return (false, Flush::Held);
            };
            write(queue);
            let flush = if left.alone { Flush::Now } else { Flush::Soon };
            (left.alone, flush)
        });
        if alone == Ok(true) {
            self.idle.notify_one();
        }
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
        self.lock().running == 0
    }

    /// Waits until no handler runs. Cancel safe, for one waiter.
    pub(super) async fn idle(&self) {
        while !self.is_idle() {
            self.idle.notified().await;
        }
    }

    /// Answers a call from the reader, which flushes; says whether it must wait for room first.
    pub(super) fn answer(&self, id: CallId, answer: Result<Reply>, reached: Reached) -> bool {
        let full = self.out.append(Room::Ignored, |queue, _, _| {
            self.write(queue, id, &answer, reached);
            (queue.len() >= HIGH_WATER, Flush::Held)
        });
        // Where the connection is over, waiting is how the reader learns it.
        full.unwrap_or(true)
    }

    /// Answers a call that has no handler. Another node would say the same: it is not marked as
    /// unprocessed, so that nobody asks one.
    pub(super) fn refuse(&self, id: CallId, error: Error) -> bool {
        self.answer(id, Err(error), Reached::Perhaps)
    }

    /// Answers a unary call from its own task.
    pub(super) async fn answer_in_turn(&self, id: CallId, answer: Result<Reply>) {
        self.end(id, |queue| self.write(queue, id, &answer, Reached::Perhaps))
            .await;
    }

    /// Appends a small frame that waits for no room. Where the connection is over it says nothing.
    pub(super) fn control(&self, head: Head, flush: Flush, fields: impl FnOnce(&mut Vec<u8>)) {
        let _ = self.out.append(Room::Ignored, |queue, _, _| {
            queue.frame(head, &Bytes::new(), fields);
            ((), flush)
        });
    }

    fn write(&self, queue: &mut Batch, id: CallId, answer: &Result<Reply>, reached: Reached) {
        match answer {
            Ok(reply) => match self.refusal(reply) {
                None => write_reply(queue, id, reply),
                Some(error) => self.write_error(queue, id, &error, reached),
            },
            Err(error) => self.write_error(queue, id, error, reached),
        }
    }

    pub(super) fn write_error(
        &self,
        queue: &mut Batch,
        id: CallId,
        error: &Error,
        reached: Reached,
    ) {
        let frame = ErrorFrame::new(error, reached, &self.theirs);
        let head = Head::new(Kind::Error, frame.flags, id);
        queue.frame(head, &Bytes::new(), |out| frame.write(out));
    }

    /// What the caller gets in place of a reply that it does not take.
    fn refusal(&self, reply: &Reply) -> Option<Error> {
        self.check_size(reply.message.as_bytes().len())
            .err()
            .or_else(|| {
                let takes =
                    self.theirs.takes(&reply.metadata) && self.theirs.takes(&reply.trailers);
                (!takes).then(|| {
                    Error::internal(
                        id::SERVER,
                        "the reply has more metadata than the caller takes",
                    )
                })
            })
    }

    /// Refuses a message that the peer has said it does not take.
    pub(super) fn check_size(&self, length: usize) -> Result<()> {
        let most = self.theirs.message as usize;
        if length > most {
            let words = format!("a message of {length} bytes, and the caller takes {most}");
            return Err(Error::internal(id::SERVER, words));
        }
        Ok(())
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

fn write_reply(queue: &mut Batch, id: CallId, reply: &Reply) {
    let set = |flag, there: bool| if there { flag } else { 0 };
    let flags = set(flag::METADATA, !reply.metadata.is_empty())
        | set(flag::TRAILERS, !reply.trailers.is_empty())
        | flag::BODY;
    let none = Bytes::new();
    let message = match &reply.message {
        Body::One(message) => message,
        Body::Empty | Body::Stream(_) => &none,
    };
    queue.frame(Head::new(Kind::Reply, flags, id), message, |out| {
        for block in [&reply.metadata, &reply.trailers] {
            if !block.is_empty() {
                write_metadata(block, out);
            }
        }
    });
}
