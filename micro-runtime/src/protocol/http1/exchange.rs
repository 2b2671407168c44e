//! One request of HTTP/1.1 and its answer, as its connection shares it with who serves it.
//!
//! The connection's task moves the bytes. Who serves may do so from any task: so what is on its way
//! is behind a lock, which is never held while anything is polled or woken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::http1::{Malformed, Outbox};
use crate::protocol::http2::{Chunk, Fault};

/// Who has so much on its way waits before it sends more.
pub(super) const HIGH_WATER: usize = 64 * 1024;

/// The state of a request and its answer.
pub(super) struct Exchange(Mutex<State>);

/// What an [`Exchange`] holds.
#[derive(Default)]
pub(super) struct State {
    pieces: VecDeque<Bytes>,
    /// How many bytes they are.
    held: usize,
    /// What comes when the pieces are used up.
    end: Option<Result<HeaderMap, Malformed>>,
    /// Whether someone has asked for input that was not there.
    pub(super) wanted: bool,
    /// Nobody reads any more.
    pub(super) deaf: bool,
    reader: Option<Waker>,

    /// The head of the answer, until the connection takes it.
    pub(super) head: Option<(StatusCode, HeaderMap)>,
    pub(super) responded: bool,
    pub(super) body: Outbox,
    pub(super) ended: bool,
    pub(super) trailers: HeaderMap,
    /// The answer was given up: its connection closes within it.
    pub(super) abandoned: bool,
    /// Bytes of it that the connection has taken and not written.
    queued: usize,
    sender: Option<Waker>,

    /// The caller is gone.
    gone: bool,
    watcher: Option<Waker>,

    /// The connection is being polled, and sees what has moved before it rests.
    polling: bool,
    moved: bool,
    connection: Option<Waker>,
}

impl Exchange {
    /// A request, and the halves for who serves it.
    pub(super) fn new() -> (Arc<Self>, Inbound, Answer) {
        let state = State {
            polling: true,
            ..State::default()
        };
        let exchange = Arc::new(Self(Mutex::new(state)));
        let (input, answer) = (Inbound(exchange.clone()), Answer(exchange.clone()));
        (exchange, input, answer)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `change` for who serves, and tells the connection.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        state.moved = true;
        let connection = match state.polling {
            true => None,
            false => state.connection.take(),
        };
        drop(state);
        if let Some(connection) = connection {
            connection.wake();
        }
        result
    }

    /// The connection is being polled: it need not be woken.
    pub(super) fn enter(&self) {
        self.state().polling = true;
    }

    /// The connection is about to rest, and is woken from now on; unless something has moved.
    pub(super) fn leave(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if state.moved {
            return false;
        }
        state.polling = false;
        match &mut state.connection {
            Some(known) => known.clone_from(waker),
            None => state.connection = Some(waker.clone()),
        }
        true
    }

    /// Whether something has moved since it was last asked.
    pub(super) fn take_moved(&self) -> bool {
        std::mem::take(&mut self.state().moved)
    }

    /// Whether no more input is taken now.
    pub(super) fn is_full(&self, most: usize) -> bool {
        let state = self.state();
        !state.deaf && state.held >= most
    }

    /// Takes input from the peer; who waits for it.
    pub(super) fn put(&self, piece: Bytes) -> Option<Waker> {
        let mut state = self.state();
        if state.deaf {
            return None;
        }
        state.held += piece.len();
        state.pieces.push_back(piece);
        state.reader.take()
    }

    /// Notes how the input has ended; who waits for it.
    pub(super) fn put_end(&self, end: Result<HeaderMap, Malformed>) -> Option<Waker> {
        let mut state = self.state();
        state.end = Some(end);
        state.reader.take()
    }

    /// Nobody is to read any more.
    pub(super) fn deafen(&self) {
        let mut state = self.state();
        state.deaf = true;
        state.held = 0;
        let pieces = std::mem::take(&mut state.pieces);
        drop(state);
        drop(pieces);
    }

    /// Notes how much of the answer is not written yet; who waits for room.
    pub(super) fn set_queued(&self, queued: usize) -> Option<Waker> {
        let mut state = self.state();
        state.queued = queued;
        match state.has_room(0) {
            true => state.sender.take(),
            false => None,
        }
    }

    /// The caller is gone; who waits for anything.
    pub(super) fn lose(&self) -> impl Iterator<Item = Waker> + use<> {
        let mut state = self.state();
        state.gone = true;
        let State {
            reader,
            sender,
            watcher,
            ..
        } = &mut *state;
        let waiting = [reader.take(), sender.take(), watcher.take()];
        waiting.into_iter().flatten()
    }

    /// What the body was, where that is none.
    pub(super) fn malformed(&self) -> Option<Malformed> {
        match &self.state().end {
            Some(Err(malformed)) => Some(*malformed),
            Some(Ok(_)) | None => None,
        }
    }

    fn poll_reset(&self, task: &mut Task<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.gone {
            return Poll::Ready(());
        }
        note(&mut state.watcher, task);
        Poll::Pending
    }
}

impl State {
    fn has_room(&self, held: usize) -> bool {
        self.body.len() + self.queued + held < HIGH_WATER
    }

    /// Whether anything more may be sent.
    fn check(&self) -> Result<(), Fault> {
        if self.gone {
            return Err(Fault::Closed);
        }
        match self.ended || self.abandoned {
            true => Err(Fault::Over),
            false => Ok(()),
        }
    }
}

fn note(place: &mut Option<Waker>, task: &Task<'_>) {
    match place {
        Some(known) => known.clone_from(task.waker()),
        None => *place = Some(task.waker().clone()),
    }
}

/// What comes from the peer. Dropped, it lets the connection pass over the rest.
pub(in crate::protocol) struct Inbound(Arc<Exchange>);

impl Inbound {
    /// The next bytes; `None` at the end of them.
    pub(in crate::protocol) fn poll_data(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        let mut state = self.0.state();
        if let Some(piece) = state.pieces.pop_front() {
            state.held -= piece.len().min(state.held);
            drop(state);
            // There is room for more.
            self.0.change(|_| {});
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.end {
            Some(Ok(_)) => return Poll::Ready(None),
            Some(Err(malformed)) => {
                return Poll::Ready(Some(Err(Fault::Malformed(*malformed))));
            }
            None if state.gone || state.deaf => {
                return Poll::Ready(Some(Err(Fault::Closed)));
            }
            None => {}
        }
        note(&mut state.reader, task);
        if !state.wanted {
            drop(state);
            self.0.change(|state| state.wanted = true);
        }
        Poll::Pending
    }

    /// What came after the bytes; to be asked after their end.
    pub(in crate::protocol) fn poll_trailers(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Fault>> {
        let mut state = self.0.state();
        let gone = state.gone || state.deaf;
        match &mut state.end {
            Some(Ok(trailers)) => {
                let trailers = std::mem::take(trailers);
                Poll::Ready(Ok((!trailers.is_empty()).then_some(trailers)))
            }
            Some(Err(malformed)) => Poll::Ready(Err(Fault::Malformed(*malformed))),
            None if gone => Poll::Ready(Err(Fault::Closed)),
            None => {
                note(&mut state.reader, task);
                Poll::Pending
            }
        }
    }

    /// Whether it is known that nothing follows.
    pub(in crate::protocol) fn is_at_end(&self) -> bool {
        let state = self.0.state();
        state.pieces.is_empty() && matches!(state.end, Some(Ok(_)))
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.0.deafen();
        self.0.change(|_| {});
    }
}

/// The way to answer.
pub(in crate::protocol) struct Answer(Arc<Exchange>);

impl Answer {
    /// Gives the head, and with `end` nothing else. It leaves when the connection is next at its
    /// turn; what has ended by then leaves with its length.
    pub(in crate::protocol) fn respond(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        end: bool,
    ) -> Result<Outbound, Fault> {
        self.0.change(|state| {
            state.check()?;
            if state.responded {
                return Err(Fault::Over);
            }
            state.head = Some((status, headers));
            state.responded = true;
            state.ended = end;
            Ok(())
        })?;
        Ok(Outbound(self.0.clone()))
    }

    /// Ready when the caller is gone.
    pub(in crate::protocol) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.0.poll_reset(task)
    }
}

/// What goes to the peer after the head. Dropped before its end, it closes the connection.
pub(in crate::protocol) struct Outbound(Arc<Exchange>);

impl Outbound {
    /// Waits until the peer takes more than `held` bytes beside what is on its way.
    ///
    /// # Errors
    /// When the exchange is over.
    pub(in crate::protocol) fn poll_room(
        &mut self,
        held: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Fault>> {
        let mut state = self.0.state();
        state.check()?;
        if state.has_room(held) {
            return Poll::Ready(Ok(()));
        }
        note(&mut state.sender, task);
        Poll::Pending
    }

    /// Sends `chunk`; what the peer does not take yet waits here.
    pub(in crate::protocol) fn send(&mut self, chunk: Chunk, end: bool) -> Result<(), Fault> {
        self.0.change(|state| {
            state.check()?;
            state.body.buffer().extend_from_slice(chunk.prefix());
            state.body.push(&chunk.into_body());
            state.ended = end;
            Ok(())
        })
    }

    /// Ends what is sent with trailers.
    pub(in crate::protocol) fn finish(&mut self, trailers: HeaderMap) -> Result<(), Fault> {
        self.0.change(|state| {
            state.check()?;
            state.trailers = trailers;
            state.ended = true;
            Ok(())
        })
    }

    /// Gives the exchange up: what is not sent yet is dropped.
    pub(in crate::protocol) fn reset(&mut self) {
        self.0.change(|state| {
            if !state.ended {
                state.abandoned = true;
            }
        });
    }

    /// Ready when the caller is gone.
    pub(in crate::protocol) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.0.poll_reset(task)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.reset();
    }
}
