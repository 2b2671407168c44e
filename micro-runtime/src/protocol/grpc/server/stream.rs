//! A server's end of a stream: the two halves that a handler works on, and how it ends.
//!
//! Small messages that a handler sends in one go leave together, when it pauses or enough is there.
//! The locks here are held while HTTP/2 is told something, which may wake the connection's task but
//! runs nothing of a handler's.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::super::message::{append, frame};
use super::super::status::Reader;
use super::super::text;
use super::call::{Begun, Call};
use super::input::{Input, One};
use super::reply::Caller;
use super::{gone, with_trailers};
use crate::call::{Body, RawReceive, RawSend, RawStream, Reply, Request};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::method::Kind;
use crate::protocol::exchange::{Answer, Outbound};
use crate::protocol::http2::Chunk;
use crate::router::Serving;

/// Messages that are gathered leave when they are so many bytes.
const GATHERED: usize = 32 * 1024;
/// Larger messages are sent without being copied.
const COPIED: usize = 4 * 1024;

/// A stream that a handler works on.
pub(super) struct Opened {
    caller: Caller,
    cx: Context,
    /// Whether the head goes ahead while the handler waits for input.
    early: bool,
    out: Mutex<Out>,
    input: Mutex<Input>,
    /// Whether messages are gathered just now.
    gathers: AtomicBool,
}

struct Out {
    state: State,
    /// Messages that are not given to HTTP/2 yet.
    gathered: BytesMut,
    /// How many bytes went the last time.
    last: usize,
    /// Whether they leave as text.
    text: bool,
    /// Whether the handler is being polled, after which what is gathered leaves.
    polled: bool,
    /// The task that runs the handler. HTTP/2 knows one that waits for the stream: this one, which
    /// wakes the one that waits for room, wherever the handler has taken the sending half.
    runner: Option<Waker>,
    waiting: Option<Waker>,
}

enum State {
    /// The head is not sent.
    Unopened(Answer),
    Open(Outbound),
    /// Nothing can be sent any more.
    Over(Error),
}

impl Opened {
    /// Starts the handler of a stream, in a task of its own: its first input is not there yet.
    pub(super) fn serve(call: Call) -> Begun {
        let Call {
            shared,
            route,
            codec,
            cx,
            caller,
            input,
            messages,
            answer,
            ..
        } = call;
        let text = caller.web.as_ref().is_some_and(|web| web.is_text());
        let one = match route.method().kind {
            Kind::ServerStream => One::Ends(caller.patience()),
            _ => One::OfMany,
        };
        // Our own callers wait a moment for a stream to be accepted. Others do not, and are told of it
        // with the first thing that the handler says, so that its metadata still goes ahead. Nor may
        // the one request of a server stream be overtaken: some callers then send no more of it.
        let early = caller.reader == Reader::Ours && matches!(one, One::OfMany);
        let stream = Arc::new(Self {
            caller,
            cx: cx.clone(),
            early,
            out: Mutex::new(Out {
                state: State::Unopened(answer),
                gathered: BytesMut::new(),
                last: 0,
                text,
                polled: false,
                runner: None,
                waiting: None,
            }),
            input: Mutex::new(Input::new(input, messages, one)),
            gathers: AtomicBool::new(false),
        });
        let halves = RawStream {
            send: Box::new(Replies(stream.clone())),
            receive: Box::new(Requests(stream.clone())),
        };
        let request = Request::new(
            cx,
            shared.service.clone(),
            route.method(),
            codec,
            Body::Stream(halves),
        );
        match route.start(request) {
            Ok(serving) => Begun::Stream(Box::pin(stream.run(serving))),
            Err(error) => {
                let mut out = stream.out();
                if let State::Unopened(answer) = &mut out.state {
                    stream.caller.fail(answer, &error);
                }
                out.state = State::Over(over());
                Begun::Answered
            }
        }
    }

    /// Runs the handler to its end and tells how it ended.
    async fn run(self: Arc<Self>, serving: Serving) {
        // However this ends, a half that the handler gave away sends no more.
        let _guard = Ends(&self);
        let mut handler = pin!(serving.finish());
        let ended = poll_fn(|task| {
            loop {
                let waiting = {
                    let mut out = self.out();
                    out.polled = true;
                    match &mut out.runner {
                        Some(runner) => runner.clone_from(task.waker()),
                        None => out.runner = Some(task.waker().clone()),
                    }
                    // Until the handler pauses nobody is told of changes: what it sends would wake
                    // its own task each time.
                    let mut nobody = Task::from_waker(Waker::noop());
                    if out.poll_reset(&mut nobody).is_ready() {
                        return Poll::Ready(None);
                    }
                    out.waiting.take()
                };
                // Woken, this task would only do again what it is about to do.
                if let Some(waiting) = waiting
                    && !waiting.will_wake(task.waker())
                {
                    waiting.wake();
                }
                self.input().take_awaited();
                if let Poll::Ready(result) = handler.as_mut().poll(task) {
                    self.out().polled = false;
                    return Poll::Ready(Some(result));
                }
                let awaits_input = self.input().take_awaited();
                let mut out = self.out();
                out.polled = false;
                // A handler that waits has accepted the call: what it set so far goes ahead.
                if self.early || !awaits_input || self.cx.has_reply_parts() {
                    self.open(&mut out);
                }
                out.flush();
                self.gathers.store(false, Ordering::Relaxed);
                // Changes that came meanwhile show here.
                let waiting = out.poll_waiting();
                if out.poll_reset(task).is_ready() {
                    return Poll::Ready(None);
                }
                drop(out);
                match waiting {
                    Some(waiting) if waiting.will_wake(task.waker()) => continue,
                    Some(waiting) => waiting.wake(),
                    None => {}
                }
                self.input().poll_discard(task);
                return Poll::Pending;
            }
        })
        .await;
        match ended {
            Some(result) => self.finish(result),
            // Its caller is gone. First told, so that a half given away sees why.
            None => self.lose(&mut self.out()),
        }
    }

    /// Notes that the caller is gone.
    fn lose(&self, out: &mut Out) {
        // First, so that a handler that is just running sees why its stream fails.
        self.cx.cancel();
        out.state = State::Over(gone());
    }

    /// Sends the head, once.
    fn open(&self, out: &mut Out) {
        if !matches!(out.state, State::Unopened(_)) {
            return;
        }
        let parts = self.cx.take_reply_parts();
        for (key, value) in parts.trailers.iter_text() {
            self.cx.reply_trailers().set(key.clone(), value.clone());
        }
        self.respond(out, &parts.metadata);
    }

    /// Sends the head where it is not sent.
    fn respond(&self, out: &mut Out, metadata: &Metadata) {
        if let State::Unopened(answer) = &mut out.state {
            let head = self.caller.head(metadata);
            out.state = match answer.respond(StatusCode::OK, head, false) {
                Ok(stream) => State::Open(stream),
                Err(_) => State::Over(gone()),
            };
        }
    }

    fn finish(&self, result: Result<Reply>) {
        let mut out = self.out();
        let mut reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                let (parts, error) = with_trailers(error, &self.cx);
                if !parts.is_empty() {
                    self.respond(&mut out, &parts);
                }
                if let State::Unopened(answer) = &mut out.state {
                    self.caller.fail(answer, &error);
                } else {
                    out.flush();
                    out.finish(&self.caller, Err(&error));
                }
                out.state = State::Over(over());
                return;
            }
        };
        if let State::Unopened(_) = &out.state {
            self.respond(&mut out, &reply.metadata);
        } else {
            // Set after the head had gone: better late than lost.
            for (key, value) in reply.metadata.iter_text() {
                reply.trailers.set_default(key.clone(), value.clone());
            }
        }
        out.flush();
        out.finish(&self.caller, Ok(&reply.trailers));
        out.state = State::Over(over());
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Out {
    /// Gives HTTP/2 what is gathered.
    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        self.last = self.gathered.len();
        let gathered = self.gathered.split().freeze();
        self.send(Chunk::from(gathered));
    }

    /// Who waits for room, where there is some now.
    fn poll_waiting(&mut self) -> Option<Waker> {
        let waiting = self.waiting.take()?;
        match self.poll_room(&mut Task::from_waker(&waiting)) {
            Poll::Ready(_) => Some(waiting),
            // It was kept again.
            Poll::Pending => None,
        }
    }

    fn check(&self) -> Result<()> {
        match &self.state {
            State::Over(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn poll_room(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        let held = self.gathered.len();
        let stream = match &mut self.state {
            State::Open(stream) => stream,
            State::Over(error) => return Poll::Ready(Err(error.clone())),
            State::Unopened(_) => return Poll::Ready(Err(over())),
        };
        let runner = match &self.runner {
            // It asks again when the handler pauses.
            _ if self.polled => Waker::noop(),
            Some(runner) => runner,
            None => task.waker(),
        };
        let polled = stream.poll_room(held, &mut Task::from_waker(runner));
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => {
                self.state = State::Over(gone());
                Poll::Ready(Err(gone()))
            }
            Poll::Pending => {
                self.waiting = Some(task.waker().clone());
                Poll::Pending
            }
        }
    }

    fn send(&mut self, mut chunk: Chunk) {
        if self.text {
            chunk = text::encode(chunk);
        }
        if let State::Open(stream) = &mut self.state
            && stream.send(chunk, false).is_err()
        {
            self.state = State::Over(gone());
        }
    }

    fn finish(&mut self, caller: &Caller, end: Result<&Metadata, &Error>) {
        if let State::Open(stream) = &mut self.state {
            caller.finish(stream, end);
        }
    }

    fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        match &mut self.state {
            State::Unopened(answer) => answer.poll_reset(task),
            State::Open(stream) => stream.poll_reset(task),
            State::Over(_) => Poll::Ready(()),
        }
    }
}

/// Ends what a handler may have given away.
struct Ends<'a>(&'a Opened);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut out = self.0.out();
        if !matches!(out.state, State::Over(_)) {
            out.state = State::Over(gone());
        }
        let waiting = out.waiting.take();
        drop(out);
        self.0.input().deafen();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// What a sender gets whose stream has ended.
fn over() -> Error {
    Error::internal(id::SERVER, "the stream has ended")
}

/// The sending half.
struct Replies(Arc<Opened>);

impl RawSend for Replies {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        // There was room when the batch began: what it becomes more than that is little, and asking
        // for every message is dear.
        if self.0.gathers.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut out = self.0.out();
        self.0.open(&mut out);
        let polled = out.poll_room(task);
        if let Poll::Ready(Err(_)) = polled {
            self.0.cx.cancel();
        }
        polled
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        if message.len() <= COPIED {
            return self.send_copy(&message);
        }
        let chunk = frame(message, self.0.caller.encoding)?;
        let mut out = self.0.out();
        out.check()?;
        out.flush();
        self.0.gathers.store(false, Ordering::Relaxed);
        out.send(chunk);
        Ok(())
    }

    fn send_copy(&mut self, message: &[u8]) -> Result<()> {
        let mut out = self.0.out();
        out.check()?;
        if out.gathered.is_empty() {
            // As much as the last time, so that it need not grow.
            let last = out.last;
            out.gathered.reserve(last);
        }
        append(message, self.0.caller.encoding, &mut out.gathered)?;
        let full = !out.polled || out.gathered.len() >= GATHERED;
        if full {
            out.flush();
        }
        self.0.gathers.store(!full, Ordering::Relaxed);
        Ok(())
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        // The stream ends with its handler.
        Poll::Ready(Ok(()))
    }
}

/// The receiving half.
struct Requests(Arc<Opened>);

impl RawReceive for Requests {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        self.0.input().poll_next(task)
    }

    fn trailers(&self) -> Metadata {
        Metadata::new()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.input().deafen();
        // What comes from now on is taken by the handler's task.
        let runner = self.0.out().runner.clone();
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}
