//! The answer to a request: its head, and its body as it comes.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context as Task, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{Shared, Wire, upload};
use crate::error::why::Cause;
use crate::http1::{Decoder, Head, Opening, Outbox, Piece, Start, Trailers};
use crate::protocol::connections::Open;
use crate::protocol::http2::Fault;
use crate::transport::{ReadSide, WriteSide};

/// Room below this is not worth a read.
const LITTLE: usize = 1024;

/// What is left to send of a request.
pub(super) enum Sending {
    /// It is all here, and is written while the answer is waited for.
    Ours {
        write: WriteSide,
        outbox: Outbox,
        written: usize,
    },
    /// All is written.
    Done(WriteSide),
    /// A task sends it by and by.
    Task(Arc<upload::Shared>),
    /// The peer takes nothing any more. Its answer may be there all the same.
    Broken { written: usize },
}

impl Sending {
    pub(super) fn ours(write: WriteSide, outbox: Outbox) -> Self {
        Self::Ours {
            write,
            outbox,
            written: 0,
        }
    }

    /// Writes what the peer takes.
    fn advance(&mut self, task: &mut Task<'_>) {
        let Self::Ours {
            write,
            outbox,
            written,
        } = self
        else {
            return;
        };
        let Poll::Ready(wrote) = outbox.poll_write(&mut **write, written, task) else {
            return;
        };
        let written = *written;
        let before = std::mem::replace(self, Self::Broken { written });
        if let (Ok(()), Self::Ours { write, .. }) = (wrote, before) {
            *self = Self::Done(write);
        }
    }

    /// Whether the peer certainly has nothing of the request.
    fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Ours { written: 0, .. } | Self::Broken { written: 0 }
        )
    }

    /// What was written to, where all is.
    fn into_done(self) -> Option<WriteSide> {
        match self {
            Self::Done(write) => Some(write),
            Self::Task(shared) => {
                let done = shared.take_done();
                if done.is_none() {
                    shared.stop();
                }
                done
            }
            Self::Ours { .. } | Self::Broken { .. } => None,
        }
    }
}

/// How far the body of an answer has been read.
pub(super) enum State {
    Body,
    Ended(Trailers),
}

/// The answer to a request, which may be far away.
pub(in crate::protocol) struct Answered(Option<Inbound>);

impl Answered {
    pub(super) fn new(inbound: Inbound) -> Self {
        Self(Some(inbound))
    }

    /// The answer's head and what follows it. Not to be polled again after it.
    pub(in crate::protocol) fn poll(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<(Parts, Inbound), Fault>> {
        let Some(inbound) = &mut self.0 else {
            return Poll::Ready(Err(Fault::Over));
        };
        let head = ready!(inbound.poll_head(task));
        let Some(mut inbound) = self.0.take() else {
            return Poll::Ready(Err(Fault::Over));
        };
        Poll::Ready(head.map(|head| {
            inbound.settle();
            (head, inbound)
        }))
    }
}

/// What comes after an answer's head. Dropped before its end, it closes the connection.
pub(in crate::protocol) struct Inbound {
    pub(super) read: ReadSide,
    pub(super) decoder: Decoder,
    pub(super) inbox: BytesMut,
    pub(super) since: Instant,
    /// Counts the connection; gone with it.
    pub(super) open: Option<Open>,
    /// Whether the connection has carried another exchange before.
    pub(super) used: bool,
    pub(super) sending: Sending,
    pub(super) pool: Weak<Shared>,
    pub(super) keep_alive: bool,
    pub(super) state: State,
}

impl Inbound {
    fn poll_head(&mut self, task: &mut Task<'_>) -> Poll<Result<Parts, Fault>> {
        loop {
            self.sending.advance(task);
            let head = self
                .decoder
                .head(&mut self.inbox)
                .map(|head| head.is_some());
            match head {
                Ok(true) => break,
                Ok(false) => {}
                Err(malformed) => return Poll::Ready(Err(Fault::Malformed(malformed))),
            }
            let room = self.decoder.room(&self.inbox);
            let nothing_yet = self.decoder.is_between(&self.inbox);
            match ready!(poll_fill(&mut self.read, &mut self.inbox, room, task)) {
                Ok(0) => {
                    let words = "the connection was closed without an answer";
                    let words = words.to_owned();
                    return Poll::Ready(Err(self.lost(nothing_yet, words, Cause::Lost)));
                }
                Ok(_) => {}
                Err(error) => {
                    let cause = Cause::of_io(&error);
                    return Poll::Ready(Err(self.lost(nothing_yet, error.to_string(), cause)));
                }
            }
        }
        let Some(opening) = self.decoder.open() else {
            return Poll::Ready(Err(Fault::Over));
        };
        self.keep_alive = opening.keep_alive;
        let parts = parts(&opening);
        self.decoder.recycle(opening.head);
        Poll::Ready(parts)
    }

    /// The next bytes; `None` at the end of them.
    pub(in crate::protocol) fn poll_data(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            if let State::Ended(_) = self.state {
                return Poll::Ready(None);
            }
            self.sending.advance(task);
            match self.decoder.piece(&mut self.inbox) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End(trailers)) => {
                    self.end(trailers);
                    return Poll::Ready(None);
                }
                Ok(Piece::Nothing) => {}
                Err(malformed) => return Poll::Ready(Some(Err(Fault::Malformed(malformed)))),
            }
            let room = self.decoder.room(&self.inbox);
            match ready!(poll_fill(&mut self.read, &mut self.inbox, room, task)) {
                Ok(0) => match self.decoder.end_piece() {
                    Ok(()) => self.end(Trailers::new()),
                    Err(malformed) => return Poll::Ready(Some(Err(Fault::Malformed(malformed)))),
                },
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(Fault::lost(error)))),
            }
        }
    }

    /// What came after the bytes; to be asked after their end.
    pub(in crate::protocol) fn poll_trailers(
        &mut self,
        _task: &mut Task<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Fault>> {
        let State::Ended(trailers) = &mut self.state else {
            return Poll::Ready(Ok(None));
        };
        let trailers = std::mem::take(trailers);
        if trailers.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let fields = trailers.iter().map(|(name, value)| (&**name, &**value));
        Poll::Ready(headers(fields).map(Some))
    }

    /// Whether it is known that nothing follows.
    pub(in crate::protocol) fn is_at_end(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Takes the end where it is there already: of an answer without a body.
    fn settle(&mut self) {
        if self.inbox.is_empty()
            && let Ok(Piece::End(trailers)) = self.decoder.piece(&mut self.inbox)
        {
            self.end(trailers);
        }
    }

    /// Gives the connection back, where another exchange can follow on it.
    fn end(&mut self, trailers: Trailers) {
        self.state = State::Ended(trailers);
        let sending = std::mem::replace(&mut self.sending, Sending::Broken { written: 0 });
        let clean = self.keep_alive && self.inbox.is_empty();
        if let Some(write) = sending.into_done()
            && clean
            && let Some(pool) = self.pool.upgrade()
        {
            let decoder = std::mem::replace(&mut self.decoder, super::decoder());
            pool.keep(Wire {
                read: std::mem::replace(&mut self.read, Box::new(tokio::io::empty())),
                write,
                decoder,
                inbox: std::mem::take(&mut self.inbox),
                since: self.since,
                open: self.open.take(),
            });
        } else {
            self.open = None;
            self.read = Box::new(tokio::io::empty());
        }
    }

    fn lost(&self, nothing_yet: bool, words: String, cause: Cause) -> Fault {
        // An idle connection that its peer had closed, and nothing has left on it.
        let untaken = nothing_yet && self.used && self.sending.is_unsent();
        Fault::Lost {
            words,
            untaken,
            cause,
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Sending::Task(shared) = &self.sending {
            shared.stop();
        }
    }
}

/// Reads once into `inbox`; 0 is the end of the connection.
pub(super) fn poll_fill(
    read: &mut ReadSide,
    inbox: &mut BytesMut,
    room: usize,
    task: &mut Task<'_>,
) -> Poll<io::Result<usize>> {
    if inbox.capacity() - inbox.len() < room.min(LITTLE) {
        inbox.reserve(room);
    }
    pin!(read.read_buf(inbox)).poll(task)
}

fn parts(opening: &Opening) -> Result<Parts, Fault> {
    let Start::Status { code, .. } = opening.head.start() else {
        return Err(Fault::garbled("a request came as the answer"));
    };
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(code)
        .map_err(|_| Fault::garbled(format_args!("the status {code} is none of HTTP's")))?;
    parts.headers = headers(Head::fields(&opening.head))?;
    Ok(parts)
}

fn headers<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name).map_err(Fault::garbled)?;
        let value = HeaderValue::from_bytes(value).map_err(Fault::garbled)?;
        headers.append(name, value);
    }
    Ok(headers)
}
