//! One end of a stream: messages that came, credit for those that go, and how it ended.
//!
//! A window of messages and of their bytes bounds what a peer may send ahead of its reader. Who takes
//! messages gives the credit back; a peer that sends without is in the wrong.
//!
//! The two halves of a stream keep what they can to themselves, so that a message costs no lock: a
//! receiver takes all that has come at once ([`Taking`]), a sender knows how far it may go
//! ([`Sending`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use bytes::Bytes;

use super::fault::Fault;
use super::wire::{CallId, Credit};
use crate::call::StreamEnd;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// One end of a stream.
pub(super) struct Flow {
    id: CallId,
    /// What makes credit worth a frame.
    worth: Credit,
    /// What the sender has sent in all; it alone writes here.
    sent_messages: AtomicU64,
    sent_bytes: AtomicU64,
    /// Whether none was sent since the last one was taken: the peer may wait for an answer.
    asked: AtomicBool,
    /// Whether the stream has ended; [`State::end`] says how.
    over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Messages that nobody has taken yet: with those of [`Taking`] never more than the window.
    queue: VecDeque<Bytes>,
    /// What the peer may send still. Bytes go below zero with the last message that had some.
    allowed_messages: u32,
    allowed_bytes: i64,
    /// The peer sends no more messages.
    closed: bool,
    /// Nobody takes messages any more: they are dropped, and credited when enough have gathered.
    deaf: Option<Credit>,
    receiver: Option<Waker>,
    /// What may be sent in all.
    granted: Total,
    sender: Option<Waker>,
    end: Option<StreamEnd>,
}

/// Messages and their bytes since the stream began.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    messages: u64,
    bytes: u64,
}

/// What the sending half keeps: how much was sent, and how much may be as far as it knows.
#[derive(Debug, Default)]
pub(super) struct Sending {
    sent: Total,
    granted: Total,
}

/// What the receiving half keeps: messages that it has taken over and nobody has asked for yet, and
/// the credit for those that were.
#[derive(Debug, Default)]
pub(super) struct Taking {
    queue: VecDeque<Bytes>,
    owed: Credit,
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

impl Flow {
    /// An end that takes `window` ahead and may send `credit`.
    pub(super) fn new(id: CallId, window: Credit, credit: Credit) -> Self {
        Self {
            id,
            worth: Credit {
                messages: (window.messages / 2).max(1),
                bytes: (window.bytes / 2).max(1),
            },
            sent_messages: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            asked: AtomicBool::new(true),
            over: AtomicBool::new(false),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                allowed_messages: window.messages,
                allowed_bytes: i64::from(window.bytes),
                closed: false,
                deaf: None,
                receiver: None,
                granted: Total {
                    messages: u64::from(credit.messages),
                    bytes: u64::from(credit.bytes),
                },
                sender: None,
                end: None,
            }),
        }
    }

    /// Messages of the peer, which are taken out of `messages`; gives credit to send, and whom to wake.
    pub(super) fn push(
        &self,
        messages: &mut VecDeque<Bytes>,
    ) -> Result<(Credit, Option<Waker>), Fault> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.end.is_some() {
            messages.clear();
            return Ok((Credit::NONE, None));
        }
        if state.closed {
            return Err(Fault::Ended(self.id));
        }
        for message in messages.iter() {
            if state.allowed_messages == 0 || state.allowed_bytes <= 0 {
                return Err(Fault::Overflow(self.id));
            }
            state.allowed_messages -= 1;
            state.allowed_bytes -= length(message);
        }
        let mut owed = Credit::NONE;
        if let Some(mut dropped) = state.deaf {
            for message in messages.drain(..) {
                dropped.count(&message);
            }
            owed = state.give_back(&mut dropped, self.worth);
            state.deaf = Some(dropped);
            return Ok((owed, None));
        }
        if state.queue.is_empty() {
            std::mem::swap(&mut state.queue, messages);
        } else {
            state.queue.append(messages);
        }
        Ok((owed, state.receiver.take()))
    }

    /// Credit of the peer.
    pub(super) fn grant(&self, credit: Credit) -> Result<Wake, Fault> {
        let mut state = self.lock();
        let granted = Total {
            messages: state.granted.messages + u64::from(credit.messages),
            bytes: state.granted.bytes + u64::from(credit.bytes),
        };
        let left = [
            (granted.messages, &self.sent_messages),
            (granted.bytes, &self.sent_bytes),
        ]
        .map(|(granted, sent)| granted.saturating_sub(sent.load(Ordering::Relaxed)));
        if left.iter().any(|left| *left > u64::from(u32::MAX)) {
            return Err(Fault::Credit(self.id));
        }
        state.granted = granted;
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
        self.over.store(true, Ordering::Release);
        Wake(state.receiver.take(), state.sender.take())
    }

    /// The next message, and the credit that taking it is worth.
    pub(super) fn poll_next(
        &self,
        taking: &mut Taking,
        task: &mut Task<'_>,
    ) -> Poll<(Option<Result<Bytes>>, Credit)> {
        if taking.queue.is_empty() {
            let mut state = self.lock();
            if state.queue.is_empty() {
                let end = match &state.end {
                    Some(StreamEnd::Done(_)) => None,
                    Some(StreamEnd::Failed(error)) => Some(Err(error.clone())),
                    None if state.closed => None,
                    None => {
                        state.receiver = Some(task.waker().clone());
                        return Poll::Pending;
                    }
                };
                return Poll::Ready((end, Credit::NONE));
            }
            std::mem::swap(&mut state.queue, &mut taking.queue);
        }
        let Some(message) = taking.queue.pop_front() else {
            return Poll::Ready((None, Credit::NONE));
        };
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
        taking.owed.count(&message);
        let owed = match taking.owed.is_worth(self.worth) {
            true => self.lock().give_back(&mut taking.owed, self.worth),
            false => Credit::NONE,
        };
        Poll::Ready((Some(Ok(message)), owed))
    }

    /// Waits for credit.
    pub(super) fn poll_credit(
        &self,
        sending: &mut Sending,
        task: &mut Task<'_>,
    ) -> Poll<Result<()>> {
        if sending.may_send() && !self.over.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(Err(why(end)));
        }
        sending.granted = state.granted;
        if sending.may_send() {
            return Poll::Ready(Ok(()));
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }

    /// Takes the credit of a message of `length` bytes, which is sent now; says whether the peer may wait for it, as
    /// for the first after one of its own.
    pub(super) fn spend(&self, sending: &mut Sending, length: usize) -> Result<bool> {
        if self.over.load(Ordering::Acquire)
            && let Some(end) = &self.lock().end
        {
            return Err(why(end));
        }
        if !sending.may_send() {
            return Err(Error::internal(
                id::CLIENT_TRANSPORT,
                "a message was sent before there was room for it",
            ));
        }
        sending.sent.messages += 1;
        sending.sent.bytes += length as u64;
        let Total { messages, bytes } = sending.sent;
        self.sent_messages.store(messages, Ordering::Relaxed);
        self.sent_bytes.store(bytes, Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        if asked {
            self.asked.store(false, Ordering::Relaxed);
        }
        Ok(asked)
    }

    /// Nobody takes messages any more: gives the credit of what is dropped.
    pub(super) fn deafen(&self, taking: &mut Taking) -> Credit {
        let mut state = self.lock();
        let dropped = [
            std::mem::take(&mut taking.queue),
            std::mem::take(&mut state.queue),
        ];
        for message in dropped.iter().flatten() {
            taking.owed.count(message);
        }
        let owed = state.give_back(&mut taking.owed, self.worth);
        state.deaf = Some(taking.owed);
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
    /// Gives back what was taken, if it is worth a frame.
    fn give_back(&mut self, taken: &mut Credit, worth: Credit) -> Credit {
        if !taken.is_worth(worth) || self.closed || self.end.is_some() {
            return Credit::NONE;
        }
        let owed = std::mem::take(taken);
        // Cannot exceed the window: only what was taken out of it comes back.
        self.allowed_messages += owed.messages;
        self.allowed_bytes += i64::from(owed.bytes);
        owed
    }
}

impl Sending {
    /// Whether there is credit for a message, whatever its length: the last one may be longer than
    /// what is left.
    fn may_send(&self) -> bool {
        self.sent.messages < self.granted.messages && self.sent.bytes < self.granted.bytes
    }
}

impl Credit {
    fn count(&mut self, message: &Bytes) {
        self.messages += 1;
        self.bytes = self
            .bytes
            .saturating_add(u32::try_from(message.len()).unwrap_or(u32::MAX));
    }

    fn is_worth(self, worth: Self) -> bool {
        self.messages >= worth.messages || self.bytes >= worth.bytes
    }
}

fn length(message: &Bytes) -> i64 {
    i64::try_from(message.len()).unwrap_or(i64::MAX)
}

/// What a sender gets whose stream has ended.
fn why(end: &StreamEnd) -> Error {
    match end {
        StreamEnd::Failed(error) => error.clone(),
        StreamEnd::Done(_) => Error::internal(id::CLIENT_TRANSPORT, "the stream has ended"),
    }
}
