//! The way out of a connection: whoever has a frame appends it, and one of them writes for all.
//!
//! A frame goes into one queue under a short lock. Who finds itself alone writes at once, from where
//! it is; else the flusher does, which first lets every other task
//! that is ready add its frame. Writing happens with no lock held: the writer is taken out for it.

mod room;
mod silence;

pub(super) use room::RoomWait;
pub(super) use silence::Patience;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::batch::Batch;
use super::pieces::Parts;
use super::writer::Writer;
use crate::error::why::Cause;
use crate::error::{Error, id};
use crate::transport::WriteSide;

/// From this many queued bytes on, who has more waits until they are on their way.
pub(super) const HIGH_WATER: usize = 256 * 1024;
/// From this many queued bytes on a stream's sender writes them itself: waiting for the flusher would
/// only make the queue longer.
const ENOUGH: usize = 32 * 1024;
/// What a queue's buffer begins with.
pub(super) const FIRST: usize = 16 * 1024;

/// When appended frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// At once, from here, where nobody else writes.
    Now,
    /// By the flusher, together with what others append until then.
    Soon,
    /// As `Soon`, or from here once enough has gathered.
    Enough,
    /// When the caller says [`flush`](Outbox::flush).
    Held,
}

/// Whether a full queue refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Needed,
    /// For what is small and bounded otherwise: cancels, credits, ends.
    Ignored,
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue is over the high-water mark: wait for [`room`](Outbox::room).
    Full,
    /// The connection is over or ends.
    Closed,
}

/// State that is locked together with the queue, and frames that wait in it for the next write.
pub(super) trait Beside: Send + 'static {
    /// Whether frames wait.
    fn waits(&self) -> bool;

    /// Appends them.
    fn append(&mut self, queue: &mut Batch);

    /// Messages that go in pieces.
    fn parts(&mut self) -> &mut Parts;
}

/// The queue of a connection's frames, and its writer.
pub(super) struct Outbox<S> {
    out: Mutex<Out<S>>,
    /// Whether the queue is over the high-water mark, to be read without its lock.
    full: AtomicBool,
    /// Wakes the flusher.
    more: Notify,
    /// Told each time that a full queue was emptied.
    room: Arc<Notify>,
    /// Told once, at the end.
    gone: Notify,
    /// Whether bytes of the peer have come since the last look.
    heard: AtomicBool,
    patience: Patience,
}

struct Out<S> {
    queue: Batch,
    /// Away while somebody writes.
    writer: Option<Writer>,
    /// How many bytes were appended, handed to the writer, and written, in all.
    appended: u64,
    handed: u64,
    written: u64,
    /// Whether the flusher was woken and has not looked yet.
    scheduled: bool,
    ends: Ends,
    /// What ended it; the first says most.
    failure: Option<Error>,
    beside: S,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    No,
    /// After what is queued.
    Soon,
    /// Now; with how many bytes may have reached the peer.
    Yes(u64),
}

impl<S: Beside> Outbox<S> {
    /// An empty queue before `io`.
    pub(super) fn new(io: WriteSide, patience: Patience, beside: S) -> Self {
        Self {
            out: Mutex::new(Out {
                queue: Batch::with_capacity(FIRST),
                writer: Some(Writer::new(io)),
                appended: 0,
                handed: 0,
                written: 0,
                scheduled: false,
                ends: Ends::No,
                failure: None,
                beside,
            }),
            full: AtomicBool::new(false),
            more: Notify::new(),
            room: Arc::default(),
            gone: Notify::new(),
            heard: AtomicBool::new(false),
            patience,
        }
    }

    /// Appends what `write` does to the queue, and gives what it returns.
    ///
    /// `write` also gets the state beside the queue and the place of its first byte in all that this
    /// connection sends.
    pub(super) fn append<T>(
        &self,
        room: Room,
        write: impl FnOnce(&mut Batch, &mut S, u64) -> (T, Flush),
    ) -> Result<T, Refused> {
        let mut guard = self.lock();
        let out = &mut *guard;
        if out.ends != Ends::No {
            return Err(Refused::Closed);
        }
        if room == Room::Needed && out.queue.len() >= HIGH_WATER {
            return Err(Refused::Full);
        }
        let before = out.queue.len();
        let (value, flush) = write(&mut out.queue, &mut out.beside, out.appended);
        out.appended += (out.queue.len() - before) as u64;
        let here = match flush {
            Flush::Now => !out.scheduled,
            Flush::Enough => out.queue.len() >= ENOUGH,
            Flush::Soon | Flush::Held => false,
        };
        if here && let Some((writer, full)) = self.take(out, Turn::Inline) {
            drop(guard);
            self.write_inline(writer, full);
            return Ok(value);
        }
        if out.queue.len() >= HIGH_WATER {
            self.full.store(true, Ordering::Release);
        }
        let wake = flush != Flush::Held && !std::mem::replace(&mut out.scheduled, true);
        drop(guard);
        if wake {
            self.more.notify_one();
        }
        Ok(value)
    }

    /// Writes what is held, as far as the peer takes it at once; the rest goes to the flusher.
    pub(super) fn flush(&self) {
        let mut out = self.lock();
        // Where another writes, or has begun to, it goes on with what is queued now.
        if let Some((writer, full)) = self.take(&mut out, Turn::Inline) {
            drop(out);
            self.write_inline(writer, full);
        }
    }

    fn take(&self, out: &mut Out<S>, turn: Turn) -> Option<(Writer, bool)> {
        let taken = out.take(turn);
        if out.queue.len() < HIGH_WATER {
            self.full.store(false, Ordering::Release);
        }
        taken
    }

    /// Looks at the state beside the queue.
    pub(super) fn beside<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.lock().beside)
    }

    /// Takes no more frames, and ends the connection once those queued are written.
    pub(super) fn finish(&self) {
        let mut out = self.lock();
        if out.ends != Ends::No {
            return;
        }
        out.ends = Ends::Soon;
        out.scheduled = true;
        drop(out);
        self.more.notify_one();
        self.room.notify_waiters();
    }

    /// Drops what is queued, and ends the connection once what `write` appends is written.
    pub(super) fn last_words(&self, error: Error, write: impl FnOnce(&mut Batch)) -> Closed {
        let mut out = self.lock();
        let error = out.failure.get_or_insert(error).clone();
        // What the writer has begun goes out before the last words, and no rest of a message.
        *out.beside.parts() = Parts::none();
        let reached = match out.ends {
            Ends::Yes(reached) => reached,
            Ends::No | Ends::Soon => out.handed,
        };
        if let Ends::Yes(_) = out.ends {
            return Closed { error, reached };
        }
        let dropped = std::mem::take(&mut out.queue);
        write(&mut out.queue);
        out.ends = Ends::Soon;
        out.scheduled = true;
        drop(out);
        drop(dropped);
        self.more.notify_one();
        self.room.notify_waiters();
        Closed { error, reached }
    }

    /// Ends the connection now. An earlier error wins over `error`.
    pub(super) fn close(&self, error: Error) -> Closed {
        let mut out = self.lock();
        let error = out.failure.get_or_insert(error).clone();
        if let Ends::Yes(reached) = out.ends {
            return Closed { error, reached };
        }
        let reached = match &out.writer {
            Some(_) => out.written,
            // Somebody is writing: how far is not known yet.
            None => out.handed,
        };
        out.ends = Ends::Yes(reached);
        let parts = std::mem::replace(out.beside.parts(), Parts::none());
        let dropped = (out.writer.take(), std::mem::take(&mut out.queue), parts);
        drop(out);
        drop(dropped);
        self.more.notify_one();
        self.room.notify_waiters();
        self.gone.notify_one();
        Closed { error, reached }
    }

    /// Waits for the end. Cancel safe, for one waiter.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// What ended the connection.
    pub(super) fn failure(&self) -> Error {
        self.lock().failure.clone().unwrap_or_else(closed)
    }

    /// The flusher: writes what others append, until the end, and ends the connection then. What it
    /// was ended by is its [`failure`](Outbox::failure).
    pub(super) async fn run(&self) {
        let result = self.write_all().await.map_err(failed);
        self.close(result.err().unwrap_or_else(closed));
    }

    async fn write_all(&self) -> io::Result<()> {
        let mut asks = pin!(self.ask_the_silent());
        loop {
            tokio::select! {
                biased;
                () = self.more.notified() => {}
                gone = &mut asks => return Err(gone),
            }
            // Every task that is ready now adds its frame to the same write.
            tokio::task::yield_now().await;
            loop {
                let (mut writer, full) = match self.next_turn() {
                    Next::Write(writer, full) => (writer, full),
                    Next::Nothing => break,
                    Next::Finish(mut writer) => {
                        let ended = poll_fn(|task| writer.poll_shutdown(task));
                        return timeout(self.patience.stall, ended).await?;
                    }
                    Next::Ended => return Ok(()),
                };
                if full {
                    self.room.notify_waiters();
                }
                while !writer.is_done() {
                    let before = writer.batch.len();
                    let some = poll_fn(|task| writer.poll_some(task));
                    timeout(self.patience.stall, some).await??;
                    self.note(before - writer.batch.len());
                }
                self.give_back(writer, 0);
            }
        }
    }

    fn next_turn(&self) -> Next {
        let mut out = self.lock();
        if let Ends::Yes(_) = out.ends {
            return Next::Ended;
        }
        match self.take(&mut out, Turn::Flusher) {
            Some((writer, full)) => Next::Write(writer, full),
            None => {
                out.scheduled = false;
                match (out.ends, out.writer.is_some()) {
                    (Ends::Soon, true) => match out.writer.take() {
                        Some(writer) => Next::Finish(writer),
                        None => Next::Nothing,
                    },
                    // Who has the writer wakes the flusher when there is more.
                    _ => Next::Nothing,
                }
            }
        }
    }

    fn write_inline(&self, mut writer: Writer, full: bool) {
        if full {
            self.room.notify_waiters();
        }
        let before = writer.batch.len();
        let mut task = Task::from_waker(Waker::noop());
        let mut error = None;
        while !writer.is_done() && error.is_none() {
            match writer.poll_some(&mut task) {
                Poll::Ready(result) => error = result.err(),
                // The flusher polls again, with a waker that wakes.
                Poll::Pending => break,
            }
        }
        let written = before - writer.batch.len();
        match error {
            None => self.give_back(writer, written),
            Some(error) => {
                self.note(written);
                self.close(failed(error));
            }
        }
    }

    fn note(&self, written: usize) {
        self.lock().written += written as u64;
    }

    fn give_back(&self, mut writer: Writer, written: usize) {
        let mut out = self.lock();
        out.written += written as u64;
        if let Ends::Yes(_) = out.ends {
            drop(out);
            return;
        }
        let unfinished = !writer.is_done();
        if !unfinished {
            writer.batch.reset();
        }
        out.writer = Some(writer);
        let more = unfinished
            || !out.queue.is_empty()
            || out.beside.waits()
            || !out.beside.parts().is_empty()
            || out.ends == Ends::Soon;
        let wake = more && !std::mem::replace(&mut out.scheduled, true);
        drop(out);
        if wake {
            self.more.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Out<S>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) error: Error,
    /// How many of the bytes appended may have reached the peer.
    pub(super) reached: u64,
}

fn failed(error: io::Error) -> Error {
    let cause = Cause::of_io(&error);
    Error::internal(id::CLIENT_TRANSPORT, error.to_string())
        .with_source(error)
        .caused_by(cause)
}

fn closed() -> Error {
    Error::internal(id::CLIENT_TRANSPORT, "the connection is closed")
}

enum Next {
    Write(Writer, bool),
    Finish(Writer),
    Nothing,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Leaves what another has begun to the flusher.
    Inline,
    Flusher,
}

impl<S: Beside> Out<S> {
    /// The writer with all that is queued, and whether that was over the high-water mark.
    fn take(&mut self, turn: Turn) -> Option<(Writer, bool)> {
        let begun = !self.writer.as_ref()?.is_done();
        if begun {
            return match turn {
                Turn::Inline => None,
                Turn::Flusher => self.writer.take().map(|writer| (writer, false)),
            };
        }
        let before = self.queue.len();
        self.beside.append(&mut self.queue);
        if !self.beside.parts().is_empty() {
            self.beside.parts().append(&mut self.queue);
        }
        self.appended += (self.queue.len() - before) as u64;
        if self.queue.is_empty() {
            return None;
        }
        let mut writer = self.writer.take()?;
        // Who waits for room, or for a long message to be gone, looks again.
        let full = self.queue.len() >= HIGH_WATER || self.beside.parts().take_moved();
        std::mem::swap(&mut self.queue, &mut writer.batch);
        self.handed = self.appended;
        Some((writer, full))
    }
}
