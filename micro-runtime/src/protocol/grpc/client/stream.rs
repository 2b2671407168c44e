//! A client's end of a stream.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::super::message::{Encoding, frame};
use super::call::{Answer, body, failed};
use super::link::{Failed, Link};
use crate::call::{Body, RawReceive, RawSend, RawStream, Reply, Request};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::method::Kind;
use crate::protocol::exchange::{Answered, Outbound};
use crate::protocol::http2::Chunk;

/// What comes of a stream; both halves see it.
struct Down {
    state: Mutex<State>,
    most: usize,
}

enum State {
    /// The server's head is not there.
    Awaited(Answered),
    Open(Box<Answer>),
    /// There was no answer.
    Failed(Error),
}

impl Down {
    /// Waits for the server's head.
    fn poll_open(&self, task: &mut Task<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        state.poll_open(self.most, task).map_ok(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_open(&mut self, most: usize, task: &mut Task<'_>) -> Poll<Result<&mut Answer>> {
        if let Self::Awaited(answered) = self {
            let opened = match ready!(answered.poll(task)) {
                Ok((head, input)) => Answer::new(head, input, most),
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
        let (answered, mut out) = self.open(request, deadline)?;
        let finished = first.is_some();
        if let Some(first) = first
            && let Err(fault) = out.send(first, true)
        {
            tracing::debug!(%fault, "a request could not be sent whole");
        }
        let down = Arc::new(Down {
            state: Mutex::new(State::Awaited(answered)),
            most: self.most,
        });
        self.wait_open(&down).await?;
        let mut reply = Reply::new(Body::Stream(RawStream {
            send: Box::new(Upload {
                out,
                down: down.clone(),
                encoding,
                finished,
            }),
            receive: Box::new(Download { down: down.clone() }),
        }));
        if let State::Open(answer) = &*down.lock() {
            reply.metadata = answer.metadata.clone();
            self.prove();
        }
        reply.peer = Some(self.peer.clone());
        Ok(reply)
    }

    /// Waits for the server's head, but not for one that holds it back until it has a message: its
    /// handler may wait for ours.
    async fn wait_open(&self, down: &Down) -> Result<(), Error> {
        let opened = poll_fn(|task| down.poll_open(task));
        if self.holds_back.load(Ordering::Relaxed) {
            return Ok(());
        }
        match timeout(self.settings.opening, opened).await {
            Ok(opened) => opened,
            Err(_) => {
                self.holds_back.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

/// The sending half.
struct Upload {
    out: Outbound,
    down: Arc<Down>,
    encoding: Encoding,
    finished: bool,
}

impl Upload {
    /// Why nothing can be sent: the server's word, where it is there.
    fn over(&self) -> Error {
        match &*self.down.lock() {
            State::Failed(error) => error.clone(),
            State::Open(answer) => answer.error().unwrap_or_else(ended),
            State::Awaited(_) => ended(),
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

impl RawSend for Upload {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        if self.finished {
            let words = "the call's input has ended already";
            return Poll::Ready(Err(Error::bad_request(id::CLIENT, words)));
        }
        if self.is_alone() {
            // A server that is not read would wait, and read nothing more itself.
            let mut state = self.down.lock();
            if let Poll::Ready(Ok(answer)) = state.poll_open(self.down.most, task) {
                let _ = answer.poll_discard(task);
            }
        }
        match ready!(self.out.poll_room(0, task)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(self.over())),
        }
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let chunk = frame(message, self.encoding)?;
        self.out.send(chunk, false).map_err(|_| self.over())
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        if std::mem::replace(&mut self.finished, true) {
            return Poll::Ready(Ok(()));
        }
        let sent = self.out.send(Chunk::from(Bytes::new()), true);
        Poll::Ready(sent.map_err(|_| self.over()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // With the receiver gone already the call is given up, and no end may outrun that.
        if !self.finished && !self.is_alone() {
            let _ = self.out.send(Chunk::from(Bytes::new()), true);
        }
    }
}

/// The receiving half.
struct Download {
    down: Arc<Down>,
}

impl RawReceive for Download {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let mut state = self.down.lock();
        let answer = match ready!(state.poll_open(self.down.most, task)) {
            Ok(answer) => answer,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        answer.poll_next(task).map(Result::transpose)
    }

    fn trailers(&self) -> Metadata {
        match &*self.down.lock() {
            State::Open(answer) => match answer.error() {
                None => answer.trailers.clone(),
                Some(error) => error.metadata().clone(),
            },
            State::Failed(error) => error.metadata().clone(),
            State::Awaited(_) => Metadata::new(),
        }
    }
}
