//! The calls in flight on one connection: a slab whose places carry a generation.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

use super::super::fault::Fault;
use super::super::pieces::Partial;
use super::super::wire::{CallId, Kind};
use super::stream::Opened;
use crate::call::Reply;
use crate::error::{Error, Result, id};

/// The end of the list of free places.
const NONE: u32 = u32::MAX;

/// The calls in flight on one connection.
pub(super) struct Calls {
    slab: Mutex<Slab>,
    /// As the slab's, to be read without its lock.
    retired: AtomicBool,
    /// Told when a call has ended and others wait for its place.
    place: Notify,
    waiting: AtomicUsize,
}

struct Slab {
    slots: Vec<Slot>,
    /// The first free place.
    free: u32,
    live: usize,
    /// How many the peer takes at once.
    most: usize,
    /// How many calls were made on the connection.
    made: u64,
    /// How long the messages are that have come in part, together.
    unfinished: usize,
    /// Takes no more calls: the peer stops, or the connection is over.
    retired: bool,
}

struct Slot {
    generation: u32,
    /// Where its frame begins in all that the connection sends.
    position: u64,
    /// Its number among the calls of the connection, from 1.
    number: u64,
    state: State,
    /// A message that has come in part.
    partial: Option<Box<Partial<Coming>>>,
}

/// What comes in pieces.
#[derive(Debug)]
pub(super) struct Coming {
    /// Whether the message is compressed.
    pub(super) packed: bool,
    /// The answer to a unary call, without its message; else it is a stream's message.
    pub(super) reply: Option<Reply>,
}

/// What a place is used for.
pub(super) enum State {
    /// Nothing; with the next free place.
    Free(u32),
    /// A unary call, and whom its answer wakes.
    Unary(Waker),
    Answered(Result<Reply>),
    Stream(Arc<Opened>),
}

/// What a frame of a call is for.
pub(super) enum Found {
    Unary,
    Stream(Arc<Opened>),
    /// A call that is over: the frame was late.
    Late,
}

/// Whose answer came.
pub(super) enum Settled {
    Unary(Waker),
    Stream(Arc<Opened>, Result<Reply>),
    /// A call that is over: the answer was late.
    Late,
}

/// Why a call gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many calls are in flight as the peer takes.
    Full,
    /// The connection takes no more.
    Retired,
}

/// Whether the peer still worked on a call that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    InFlight,
    Over,
}

/// Why a connection's calls fail.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: Error,
    /// How many bytes may have reached the peer: a call behind them certainly was not processed.
    pub(super) reached: u64,
    /// How many calls the peer has said it took; all, where it said nothing.
    pub(super) taken: u64,
}

impl Lost {
    fn of(&self, slot: &Slot) -> Error {
        let error = self.error.clone();
        match slot.position >= self.reached || slot.number > self.taken {
            true => error.unprocessed(),
            false => error,
        }
    }
}

/// Calls that were ended together; wake them with no lock held.
#[derive(Default)]
pub(super) struct Ended {
    wakers: Vec<Waker>,
    streams: Vec<(Arc<Opened>, Error)>,
}

impl Ended {
    pub(super) fn tell(self) {
        for (stream, error) in self.streams {
            stream.fail(error);
        }
        self.wakers.into_iter().for_each(Waker::wake);
    }
}

impl Calls {
    pub(super) fn new(most: u32) -> Self {
        Self {
            slab: Mutex::new(Slab {
                slots: Vec::new(),
                free: NONE,
                live: 0,
                most: most as usize,
                made: 0,
                unfinished: 0,
                retired: false,
            }),
            retired: AtomicBool::new(false),
            place: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Gives a call a place, and says whether it is the only one in flight.
    pub(super) fn insert(
        &self,
        position: u64,
        state: impl FnOnce(CallId) -> State,
    ) -> Result<(CallId, bool), NoPlace> {
        let mut slab = self.lock();
        if slab.retired {
            return Err(NoPlace::Retired);
        }
        if slab.live >= slab.most {
            return Err(NoPlace::Full);
        }
        let index = slab.vacant();
        let number = slab.made + 1;
        let slot = slab.slots.get_mut(index as usize).ok_or(NoPlace::Retired)?;
        let id = CallId {
            index,
            generation: slot.generation,
        };
        slot.position = position;
        slot.number = number;
        slot.state = state(id);
        slab.made = number;
        slab.live += 1;
        Ok((id, slab.live == 1))
    }

    /// Waits until there may be a place. Cancel safe.
    pub(super) async fn place(&self) {
        let _waits = Waits::new(&self.waiting);
        loop {
            let mut freed = pin!(self.place.notified());
            freed.as_mut().enable();
            {
                let slab = self.lock();
                if slab.retired || slab.live < slab.most {
                    return;
                }
            }
            freed.await;
        }
    }

    fn freed(&self) {
        // Who waits has counted itself before it looked at the slab.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.place.notify_one();
        }
    }

    /// Waits for the answer of a unary call, whose place is free then. Also says whether the
    /// connection takes no more calls and this was its last.
    pub(super) fn poll_answer(
        &self,
        id: CallId,
        task: &mut Task<'_>,
    ) -> Poll<(Result<Reply>, bool)> {
        let mut slab = self.lock();
        let Some(slot) = slab.slot(id) else {
            return Poll::Ready((Err(ended()), false));
        };
        if let State::Unary(waker) = &mut slot.state {
            waker.clone_from(task.waker());
            return Poll::Pending;
        }
        let state = slab.remove(id);
        let spent = slab.is_spent();
        drop(slab);
        self.freed();
        match state {
            Some(State::Answered(answer)) => Poll::Ready((answer, spent)),
            _ => Poll::Ready((Err(ended()), spent)),
        }
    }

    /// Takes the answer to a unary call, or the opening or the failure of a stream. A unary answer
    /// waits in its place; a failed stream has none any more.
    pub(super) fn settle(&self, id: CallId, answer: Result<Reply>) -> Result<Settled, Fault> {
        let mut slab = self.lock();
        let Some(slot) = slab.live(id)? else {
            return Ok(Settled::Late);
        };
        if answer.is_ok() && slot.partial.is_some() {
            return Err(Fault::Order(id));
        }
        if let State::Stream(stream) = &slot.state {
            let stream = stream.clone();
            if answer.is_err() {
                slab.remove(id);
                drop(slab);
                self.freed();
            }
            return Ok(Settled::Stream(stream, answer));
        }
        let dropped = slot.partial.take();
        let before = std::mem::replace(&mut slot.state, State::Answered(answer));
        slab.unfinished -= dropped.map_or(0, |partial| partial.total());
        match before {
            State::Unary(waker) => Ok(Settled::Unary(waker)),
            _ => Err(Fault::Order(id)),
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
        let mut guard = self.lock();
        let slab = &mut *guard;
        let unfinished = slab.unfinished + partial.total();
        let Some(slot) = slab.live(id)? else {
            return Ok(());
        };
        let fits = match (&slot.state, &partial.of.reply) {
            (State::Unary(_), reply) => reply.is_some(),
            (State::Stream(stream), None) => stream.is_open(),
            _ => false,
        };
        if !fits || slot.partial.is_some() {
            return Err(Fault::Order(id));
        }
        if unfinished > most {
            return Err(Fault::Limit(Kind::Piece));
        }
        slot.partial = Some(Box::new(partial));
        slab.unfinished = unfinished;
        Ok(())
    }

    /// Takes another piece; gives the message once it is all there.
    pub(super) fn piece(
        &self,
        id: CallId,
        piece: &[u8],
        more: bool,
    ) -> Result<Option<(Coming, Bytes)>, Fault> {
        let mut slab = self.lock();
        let Some(slot) = slab.live(id)? else {
            return Ok(None);
        };
        let partial = slot.partial.as_mut().ok_or(Fault::Piece(id))?;
        if !partial.add(id, piece, more)? {
            return Ok(None);
        }
        let partial = slot.partial.take();
        slab.unfinished -= partial.as_ref().map_or(0, |partial| partial.total());
        Ok(partial.map(|partial| partial.finish()))
    }

    /// Whether a message of this call has come in part.
    pub(super) fn is_within_message(&self, id: CallId) -> bool {
        let mut slab = self.lock();
        slab.slot(id).is_some_and(|slot| slot.partial.is_some())
    }

    /// What has the id `id`.
    pub(super) fn find(&self, id: CallId) -> Result<Found, Fault> {
        Ok(match self.lock().live(id)?.map(|slot| &slot.state) {
            None | Some(State::Free(_)) => Found::Late,
            Some(State::Unary(_)) => Found::Unary,
            Some(State::Stream(stream)) => Found::Stream(stream.clone()),
            Some(State::Answered(_)) => return Err(Fault::Order(id)),
        })
    }

    /// Frees the place of a call, if it still has one.
    pub(super) fn remove(&self, id: CallId) -> Removed {
        let removed = self.lock().remove(id);
        if removed.is_some() {
            self.freed();
        }
        match removed {
            None | Some(State::Answered(_)) => Removed::Over,
            Some(_) => Removed::InFlight,
        }
    }

    /// Whether the call awaits something of the peer.
    pub(super) fn is_live(&self, id: CallId) -> bool {
        let mut slab = self.lock();
        slab.slot(id)
            .is_some_and(|slot| !matches!(slot.state, State::Answered(_)))
    }

    /// Whether this call is the only one in flight: then there is nothing to write together.
    pub(super) fn is_alone(&self, id: CallId) -> bool {
        let mut slab = self.lock();
        slab.live == 1 && slab.slot(id).is_some()
    }

    /// Takes no more calls; says whether none is in flight.
    pub(super) fn retire(&self) -> bool {
        let mut slab = self.lock();
        slab.retired = true;
        let idle = slab.live == 0;
        drop(slab);
        self.retired.store(true, Ordering::Release);
        self.place.notify_waiters();
        idle
    }

    /// Whether it takes no more calls and none is in flight.
    pub(super) fn is_spent(&self) -> bool {
        self.lock().is_spent()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Takes no more calls, and fails those that the peer did not take.
    pub(super) fn fail_untaken(&self, lost: &Lost) -> Ended {
        self.fail_where(lost, |slot| slot.number > lost.taken)
    }

    /// Fails all calls.
    pub(super) fn fail_all(&self, lost: &Lost) -> Ended {
        self.fail_where(lost, |_| true)
    }

    fn fail_where(&self, lost: &Lost, fails: impl Fn(&Slot) -> bool) -> Ended {
        let mut ended = Ended::default();
        let mut slab = self.lock();
        slab.retired = true;
        for index in 0..slab.slots.len() {
            let Some(slot) = slab.slots.get_mut(index).filter(|slot| fails(slot)) else {
                continue;
            };
            let error = lost.of(slot);
            let id = CallId {
                index: index as u32,
                generation: slot.generation,
            };
            match &slot.state {
                State::Free(_) | State::Answered(_) => {}
                State::Unary(_) => {
                    let answered = State::Answered(Err(error));
                    if let State::Unary(waker) = std::mem::replace(&mut slot.state, answered) {
                        ended.wakers.push(waker);
                    }
                }
                State::Stream(stream) => {
                    ended.streams.push((stream.clone(), error));
                    slab.remove(id);
                }
            }
        }
        drop(slab);
        self.retired.store(true, Ordering::Release);
        self.place.notify_waiters();
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one who waits for a place.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn ended() -> Error {
    Error::internal(id::CLIENT, "the call was polled after it had ended")
}

impl Slab {
    fn is_spent(&self) -> bool {
        self.retired && self.live == 0
    }

    /// A free place, taken off the list.
    fn vacant(&mut self) -> u32 {
        if let Some(Slot {
            state: State::Free(next),
            ..
        }) = self.slots.get(self.free as usize)
        {
            return std::mem::replace(&mut self.free, *next);
        }
        self.slots.push(Slot {
            generation: 0,
            position: 0,
            number: 0,
            state: State::Free(NONE),
            partial: None,
        });
        (self.slots.len() - 1) as u32
    }

    /// The place of a call that frames may be for; `None` where the call is over.
    fn live(&mut self, id: CallId) -> Result<Option<&mut Slot>, Fault> {
        let slot = self
            .slots
            .get_mut(id.index as usize)
            .ok_or(Fault::Unknown(id))?;
        if slot.generation != id.generation {
            return match id.is_within(slot.generation) {
                true => Ok(None),
                false => Err(Fault::Unknown(id)),
            };
        }
        match slot.state {
            // The place's next generation is not in use yet.
            State::Free(_) => Err(Fault::Unknown(id)),
            _ => Ok(Some(slot)),
        }
    }

    /// The place of a call that is not free.
    fn slot(&mut self, id: CallId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
            .filter(|slot| !matches!(slot.state, State::Free(_)))
    }

    fn remove(&mut self, id: CallId) -> Option<State> {
        let next = self.free;
        let slot = self.slot(id)?;
        slot.generation = slot.generation.wrapping_add(1);
        let partial = slot.partial.take();
        let state = std::mem::replace(&mut slot.state, State::Free(next));
        self.free = id.index;
        self.live -= 1;
        self.unfinished -= partial.map_or(0, |partial| partial.total());
        Some(state)
    }
}
