//! A request's body that is sent by and by: a task writes it, so that it moves while nobody waits.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use super::answered::Sending;
use super::request::{push_chunk, push_end};
use crate::http1::Outbox;
use crate::protocol::http2::{Chunk, Fault};
use crate::tasks::Tasks;
use crate::transport::WriteSide;

/// So many bytes wait at most to be taken by the task that writes them, and one message.
const WAITING: usize = 64 * 1024;

/// What the task, who sends and who reads the answer share.
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    outbox: Outbox,
    /// The end is among what is to be written.
    ended: bool,
    /// Nothing is written any more.
    over: bool,
    /// What was written to, once all is.
    done: Option<WriteSide>,
    writer: Option<Waker>,
    sender: Option<Waker>,
}

impl Shared {
    /// Changes the state, and wakes those who wait for it after that.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, writer, sender) = {
            let mut state = self.lock();
            let changed = change(&mut state);
            (changed, state.writer.take(), state.sender.take())
        };
        for waker in [writer, sender].into_iter().flatten() {
            waker.wake();
        }
        changed
    }

    /// Gives up: the task ends, and with it the connection's direction.
    pub(super) fn stop(&self) {
        self.change(|state| state.over = true);
    }

    /// What was written to, where all is written.
    pub(super) fn take_done(&self) -> Option<WriteSide> {
        self.lock().done.take()
    }

    /// What is to be written, and whether that is all; `None` where nothing is any more.
    fn poll_take(&self, task: &mut Task<'_>) -> Poll<Option<(Outbox, bool)>> {
        let (taken, sender) = {
            let mut state = self.lock();
            if state.over {
                return Poll::Ready(None);
            }
            if state.outbox.is_empty() && !state.ended {
                state.writer = Some(task.waker().clone());
                return Poll::Pending;
            }
            let taken = (std::mem::take(&mut state.outbox), state.ended);
            (taken, state.sender.take())
        };
        if let Some(sender) = sender {
            sender.wake();
        }
        Poll::Ready(Some(taken))
    }

    fn poll_over(&self, task: &mut Task<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.over {
            return Poll::Ready(());
        }
        state.writer = Some(task.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes `outbox` and what is sent after it.
pub(super) fn begin(write: WriteSide, outbox: Outbox, tasks: &Tasks) -> (Upload, Sending) {
    let shared = Arc::new(Shared(Mutex::new(State {
        outbox,
        ..State::default()
    })));
    let writer = Writer(shared.clone());
    tasks.spawn(async move { writer.run(write).await });
    (Upload(shared.clone()), Sending::Task(shared))
}

/// The task that writes.
struct Writer(Arc<Shared>);

impl Writer {
    async fn run(&self, mut write: WriteSide) {
        loop {
            let taken = poll_fn(|task| self.0.poll_take(task)).await;
            let Some((mut outbox, all)) = taken else {
                return;
            };
            let mut written = 0;
            let wrote = poll_fn(|task| {
                if self.0.poll_over(task).is_ready() {
                    return Poll::Ready(false);
                }
                let wrote = outbox.poll_write(&mut *write, &mut written, task);
                wrote.map(|wrote| wrote.is_ok())
            });
            if !wrote.await {
                return;
            }
            if all {
                self.0.change(|state| state.done = Some(write));
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.change(|state| state.over = true);
    }
}

/// The way to send the body.
pub(in crate::protocol) struct Upload(Arc<Shared>);

impl Upload {
    /// Waits until more bytes are taken.
    ///
    /// # Errors
    /// When the exchange is over.
    pub(in crate::protocol) fn poll_room(
        &mut self,
        held: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Fault>> {
        let mut state = self.0.lock();
        if state.over || state.ended {
            return Poll::Ready(Err(Fault::Over));
        }
        if state.outbox.is_empty() || state.outbox.len().saturating_add(held) < WAITING {
            return Poll::Ready(Ok(()));
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }

    /// Sends `chunk`, and with `end` nothing after it.
    pub(in crate::protocol) fn send(&mut self, chunk: Chunk, end: bool) -> Result<(), Fault> {
        self.0.change(|state| {
            if state.over || state.ended {
                return Err(Fault::Over);
            }
            push_chunk(&mut state.outbox, chunk);
            if end {
                push_end(&mut state.outbox);
                state.ended = true;
            }
            Ok(())
        })
    }

    /// Gives the exchange up: what is not sent yet is dropped.
    pub(in crate::protocol) fn reset(&mut self) {
        self.0.stop();
    }

    /// Ready when the peer takes nothing any more, or all was sent.
    pub(in crate::protocol) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.over {
            return Poll::Ready(());
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.0.lock().ended {
            self.0.stop();
        }
    }
}
