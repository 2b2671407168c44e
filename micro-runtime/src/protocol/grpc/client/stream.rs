//! A client's end of a stream.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use tokio::time::{Instant, timeout};

use super::super::message::{Encoding, frame};
use super::call::{Answer, body, failed};
use super::held::HeldBack;
use super::link::{Failed, Link};
use crate::call::{Body, RawReceive, RawSend, RawStream, Reply, Request};
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::method::Kind;
use crate::protocol::exchange::{Answered, Inbound, Outbound};
use crate::protocol::http2::Chunk;
use crate::protocol::kept::Marks;

/// How the head of an answer is read.
pub(super) trait Begin: Send + Sync + 'static {
    /// The answer that begins with `head`.
    ///
    /// # Errors
    /// Where it is none of the protocol's, or says at once how the call has failed.
    fn answer(&self, head: Parts, input: Inbound) -> Result<Answer>;
}

/// gRPC's own, of messages that are no longer than this.
struct Plain(usize);

impl Begin for Plain {
    fn answer(&self, head: Parts, input: Inbound) -> Result<Answer> {
        Answer::new(head, input, self.0)
    }
}

/// What comes of a stream; both halves see it.
struct Down<B> {
    state: Mutex<State>,
    begin: B,
}

enum State {
    /// The server's head is not there.
    Awaited(Answered),
    Open(Box<Answer>),
    /// There was no answer.
    Failed(Error),
}

impl<B: Begin> Down<B> {
    /// Waits for the server's head.
    fn poll_open(&self, task: &mut Task<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        state.poll_open(&self.begin, task).map_ok(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_open(&mut self, begin: &impl Begin, task: &mut Task<'_>) -> Poll<Result<&mut Answer>> {
        if let Self::Awaited(answered) = self {
            let opened = match ready!(answered.poll(task)) {
                Ok((head, input)) => begin.answer(head, input),
                Err(fault) => Err(failed(&fault)),
            };
            *self = match opened {
                Ok(answer) => Self::Open(Box::new(answer)),
                Err(error) => Self::Failed(error),
            };
        }
        Poll::Ready(match self {
            Self::Open(answer) => Ok(answer),
            Self::Failed(error) => Err(error.clone()),
            Self::Awaited(_) => Err(Error::internal(id::CLIENT, "the answer is not there yet")),
        })
    }
}

impl Link {
    /// Opens a stream. Dropped before both halves are there, it tells the server to stop.
    pub(super) async fn stream(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        kind: Kind,
    ) -> Result<Reply, Failed> {
        let encoding = self.encoding();
        let first = match kind {
            Kind::Unary | Kind::ServerStream => Some(frame(body(request)?, encoding)?),
            Kind::ClientStream | Kind::Bidi => None,
        };
        let (answered, mut out) = self.open(request, deadline, None)?;
        let finished = first.is_some();
        if let Some(first) = first
            && let Err(fault) = out.send(first, true)
        {
            tracing::debug!(%fault, "a request could not be sent whole");
        }
        let opening = Opening {
            encoding,
            finished,
            begin: Plain(self.most),
            peer: self.peer.clone(),
            path: &request.method.path,
            held: &self.held,
            marks: &self.marks,
            limit: self.settings.opening,
        };
        Ok(opening.stream(answered, Some(out)).await?)
    }
}

/// How a stream is opened, once its head is sent.
pub(super) struct Opening<'a, B> {
    pub(super) encoding: Encoding,
    /// Whether nothing more is sent.
    pub(super) finished: bool,
    pub(super) begin: B,
    pub(super) peer: Arc<Peer>,
    /// The method's.
    pub(super) path: &'a str,
    pub(super) held: &'a HeldBack,
    pub(super) marks: &'a Marks,
    /// How long its head is waited for.
    pub(super) limit: Duration,
}

impl<B: Begin> Opening<'_, B> {
    /// The stream, when the server's head is there, or will not come before it has a message.
    pub(super) async fn stream(self, answered: Answered, out: Option<Outbound>) -> Result<Reply> {
        let down = Arc::new(Down {
            state: Mutex::new(State::Awaited(answered)),
            begin: self.begin,
        });
        // Its handler may wait for messages of ours.
        if self.held.may_come(self.path) {
            match timeout(self.limit, poll_fn(|task| down.poll_open(task))).await {
                Ok(opened) => opened?,
                Err(_) => self.held.note(self.path),
            }
        }
        let mut reply = Reply::new(Body::Stream(RawStream {
            send: Box::new(Upload {
                out,
                down: down.clone(),
                encoding: self.encoding,
                finished: self.finished,
            }),
            receive: Box::new(Download { down: down.clone() }),
        }));
        if let State::Open(answer) = &*down.lock() {
            reply.metadata = answer.metadata.clone();
            self.marks.prove();
        }
        reply.peer = Some(self.peer);
        Ok(reply)
    }
}

/// The sending half.
struct Upload<B: Begin> {
    /// `None` where all was sent with the head.
    out: Option<Outbound>,
    down: Arc<Down<B>>,
    encoding: Encoding,
    finished: bool,
}

impl<B: Begin> Upload<B> {
    /// Why nothing can be sent: the server's word, where it is there.
    fn over(&self) -> Error {
        match &*self.down.lock() {
            State::Failed(error) => error.clone(),
            State::Open(answer) => answer.error().unwrap_or_else(ended),
            State::Awaited(_) => ended(),
        }
    }

    fn put(&mut self, chunk: Chunk, end: bool) -> Result<()> {
        let sent = self.out.as_mut().map(|out| out.send(chunk, end));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(self.over()),
        }
    }

    /// Whether nobody reads what the server sends.
    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.down) == 1
    }
}

fn ended() -> Error {
    Error::internal(id::CLIENT_TRANSPORT, "the stream has ended")
}

impl<B: Begin> RawSend for Upload<B> {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        if self.finished {
            let words = "the call's input has ended already";
            return Poll::Ready(Err(Error::bad_request(id::CLIENT, words)));
        }
        if self.is_alone() {
            // A server that is not read would wait, and read nothing more itself.
            let mut state = self.down.lock();
            if let Poll::Ready(Ok(answer)) = state.poll_open(&self.down.begin, task) {
                let _ = answer.poll_discard(task);
            }
        }
        let room = match &mut self.out {
            Some(out) => ready!(out.poll_room(0, task)).is_ok(),
            None => false,
        };
        Poll::Ready(match room {
            true => Ok(()),
            false => Err(self.over()),
        })
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let chunk = frame(message, self.encoding)?;
        self.put(chunk, false)
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        if std::mem::replace(&mut self.finished, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.put(Chunk::from(Bytes::new()), true))
    }
}

impl<B: Begin> Drop for Upload<B> {
    fn drop(&mut self) {
        // With the receiver gone already the call is given up, and no end may outrun that.
        if !self.finished && !self.is_alone() {
            let _ = self.put(Chunk::from(Bytes::new()), true);
        }
    }
}

/// The receiving half.
struct Download<B> {
    down: Arc<Down<B>>,
}

impl<B: Begin> RawReceive for Download<B> {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let mut state = self.down.lock();
        let answer = match ready!(state.poll_open(&self.down.begin, task)) {
            Ok(answer) => answer,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        answer.poll_next(task).map(Result::transpose)
    }

    fn metadata(&self) -> Metadata {
        match &*self.down.lock() {
            State::Open(answer) => answer.metadata.clone(),
            State::Failed(_) | State::Awaited(_) => Metadata::new(),
        }
    }

    fn trailers(&self) -> Metadata {
        match &*self.down.lock() {
            State::Open(answer) => answer.trailers.clone(),
            State::Failed(error) => error.metadata().clone(),
            State::Awaited(_) => Metadata::new(),
        }
    }
}
