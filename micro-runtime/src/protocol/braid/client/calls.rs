//! The calls in flight on one connection: a slab whose places carry a generation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use tokio::sync::Semaphore;

use super::super::fault::Fault;
use super::super::wire::CallId;
use super::stream::Opened;
use crate::call::Reply;
use crate::error::{Error, Result, id};

/// The end of the list of free places.
const NONE: u32 = u32::MAX;

/// The calls in flight on one connection.
pub(super) struct Calls {
    slab: Mutex<Slab>,
    /// As [`Slab::retired`], to be seen without the lock.
    retired: AtomicBool,
    /// As many as the peer takes at once and are not in flight.
    pub(super) vacancies: Semaphore,
}

struct Slab {
    slots: Vec<Slot>,
    /// The first free place.
    free: u32,
    live: usize,
    /// How many calls were made on the connection.
    made: u64,
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
}

enum State {
    /// With the next free place.
    Free(u32),
    Unary(Option<Waker>),
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

/// Answers that came with one read, and what follows from them.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) given: Vec<(CallId, Result<Reply>)>,
    /// Whom to wake.
    pub(super) wakers: Vec<Waker>,
    /// Streams whose opening is answered.
    pub(super) opened: Vec<(Arc<Opened>, CallId, Result<Reply>)>,
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
                made: 0,
                retired: false,
            }),
            retired: AtomicBool::new(false),
            vacancies: Semaphore::new((most as usize).min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Gives a call a place, and says whether it is the only one in flight. `None` where the
    /// connection takes no more.
    pub(super) fn insert(
        &self,
        position: u64,
        stream: impl FnOnce(CallId) -> Option<Arc<Opened>>,
    ) -> Option<(CallId, bool)> {
        let mut slab = self.lock();
        if slab.retired {
            return None;
        }
        slab.made += 1;
        slab.live += 1;
        let (number, alone) = (slab.made, slab.live == 1);
        let index = slab.vacant();
        let slot = slab.slots.get_mut(index as usize)?;
        let id = CallId {
            index,
            generation: slot.generation,
        };
        slot.position = position;
        slot.number = number;
        slot.state = match stream(id) {
            None => State::Unary(None),
            Some(stream) => State::Stream(stream),
        };
        Some((id, alone))
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
            match waker {
                Some(waker) => waker.clone_from(task.waker()),
                None => *waker = Some(task.waker().clone()),
            }
            return Poll::Pending;
        }
        let state = slab.remove(id);
        let spent = slab.is_spent();
        drop(slab);
        self.vacancies.add_permits(1);
        match state {
            Some(State::Answered(answer)) => Poll::Ready((answer, spent)),
            _ => Poll::Ready((Err(ended()), spent)),
        }
    }

    /// Answers unary calls, all under one lock: other tasks take it for each call.
    pub(super) fn answer(&self, answers: &mut Answers) -> Result<(), Fault> {
        let mut slab = self.lock();
        for (id, answer) in answers.given.drain(..) {
            match slab.find(id)? {
                Found::Unary => {
                    let Some(slot) = slab.slot(id) else { continue };
                    let before = std::mem::replace(&mut slot.state, State::Answered(answer));
                    if let State::Unary(Some(waker)) = before {
                        answers.wakers.push(waker);
                    }
                }
                Found::Stream(stream) => answers.opened.push((stream, id, answer)),
                Found::Late => {}
            }
        }
        Ok(())
    }

    /// What has the id `id`.
    pub(super) fn find(&self, id: CallId) -> Result<Found, Fault> {
        self.lock().find(id)
    }

    /// Frees the place of a call, if it still has one.
    pub(super) fn remove(&self, id: CallId) -> Removed {
        let removed = self.lock().remove(id);
        if removed.is_some() {
            self.vacancies.add_permits(1);
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

    /// Takes no more calls; says whether none is in flight.
    pub(super) fn retire(&self) -> bool {
        let mut slab = self.lock();
        slab.retired = true;
        self.retired.store(true, Ordering::Release);
        slab.live == 0
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
        let mut freed = 0;
        let mut slab = self.lock();
        slab.retired = true;
        self.retired.store(true, Ordering::Release);
        let failing: Vec<u32> = (0..)
            .zip(&slab.slots)
            .filter(|(_, slot)| matches!(slot.state, State::Unary(_) | State::Stream(_)))
            .filter(|(_, slot)| fails(slot))
            .map(|(index, _)| index)
            .collect();
        for index in failing {
            let Some(slot) = slab.slots.get_mut(index as usize) else {
                continue;
            };
            let error = lost.of(slot);
            match &mut slot.state {
                State::Unary(waker) => {
                    ended.wakers.extend(waker.take());
                    slot.state = State::Answered(Err(error));
                }
                State::Stream(stream) => {
                    ended.streams.push((stream.clone(), error));
                    let id = CallId {
                        index,
                        generation: slot.generation,
                    };
                    slab.remove(id);
                    freed += 1;
                }
                State::Free(_) | State::Answered(_) => {}
            }
        }
        drop(slab);
        self.vacancies.add_permits(freed);
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
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
        });
        (self.slots.len() - 1) as u32
    }

    fn find(&self, id: CallId) -> Result<Found, Fault> {
        let slot = self
            .slots
            .get(id.index as usize)
            .ok_or(Fault::Unknown(id))?;
        if slot.generation == id.generation {
            return match &slot.state {
                State::Unary(_) => Ok(Found::Unary),
                State::Stream(stream) => Ok(Found::Stream(stream.clone())),
                State::Answered(_) => Err(Fault::Order(id)),
                // The place's next generation is not in use yet.
                State::Free(_) => Err(Fault::Unknown(id)),
            };
        }
        match id.is_within(slot.generation) {
            true => Ok(Found::Late),
            false => Err(Fault::Unknown(id)),
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
        let state = std::mem::replace(&mut slot.state, State::Free(next));
        self.free = id.index;
        self.live -= 1;
        Some(state)
    }
}
