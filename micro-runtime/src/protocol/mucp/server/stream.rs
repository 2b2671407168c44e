//! Streams of one connection: their queues, and the two halves that a handler works with.
//!
//! A stream's handler is polled by its connection's task, but the halves may be moved to tasks of
//! the handler's own; so the queues are behind a lock, which is never held while anything is
//! polled or woken.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use super::reply::{self, Echo, Rendered, Said};
use crate::call::{RawReceive, RawSend, RawStream};
use crate::error::{Error, Result, id};
use crate::http1::Outbox;
use crate::method::Kind;
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::EOS;

/// A handler that has so much on its way waits before it sends more.
pub(super) const HIGH_WATER: usize = 64 * 1024;

/// Why a handler cannot send.
const GONE: &str = "the caller has closed the connection";

/// Wakes a connection's task while that rests; while it is polled, it looks again before it rests.
#[derive(Debug)]
pub(super) struct Hub {
    polling: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            polling: AtomicBool::new(true),
            waker: Mutex::default(),
        }
    }
}

impl Hub {
    /// The connection is polled: flags are enough.
    pub(super) fn enter(&self) {
        self.polling.store(true, Ordering::SeqCst);
    }

    /// The connection, which the task of `waker` polls, is about to rest: flags set from now on
    /// wake it. Those that were set before are for it to look at.
    pub(super) fn leave(&self, waker: &Waker) {
        {
            let mut known = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *known = Some(waker.clone());
            }
        }
        // Sequentially consistent against `wake`: either it sees that we rest, or we see its flag.
        self.polling.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.polling.load(Ordering::SeqCst) {
            return;
        }
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One stream, as its connection and its handler's halves share it.
pub(super) struct Shared {
    /// Whether its handler must be polled or its output taken.
    woken: AtomicBool,
    hub: Arc<Hub>,
    envelope: Envelope,
    echo: Rendered,
    method: String,
    id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    input: VecDeque<Bytes>,
    input_bytes: usize,
    /// What comes when the input is used up.
    input_end: Option<Option<Error>>,
    /// The handler takes no more input.
    input_dropped: bool,
    /// The connection stopped reading because of this queue.
    blocked: bool,
    receiver: Option<Waker>,
    out: Outbox,
    sender: Option<Waker>,
    /// Why nothing can be sent any more.
    over: Option<&'static str>,
    /// Nobody waits for the one reply that may be sent.
    discards: bool,
}

impl Shared {
    /// A stream whose responses echo what `echo` holds, under `method` and `id` in an envelope.
    pub(super) fn new(
        hub: Arc<Hub>,
        envelope: Envelope,
        echo: Rendered,
        method: String,
        id: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicBool::new(true),
            hub,
            envelope,
            echo,
            method,
            id,
            state: Mutex::default(),
        })
    }

    /// The halves for the handler.
    pub(super) fn halves(self: &Arc<Self>) -> RawStream {
        RawStream {
            send: Box::new(Send(self.clone())),
            receive: Box::new(Receive(self.clone())),
        }
    }

    /// Whether it was woken since the last time, once.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    /// Whether it was woken.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Opens the envelope of a message.
    pub(super) fn open(&self, body: Bytes) -> Result<Bytes> {
        Ok(self.envelope.open_request(body)?.message)
    }

    /// Queues a message for the handler.
    pub(super) fn push(&self, message: Bytes) {
        let waker = {
            let mut state = self.lock();
            if state.input_dropped || state.input_end.is_some() {
                return;
            }
            state.input_bytes += message.len();
            state.input.push_back(message);
            state.receiver.take()
        };
        wake(waker);
    }

    /// Ends the input, after what is queued: well, or with an error.
    pub(super) fn end_input(&self, error: Option<Error>) {
        let waker = {
            let mut state = self.lock();
            state.input_end.get_or_insert(error);
            state.receiver.take()
        };
        wake(waker);
    }

    /// Whether the input is at its bound. If so, the connection is woken when there is room again.
    pub(super) fn is_full(&self, messages: usize, bytes: usize) -> bool {
        let mut state = self.lock();
        state.blocked = state.input.len() >= messages.max(1) || state.input_bytes >= bytes;
        state.blocked
    }

    /// Moves what the handler has sent to `out`; whether there was anything.
    pub(super) fn drain(&self, out: &mut Outbox) -> bool {
        let waker = {
            let mut state = self.lock();
            if state.out.is_empty() {
                return false;
            }
            out.append(&mut state.out);
            state.sender.take()
        };
        wake(waker);
        true
    }

    /// The caller is gone: what the handler sends fails, but for the one reply of a client stream,
    /// which a caller need not wait for. The input goes on.
    pub(super) fn mute(&self, kind: Kind) {
        let waker = {
            let mut state = self.lock();
            state.discards = kind == Kind::ClientStream;
            if !state.discards {
                state.over.get_or_insert(GONE);
            }
            state.out.clear();
            state.sender.take()
        };
        wake(waker);
    }

    /// Refuses what the handler's halves send from now on, and ends the input if it goes on.
    pub(super) fn close(&self, why: &'static str) {
        let (sender, receiver) = {
            let mut state = self.lock();
            state.over.get_or_insert(why);
            state.input_end.get_or_insert_with(|| Some(over(why)));
            state.out.clear();
            (state.sender.take(), state.receiver.take())
        };
        wake(sender);
        wake(receiver);
    }

    /// Appends the response that ends the stream.
    pub(super) fn put_end(&self, out: &mut Outbox, error: Option<&Error>, close: bool) {
        let echo = Echo::Rendered(&self.echo);
        match error {
            Some(error) => {
                reply::put_error(out, echo, self.envelope, &self.id, error, close);
            }
            None => {
                let said = Said {
                    body: self.envelope.seal_error(&self.id, EOS),
                    error: Some(EOS),
                    close,
                    ..Said::default()
                };
                reply::put(out, echo, said);
            }
        }
    }

    /// Appends our word that the stream will be ended.
    pub(super) fn put_ends(&self, out: &mut Outbox) {
        let said = Said {
            ends: true,
            ..Said::default()
        };
        reply::put(out, Echo::Rendered(&self.echo), said);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rouse(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.hub.wake();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.rouse();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse();
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Towards the caller.
struct Send(Arc<Shared>);

impl RawSend for Send {
    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.0.lock();
        if let Some(why) = state.over {
            return Poll::Ready(Err(over(why)));
        }
        if state.discards || state.out.len() < HIGH_WATER {
            return Poll::Ready(Ok(()));
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let shared = &*self.0;
        let body = shared
            .envelope
            .seal_reply(&shared.method, &shared.id, message);
        let said = Said {
            body,
            grpc: shared.envelope == Envelope::Grpc,
            ..Said::default()
        };
        {
            let mut state = shared.lock();
            if let Some(why) = state.over {
                return Err(over(why));
            }
            if state.discards {
                return Ok(());
            }
            reply::put(&mut state.out, Echo::Rendered(&shared.echo), said);
        }
        shared.rouse();
        Ok(())
    }

    fn poll_finish(&mut self, _task: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        self.0.lock().sender = None;
    }
}

fn over(why: &'static str) -> Error {
    Error::internal(id::SERVER, why)
}

/// From the caller.
struct Receive(Arc<Shared>);

impl RawReceive for Receive {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let (message, unblocked) = {
            let mut state = self.0.lock();
            match state.input.pop_front() {
                Some(message) => {
                    state.input_bytes = state.input_bytes.saturating_sub(message.len());
                    (message, std::mem::take(&mut state.blocked))
                }
                None => {
                    return match &mut state.input_end {
                        // An error comes once, and then the end.
                        Some(end) => Poll::Ready(end.take().map(Err)),
                        None => {
                            state.receiver = Some(task.waker().clone());
                            Poll::Pending
                        }
                    };
                }
            }
        };
        if unblocked {
            self.0.rouse();
        }
        Poll::Ready(Some(Ok(message)))
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        let unblocked = {
            let mut state = self.0.lock();
            state.input_dropped = true;
            state.input.clear();
            state.input_bytes = 0;
            // A waker of the stream itself would keep it alive.
            state.receiver = None;
            std::mem::take(&mut state.blocked)
        };
        if unblocked {
            self.0.rouse();
        }
    }
}
