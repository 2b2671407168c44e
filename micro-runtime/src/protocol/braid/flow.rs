//! One end of a stream: messages that came, credit for those that go, and how it ended.
//!
//! A window of messages bounds what a peer may send ahead of its reader. Who takes messages gives
//! the credit back; a peer that sends without is in the wrong.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use bytes::Bytes;

use super::fault::Fault;
use super::wire::CallId;
use crate::call::StreamEnd;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// One end of a stream.
pub(super) struct Flow {
    id: CallId,
    state: Mutex<State>,
}

struct State {
    /// Messages that nobody has taken yet: never more than the window.
    queue: VecDeque<Bytes>,
    /// How many more messages the peer may send.
    allowed: u32,
    /// How many were taken since credit was last given, and how many make it worth a frame.
    taken: u32,
    worth: u32,
    /// The peer sends no more messages.
    closed: bool,
    /// Nobody takes messages any more: they are dropped, and credited.
    deaf: bool,
    receiver: Option<Waker>,
    /// How many messages may be sent.
    credit: u32,
    /// Whether none was sent since the last one was taken: the peer may wait for an answer.
    asked: bool,
    sender: Option<Waker>,
    end: Option<StreamEnd>,
}

/// Wakers to wake once no lock is held.
#[derive(Default)]
pub(super) struct Wake(Option<Waker>, Option<Waker>);

impl Wake {
    pub(super) fn wake(self) {
        let Self(first, second) = self;
        [first, second].into_iter().flatten().for_each(Waker::wake);
    }
}

/// Messages to give credit for; a CREDIT frame where not 0.
pub(super) type Owed = u32;

impl Flow {
    /// An end that takes `window` messages ahead and may send `credit`.
    pub(super) fn new(id: CallId, window: u32, credit: u32) -> Self {
        Self {
            id,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                allowed: window,
                taken: 0,
                worth: (window / 2).max(1),
                closed: false,
                deaf: false,
                receiver: None,
                credit,
                asked: true,
                sender: None,
                end: None,
            }),
        }
    }

    /// A message of the peer.
    pub(super) fn push(&self, message: Bytes) -> Result<(Owed, Wake), Fault> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Ok((0, Wake::default()));
        }
        if state.closed {
            return Err(Fault::Ended(self.id));
        }
        state.allowed = state
            .allowed
            .checked_sub(1)
            .ok_or(Fault::Overflow(self.id))?;
        if state.deaf {
            return Ok((state.take(), Wake::default()));
        }
        state.queue.push_back(message);
        Ok((0, Wake(state.receiver.take(), None)))
    }

    /// Credit of the peer.
    pub(super) fn grant(&self, messages: u32) -> Result<Wake, Fault> {
        let mut state = self.lock();
        state.credit = state
            .credit
            .checked_add(messages)
            .ok_or(Fault::Credit(self.id))?;
        Ok(Wake(None, state.sender.take()))
    }

    /// The peer sends no more messages.
    pub(super) fn close(&self) -> Result<Wake, Fault> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.closed, true) {
            return Err(Fault::Ended(self.id));
        }
        Ok(Wake(state.receiver.take(), None))
    }

    /// The stream is over, after what is queued; a second end changes nothing.
    pub(super) fn end(&self, end: StreamEnd) -> Wake {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        Wake(state.receiver.take(), state.sender.take())
    }

    /// The next message, and the credit that taking it is worth.
    pub(super) fn poll_next(&self, task: &mut Task<'_>) -> Poll<(Option<Result<Bytes>>, Owed)> {
        let mut state = self.lock();
        if let Some(message) = state.queue.pop_front() {
            state.asked = true;
            let owed = state.take();
            return Poll::Ready((Some(Ok(message)), owed));
        }
        match &state.end {
            Some(StreamEnd::Done(_)) => Poll::Ready((None, 0)),
            Some(StreamEnd::Failed(error)) => Poll::Ready((Some(Err(error.clone())), 0)),
            None if state.closed => Poll::Ready((None, 0)),
            None => {
                state.receiver = Some(task.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for credit.
    pub(super) fn poll_credit(&self, task: &mut Task<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        match &state.end {
            Some(StreamEnd::Failed(error)) => Poll::Ready(Err(error.clone())),
            Some(StreamEnd::Done(_)) => Poll::Ready(Err(over())),
            None if state.credit > 0 => Poll::Ready(Ok(())),
            None => {
                state.sender = Some(task.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes the credit of one message that is sent now; says whether the peer may wait for it, as
    /// for the first after one of its own.
    pub(super) fn spend(&self) -> Result<bool> {
        let mut state = self.lock();
        match &state.end {
            Some(StreamEnd::Failed(error)) => return Err(error.clone()),
            Some(StreamEnd::Done(_)) => return Err(over()),
            None => {}
        }
        state.credit = state.credit.checked_sub(1).ok_or_else(|| {
            Error::internal(
                id::CLIENT_TRANSPORT,
                "a message was sent before there was room for it",
            )
        })?;
        Ok(std::mem::take(&mut state.asked))
    }

    /// Nobody takes messages any more: gives the credit of what is dropped.
    pub(super) fn deafen(&self) -> Owed {
        let mut state = self.lock();
        state.deaf = true;
        let dropped = std::mem::take(&mut state.queue);
        let mut owed = 0;
        for _ in &dropped {
            owed += state.take();
        }
        drop(state);
        drop(dropped);
        owed
    }

    /// What came at the end.
    pub(super) fn trailers(&self) -> Metadata {
        match &self.lock().end {
            Some(StreamEnd::Done(trailers)) => trailers.clone(),
            Some(StreamEnd::Failed(error)) => error.metadata().clone(),
            None => Metadata::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a message as taken; gives the credit to send, if enough has gathered.
    fn take(&mut self) -> Owed {
        self.taken += 1;
        if self.taken < self.worth || self.closed || self.end.is_some() {
            return 0;
        }
        let owed = std::mem::take(&mut self.taken);
        // Cannot exceed the window: only what was taken out of it comes back.
        self.allowed += owed;
        owed
    }
}

/// What a sender gets whose stream the peer has ended well.
fn over() -> Error {
    Error::internal(id::CLIENT_TRANSPORT, "the stream has ended")
}
