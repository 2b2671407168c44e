//! A bounded queue of messages with one sender and one receiver: a direction of a stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::StreamEnd;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// Both ends of a queue; whoever holds a clone may end it.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Mutex<State>>);

struct State {
    messages: VecDeque<Bytes>,
    capacity: usize,
    /// What the receiver finds after the last message.
    end: Option<StreamEnd>,
    /// The stream is over: the sender gets this.
    refused: Option<Error>,
    /// Nobody reads any more: what is sent is dropped.
    deaf: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Queue {
    /// A queue that holds `capacity` messages.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            messages: VecDeque::new(),
            capacity,
            end: None,
            refused: None,
            deaf: false,
            receiver: None,
            sender: None,
        })))
    }

    /// Waits for room.
    pub(crate) fn poll_ready(&self, task: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if let Some(error) = &state.refused {
            return Poll::Ready(Err(error.clone()));
        }
        if state.end.is_some() {
            return Poll::Ready(Err(Error::internal(
                id::CLIENT_TRANSPORT,
                "the stream has ended",
            )));
        }
        if state.deaf || state.messages.len() < state.capacity {
            return Poll::Ready(Ok(()));
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }

    /// Takes a message; the sender has waited for room.
    pub(crate) fn push(&self, message: Bytes) -> Result<()> {
        let waker = {
            let mut state = self.lock();
            if let Some(error) = &state.refused {
                return Err(error.clone());
            }
            if state.deaf {
                return Ok(());
            }
            if state.messages.len() >= state.capacity {
                return Err(Error::internal(
                    id::CLIENT_TRANSPORT,
                    "a message was sent before there was room for it",
                ));
            }
            state.messages.push_back(message);
            state.receiver.take()
        };
        wake(waker);
        Ok(())
    }

    /// The next message, or how the stream ended.
    pub(crate) fn poll_next(&self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let (next, waker) = {
            let mut state = self.lock();
            match state.messages.pop_front() {
                Some(message) => (Some(Ok(message)), state.sender.take()),
                None => match &state.end {
                    Some(StreamEnd::Done(_)) => (None, None),
                    Some(StreamEnd::Failed(error)) => (Some(Err(error.clone())), None),
                    None => {
                        state.receiver = Some(task.waker().clone());
                        return Poll::Pending;
                    }
                },
            }
        };
        wake(waker);
        Poll::Ready(next)
    }

    /// What came after the last message.
    pub(crate) fn trailers(&self) -> Metadata {
        match &self.lock().end {
            Some(StreamEnd::Done(trailers)) => trailers.clone(),
            Some(StreamEnd::Failed(error)) => error.metadata().clone(),
            None => Metadata::new(),
        }
    }

    /// Ends the direction after what is queued; a second end changes nothing.
    pub(crate) fn end(&self, end: StreamEnd) {
        let wakers = {
            let mut state = self.lock();
            if state.end.is_none() {
                state.end = Some(end);
            }
            [state.receiver.take(), state.sender.take()]
        };
        wakers.into_iter().for_each(wake);
    }

    /// Drops what is queued and refuses what comes, with `error`, which a reader finds too.
    pub(crate) fn refuse(&self, error: Error) {
        let (wakers, dropped) = {
            let mut state = self.lock();
            if state.end.is_none() {
                state.end = Some(StreamEnd::Failed(error.clone()));
            }
            state.refused.get_or_insert(error);
            (
                [state.receiver.take(), state.sender.take()],
                std::mem::take(&mut state.messages),
            )
        };
        drop(dropped);
        wakers.into_iter().for_each(wake);
    }

    /// Drops what is queued and what comes: its reader is gone, which holds up no sender.
    pub(crate) fn deafen(&self) {
        let (waker, dropped) = {
            let mut state = self.lock();
            state.deaf = true;
            (state.sender.take(), std::mem::take(&mut state.messages))
        };
        drop(dropped);
        wake(waker);
    }

    /// Wakes the reader, if one waits.
    pub(crate) fn wake_reader(&self) {
        let waker = self.lock().receiver.take();
        wake(waker);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakers are woken with no lock held: what they wake may lock again.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
