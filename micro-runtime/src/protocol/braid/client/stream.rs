//! A client's end of a stream: its opening, and the two halves that the caller holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker, ready};

use bytes::Bytes;

use super::super::batch::Batch;
use super::super::fault::Fault;
use super::super::flow::{Flow, Sending, Taking};
use super::super::outbox::{Flush, Room, RoomWait};
use super::super::pieces::Parts;
use super::super::wire::{CallId, Credit, Head, Kind, flag};
use super::link::Link;
use crate::call::{RawReceive, RawSend, RawStream, Reply, StreamEnd};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// What the connection knows of a stream: messages, and the answer that opens it.
pub(super) struct Opened {
    pub(super) flow: Arc<Flow>,
    opening: Mutex<Opening>,
}

enum Opening {
    Awaited(Option<Waker>),
    /// The answer, not taken yet.
    Here(Result<Reply>),
    Over,
}

impl Opened {
    pub(super) fn new(flow: Arc<Flow>) -> Self {
        Self {
            flow,
            opening: Mutex::new(Opening::Awaited(None)),
        }
    }

    /// The peer has opened the stream; gives whom to wake.
    pub(super) fn open(&self, id: CallId, reply: Reply) -> Result<Option<Waker>, Fault> {
        let mut opening = self.lock();
        let Opening::Awaited(waker) = &mut *opening else {
            return Err(Fault::Order(id));
        };
        let waker = waker.take();
        *opening = Opening::Here(Ok(reply));
        Ok(waker)
    }

    /// Whether the peer has opened it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(&*self.lock(), Opening::Awaited(_))
    }

    /// The stream has failed, or was never opened.
    pub(super) fn fail(&self, error: Error) {
        let waker = {
            let mut opening = self.lock();
            match &mut *opening {
                Opening::Awaited(waker) => {
                    let waker = waker.take();
                    *opening = Opening::Here(Err(error.clone()));
                    waker
                }
                Opening::Here(_) | Opening::Over => None,
            }
        };
        self.flow.end(StreamEnd::Failed(error)).wake();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the answer that opens the stream.
    pub(super) fn poll_open(&self, task: &mut Task<'_>) -> Poll<Result<Reply>> {
        let mut opening = self.lock();
        if let Opening::Awaited(waker) = &mut *opening {
            *waker = Some(task.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(match std::mem::replace(&mut *opening, Opening::Over) {
            Opening::Here(answer) => answer,
            Opening::Awaited(_) | Opening::Over => Err(Error::internal(
                id::CLIENT,
                "the call was polled after it had ended",
            )),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Opening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place among its connection's calls: with the last holder the stream is given up.
pub(super) struct Held {
    pub(super) link: Arc<Link>,
    pub(super) id: CallId,
    pub(super) stream: Arc<Opened>,
}

impl Held {
    /// The two halves of the stream, now that it is open.
    pub(super) fn halves(self, sends: bool) -> RawStream {
        let held = Arc::new(self);
        RawStream {
            send: Box::new(Upload {
                held: held.clone(),
                sending: Sending::default(),
                waiting: RoomWait::default(),
                goes: false,
                finished: !sends,
            }),
            receive: Box::new(Download {
                held,
                taking: Taking::default(),
            }),
        }
    }

    fn credit(&self, owed: Credit) {
        if !owed.is_none() {
            let head = Head::new(Kind::Credit, 0, self.id);
            self.link.control(head, Flush::Soon, |out| owed.write(out));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.link.give_up(self.id);
        self.stream
            .flow
            .end(StreamEnd::Failed(Error::timeout(
                id::CLIENT,
                "the call was given up",
            )))
            .wake();
    }
}

/// The sending half.
struct Upload {
    held: Arc<Held>,
    sending: Sending,
    waiting: RoomWait,
    /// Whether the last message went in pieces, of which some may be left.
    goes: bool,
    finished: bool,
}

impl Upload {
    /// Sends a message of `length` bytes, which `write` appends.
    fn put(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut Batch, &mut Parts, Head),
    ) -> Result<()> {
        if self.finished {
            return Err(Error::bad_request(
                id::CLIENT,
                "the call's input has ended already",
            ));
        }
        let Held { link, id, stream } = &*self.held;
        link.check_size(length)?;
        let asked = stream.flow.spend(&mut self.sending, length)?;
        let flush = match asked && link.calls.is_alone(*id) {
            true => Flush::Now,
            false => Flush::Enough,
        };
        let sent = link.out.append(Room::Ignored, |queue, waiting, _| {
            write(queue, &mut waiting.parts, Head::new(Kind::Message, 0, *id));
            ((), flush)
        });
        sent.map_err(|_| link.out.failure())
    }
}

impl Upload {
    /// Waits for room, and until nothing is left of the last message.
    fn poll_gone(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Held { link, id, .. } = &*self.held;
        let part = self.goes.then_some(*id);
        ready!(link.out.poll_room(part, &mut self.waiting, task));
        self.goes = false;
        Poll::Ready(())
    }
}

impl RawSend for Upload {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        ready!(self.held.stream.flow.poll_credit(&mut self.sending, task))?;
        self.poll_gone(task).map(Ok)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let length = message.len();
        let packed = self.held.link.pack(&message);
        let flags = packed.as_ref().map_or(0, |_| flag::PACKED);
        let message = packed.unwrap_or(message);
        let mut goes = false;
        let put = self.put(length, |queue, parts, mut head| {
            head.flags = flags;
            goes = !parts.is_whole(message.len());
            parts.push(queue, head, message);
        });
        self.goes |= goes;
        put
    }

    fn send_copy(&mut self, message: &[u8]) -> Result<()> {
        self.put(message.len(), |queue, _, head| queue.small(head, message))
    }

    fn poll_finish(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        if self.goes && !self.finished {
            ready!(self.poll_gone(task));
        }
        if !std::mem::replace(&mut self.finished, true) {
            let Held { link, id, .. } = &*self.held;
            if link.calls.is_live(*id) {
                link.control(Head::new(Kind::End, 0, *id), Flush::Soon, |_| {});
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // With the receiver gone already the call is given up next, and no end may outrun that.
        let last = Arc::strong_count(&self.held) == 1;
        if !self.finished && !last && self.held.link.calls.is_live(self.held.id) {
            self.held.link.end_soon(self.held.id);
        }
    }
}

/// The receiving half.
struct Download {
    held: Arc<Held>,
    taking: Taking,
}

impl RawReceive for Download {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let (next, owed) = ready!(self.held.stream.flow.poll_next(&mut self.taking, task));
        self.held.credit(owed);
        Poll::Ready(next)
    }

    fn trailers(&self) -> Metadata {
        self.held.stream.flow.trailers()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let owed = self.held.stream.flow.deafen(&mut self.taking);
        self.held.credit(owed);
    }
}
