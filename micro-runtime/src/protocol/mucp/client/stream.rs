//! A stream: a connection of its own, worked by the two halves that the caller holds.
//!
//! Whichever half is polled reads or writes. Only where the peer does not take what was sent does a
//! task write the rest, so that a sent message is on its way whatever its sender does next.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::incoming::{self, Answer, Expected};
use super::outgoing::{Frames, Outgoing};
use super::wire::{Cause, Failure, Wire};
use super::{Asked, Dialect, MucpChannel};
use crate::call::{Body, RawReceive, RawSend, RawStream, Reply};
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::{EOS, JSON, JSON_RPC};
use crate::tasks::Tasks;

/// A sender that has so much on its way waits before it sends more.
const HIGH_WATER: usize = 64 * 1024;
/// Messages that a sender reads ahead when it looks for the peer's error.
const AHEAD: usize = 16;

/// Opens a stream on `wire`: with the request, where the request is one message.
pub(super) async fn open(
    channel: &MucpChannel,
    mut wire: Wire,
    request: Asked<'_>,
    dialect: Dialect<'_>,
    number: u64,
) -> Result<Reply> {
    let kind = request.method.kind;
    let outgoing = Outgoing {
        host: crate::transport::host(&channel.node.address),
        request,
        content_type: dialect.content_type,
        number,
        stream: channel.environment.tasks.number(),
        timeout: request.options.stream_timeout,
        asks_for_ends: true,
    };
    let open = outgoing.frames();
    let frames = Outgoing {
        asks_for_ends: false,
        ..outgoing
    }
    .frames();
    let (envelope, method) = (dialect.envelope, request.method.endpoint.to_string());
    let call_id = number.to_string();
    // Go's client opens with an empty message, which the server does not look at.
    let nothing = match dialect.content_type {
        JSON | JSON_RPC => Bytes::from_static(b"{}\n"),
        _ => Bytes::new(),
    };
    let body = envelope.seal_request(&method, &call_id, nothing);
    open.put(wire.out(), &body, None);
    if kind == Kind::ServerStream {
        let body = envelope.seal_request(&method, &call_id, dialect.message.into_owned());
        frames.put(wire.out(), &body, None);
    }
    wire.flush().await?;
    let peer = wire.peer().clone();
    let link = Arc::new(Link {
        kind,
        envelope,
        content_type: dialect.content_type.to_owned(),
        method,
        call_id,
        frames,
        linger: channel.settings.linger,
        silence: channel.settings.silence,
        tasks: channel.environment.tasks.clone(),
        state: Mutex::new(State {
            wire,
            queue: VecDeque::new(),
            end: None,
            receiver: None,
            sender: None,
            flusher: None,
            finished: None,
            end_is_due: false,
            sender_gone: false,
            receiver_gone: false,
            ends: false,
            replied: None,
            failed: None,
        }),
    });
    let mut reply = Reply::new(Body::Stream(RawStream {
        send: Box::new(Send(link.clone())),
        receive: Box::new(Receive { link, timer: None }),
    }));
    reply.peer = Some(peer);
    Ok(reply)
}

/// A stream as its halves share it.
struct Link {
    kind: Kind,
    envelope: Envelope,
    content_type: String,
    method: String,
    call_id: String,
    frames: Frames,
    linger: Duration,
    silence: Duration,
    tasks: Tasks,
    state: Mutex<State>,
}

struct State {
    wire: Wire,
    /// Messages that came and were not taken.
    queue: VecDeque<Bytes>,
    /// How the peer ended the stream, or the connection it: `None` within for well.
    end: Option<Option<Error>>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
    /// The task that writes what the peer does not take at once; nobody else writes meanwhile.
    flusher: Option<AbortHandle>,
    /// Since when our end is on its way.
    finished: Option<Instant>,
    /// The sender is gone without a finish: the input is ended when the receiver looks on.
    end_is_due: bool,
    sender_gone: bool,
    receiver_gone: bool,
    /// The server has said that it ends its streams.
    ends: bool,
    /// When the last message came.
    replied: Option<Instant>,
    /// Why nothing can be written any more.
    failed: Option<Error>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued, as far as the peer takes it; a task does the rest.
    fn flush(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.flusher.is_some() || state.failed.is_some() {
            return;
        }
        let task = &mut Context::from_waker(Waker::noop());
        if state.poll_write(task).is_pending() {
            // Spawned under the lock, so that nobody writes before the task is known; it is only
            // put on a queue here.
            let link = self.clone();
            let rest = poll_fn(move |task| link.poll_flush(task));
            state.flusher = Some(self.tasks.spawn(rest));
        }
    }

    /// Writes the rest; for the flushing task.
    fn poll_flush(&self, task: &mut Context<'_>) -> Poll<()> {
        let (wrote, waker) = {
            let mut state = self.lock();
            let wrote = state.poll_write(task);
            if wrote.is_ready() {
                state.flusher = None;
            }
            let room = wrote.is_ready() || state.wire.out.len() < HIGH_WATER;
            (wrote, if room { state.sender.take() } else { None })
        };
        wake(waker);
        wrote
    }

    /// Reads what is there. Whoever has to hear of the next bytes is in `task`.
    fn fill(&self, state: &mut State, most: usize, task: &mut Context<'_>) {
        let expected = Expected {
            content_type: &self.content_type,
            envelope: self.envelope,
        };
        while state.end.is_none() && state.queue.len() < most {
            let wire = &mut state.wire;
            let message = match wire.decoder.decode(&mut wire.inbox) {
                Ok(Some(message)) => message,
                Ok(None) => match wire.poll_read(task) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(true)) => continue,
                    Poll::Ready(Ok(false)) => {
                        state.end_with(Cause::Io(io::ErrorKind::UnexpectedEof.into()));
                        return;
                    }
                    Poll::Ready(Err(cause)) => {
                        state.end_with(Cause::Io(cause));
                        return;
                    }
                },
                Err(malformed) => {
                    state.end_with(Cause::Malformed(malformed));
                    return;
                }
            };
            let answer = incoming::read(&message.head, message.body, &expected);
            state.wire.recycle(message.head);
            match answer {
                Ok(Answer::Ends) => state.ends = true,
                Ok(Answer::Message(message)) => {
                    state.replied = Some(Instant::now());
                    if !state.receiver_gone {
                        state.queue.push_back(message);
                    }
                }
                Ok(Answer::End) => state.end = Some(None),
                Err(error) => state.end = Some(Some(error)),
            }
        }
    }

    /// Says that no message follows.
    fn put_end(&self, state: &mut State) {
        if state.finished.is_none() {
            state.finished = Some(Instant::now());
            self.frames.put(state.wire.out(), &Bytes::new(), Some(EOS));
        }
    }

    /// Both halves are gone: tells the peer, as far as that goes at once.
    fn close(&self, state: &mut State) {
        let idle = state.wire.out.is_empty() && state.failed.is_none();
        if let Some(flusher) = state.flusher.take() {
            flusher.abort();
        }
        if !idle || state.finished.is_some() {
            return;
        }
        if state.end.is_some() || self.kind == Kind::ServerStream {
            self.put_end(state);
        } else {
            // Not the end: what was sent must not look as if it were all.
            let error = Error::timeout(id::CLIENT, "the caller has given the stream up");
            self.frames
                .put(state.wire.out(), &Bytes::new(), Some(&error.to_wire()));
        }
        let _ = state.poll_write(&mut Context::from_waker(Waker::noop()));
    }

    /// Until when an open stream without messages is waited for, and what that means: the end of
    /// a Go server's stream, which sends nothing once it has read ours.
    fn patience(&self, state: &State) -> Option<(Instant, Option<Error>)> {
        let finished = state.finished.filter(|_| !state.ends)?;
        match (self.kind, state.replied) {
            (Kind::Bidi, Some(replied)) => Some((finished.max(replied) + self.linger, None)),
            (Kind::Bidi, None) => {
                let words = "the server neither answered nor ended the stream";
                let error = Error::timeout(id::CLIENT, words);
                Some((finished + self.silence, Some(error)))
            }
            // It has one reply, and that is there.
            (Kind::ClientStream, Some(_)) => Some((finished, None)),
            _ => None,
        }
    }
}

impl State {
    fn poll_write(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let wire = &mut self.wire;
        let mut written = 0;
        match wire.out.poll_write(&mut *wire.io, &mut written, task) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(cause)) => {
                wire.out.clear();
                self.failed = Some(transport(Cause::Io(cause)));
                Poll::Ready(())
            }
        }
    }

    fn end_with(&mut self, cause: Cause) {
        self.end = Some(Some(transport(cause)));
    }

    /// Why no more can be sent, if so: the peer's words before those of the connection.
    fn refusal(&self) -> Option<Error> {
        match (&self.end, &self.failed) {
            (Some(Some(error)), _) => Some(error.clone()),
            (Some(None), _) => Some(Error::internal(
                id::CLIENT_TRANSPORT,
                "the server has ended the stream",
            )),
            (None, failed) => failed.clone(),
        }
    }
}

fn transport(cause: Cause) -> Error {
    // A stream's opening has left, so nothing of it is known to be unprocessed.
    Error::from(Failure { written: 1, cause })
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Towards the server.
struct Send(Arc<Link>);

impl RawSend for Send {
    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<()>> {
        let (ready, receiver) = {
            let mut state = self.0.lock();
            // What the server says meanwhile may be its error. The receiver, if it waits, is the
            // one to hear of what comes later: a connection wakes only one reader.
            let waiting = state.receiver.clone();
            let mut reader = match &waiting {
                Some(waker) => Context::from_waker(waker),
                None => Context::from_waker(task.waker()),
            };
            self.0.fill(&mut state, AHEAD, &mut reader);
            let news = state.end.is_some() || !state.queue.is_empty();
            let receiver = if news { state.receiver.take() } else { None };
            let ready = if let Some(error) = state.refusal() {
                Poll::Ready(Err(error))
            } else if state.wire.out.len() < HIGH_WATER {
                Poll::Ready(Ok(()))
            } else {
                state.sender = Some(task.waker().clone());
                Poll::Pending
            };
            (ready, receiver)
        };
        wake(receiver);
        ready
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let link = &self.0;
        let body = link
            .envelope
            .seal_request(&link.method, &link.call_id, message);
        let mut state = link.lock();
        if let Some(error) = state.refusal() {
            return Err(error);
        }
        link.frames.put(state.wire.out(), &body, None);
        link.flush(state);
        Ok(())
    }

    fn poll_finish(&mut self, task: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.0.lock();
        if state.end.is_some() {
            // The server was faster; nothing is left to be said.
            return Poll::Ready(Ok(()));
        }
        self.0.put_end(&mut state);
        if state.flusher.is_none() {
            self.0.flush(state);
            state = self.0.lock();
        }
        if let Some(error) = &state.failed {
            return Poll::Ready(Err(error.clone()));
        }
        if state.flusher.is_none() {
            // The receiver's patience begins.
            let receiver = state.receiver.take();
            drop(state);
            wake(receiver);
            return Poll::Ready(Ok(()));
        }
        state.sender = Some(task.waker().clone());
        Poll::Pending
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        let receiver = {
            let mut state = self.0.lock();
            state.sender_gone = true;
            state.sender = None;
            if state.receiver_gone {
                self.0.close(&mut state);
                None
            } else if self.0.kind == Kind::ServerStream {
                None
            } else {
                // Only when the receiver looks on: dropped right after, the stream is given up.
                state.end_is_due = state.finished.is_none();
                state.receiver.take()
            }
        };
        wake(receiver);
    }
}

/// From the server.
struct Receive {
    link: Arc<Link>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RawReceive for Receive {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let mut state = self.link.lock();
            if std::mem::take(&mut state.end_is_due) && state.end.is_none() {
                self.link.put_end(&mut state);
                self.link.flush(state);
                state = self.link.lock();
            }
            if let Some(message) = state.queue.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            if state.end.is_none() {
                self.link.fill(&mut state, 1, task);
                if !state.queue.is_empty() {
                    continue;
                }
            }
            if let Some(end) = &mut state.end {
                // An error comes once, and then the end; a sender is told of either.
                let end = end.take();
                let sender = state.sender.take();
                drop(state);
                wake(sender);
                return Poll::Ready(end.map(Err));
            }
            state.receiver = Some(task.waker().clone());
            let patience = self.link.patience(&state);
            drop(state);
            match self.poll_patience(patience, task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(end) => {
                    let mut state = self.link.lock();
                    state.end.get_or_insert(end);
                }
            }
        }
    }
}

impl Receive {
    /// Waits until patience ends; gives how the stream ends then.
    fn poll_patience(
        &mut self,
        patience: Option<(Instant, Option<Error>)>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Error>> {
        let Some((due, end)) = patience else {
            return Poll::Pending;
        };
        if due <= Instant::now() {
            return Poll::Ready(end);
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(task).map(|()| end)
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        state.receiver_gone = true;
        state.receiver = None;
        state.queue.clear();
        if state.sender_gone {
            self.link.close(&mut state);
        }
    }
}
