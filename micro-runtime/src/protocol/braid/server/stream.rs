//! A server's end of a stream: the two halves that a handler works on, and how it ends.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;

use super::super::batch::Batch;
use super::super::flow::{Flow, Sending, Taking};
use super::super::outbox::{Flush, Room, RoomWait};
use super::super::pieces::Parts;
use super::super::wire::{CallId, Credit, Head, Kind, flag};
use super::session::{Session, Waiting};
use crate::call::{RawReceive, RawSend, RawStream, Reply, StreamEnd};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::router::Serving;

/// A stream that a handler works on.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) id: CallId,
    flow: Arc<Flow>,
    cx: Context,
    /// Whether the caller was told that the stream is open.
    told: AtomicBool,
}

impl Opened {
    pub(super) fn new(
        session: Arc<Session>,
        id: CallId,
        flow: Arc<Flow>,
        cx: Context,
    ) -> Arc<Self> {
        Arc::new(Self {
            session,
            id,
            flow,
            cx,
            told: AtomicBool::new(false),
        })
    }

    /// The halves that the handler gets.
    pub(super) fn halves(self: &Arc<Self>) -> RawStream {
        RawStream {
            send: Box::new(Replies {
                stream: self.clone(),
                sending: Sending::default(),
                waiting: RoomWait::default(),
                goes: false,
            }),
            receive: Box::new(Requests {
                stream: self.clone(),
                taking: Taking::default(),
            }),
        }
    }

    /// Runs the handler to its end and tells how it ended.
    pub(super) async fn finish(self: Arc<Self>, serving: Serving) {
        let mut handler = pin!(serving.finish());
        let answer = poll_fn(|task| {
            let answer = handler.as_mut().poll(task);
            if answer.is_pending() && !self.told.load(Ordering::Acquire) {
                // A handler that waits has accepted the call: what it set so far goes ahead.
                let _ = self.session.out.append(Room::Ignored, |queue, waiting, _| {
                    (self.open(queue, waiting), Flush::Soon)
                });
            }
            answer
        })
        .await;
        if answer.is_ok() {
            // Its last message goes before the end.
            self.session.out.sent(self.id).await;
        }
        self.session
            .end(self.id, 0, |queue, waiting| {
                waiting.parts.remove(self.id);
                self.end(queue, waiting, &answer);
            })
            .await;
        // A half that the handler gave away sends no more.
        self.flow.end(StreamEnd::Done(Metadata::new())).wake();
    }

    /// Appends the answer that opens the stream, once.
    fn open(&self, queue: &mut Batch, waiting: &mut Waiting) {
        if self.told.load(Ordering::Acquire) || self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut parts = self.cx.take_reply_parts();
        for (key, value) in parts.trailers.iter_text() {
            self.cx.reply_trailers().set(key.clone(), value.clone());
        }
        if !self.session.theirs.takes(&parts.metadata) {
            parts.metadata = Metadata::new();
        }
        let flags = match parts.metadata.is_empty() {
            true => 0,
            false => flag::METADATA,
        };
        queue.frame(
            Head::new(Kind::Reply, flags, self.id),
            &Bytes::new(),
            |out| {
                if flags != 0 {
                    waiting.told.write(&parts.metadata, out);
                }
            },
        );
    }

    fn end(&self, queue: &mut Batch, waiting: &mut Waiting, answer: &Result<Reply>) {
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                return self.session.write_error(queue, waiting, self.id, error);
            }
        };
        let (metadata, mut trailers) = (&reply.metadata, reply.trailers.clone());
        if !self.told.load(Ordering::Acquire) {
            for (key, value) in metadata.iter_text() {
                self.cx.reply_metadata().set(key.clone(), value.clone());
            }
            self.open(queue, waiting);
        } else {
            // Set after the opening had gone: better late than lost.
            for (key, value) in metadata.iter_text() {
                trailers.set_default(key.clone(), value.clone());
            }
        }
        if !self.session.theirs.takes(&trailers) {
            let error = Error::internal(id::SERVER, "more trailers than the caller takes");
            return self.session.write_error(queue, waiting, self.id, &error);
        }
        let flags = match trailers.is_empty() {
            true => 0,
            false => flag::TRAILERS,
        };
        queue.frame(Head::new(Kind::End, flags, self.id), &Bytes::new(), |out| {
            if flags != 0 {
                waiting.told.write(&trailers, out);
            }
        });
    }

    fn credit(&self, owed: Credit) {
        if !owed.is_none() {
            let head = Head::new(Kind::Credit, 0, self.id);
            self.session
                .control(head, Flush::Soon, |out| owed.write(out));
        }
    }
}

/// The sending half.
struct Replies {
    stream: Arc<Opened>,
    sending: Sending,
    waiting: RoomWait,
    /// Whether the last message went in pieces, of which some may be left.
    goes: bool,
}

impl Replies {
    /// Sends a message of `length` bytes, which `write` appends.
    fn put(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut Batch, &mut Parts, Head),
    ) -> Result<()> {
        let stream = &*self.stream;
        stream.session.check_size(length)?;
        let asked = stream.flow.spend(&mut self.sending, length)?;
        let flush = match asked && stream.session.is_alone() {
            true => Flush::Now,
            false => Flush::Enough,
        };
        let sent = stream
            .session
            .out
            .append(Room::Ignored, |queue, waiting, _| {
                stream.open(queue, waiting);
                let head = Head::new(Kind::Message, 0, stream.id);
                write(queue, &mut waiting.parts, head);
                ((), flush)
            });
        sent.map_err(|_| stream.session.out.failure())
    }
}

impl RawSend for Replies {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        ready!(self.stream.flow.poll_credit(&mut self.sending, task))?;
        let part = self.goes.then_some(self.stream.id);
        let out = &self.stream.session.out;
        ready!(out.poll_room(part, &mut self.waiting, task));
        self.goes = false;
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        let length = message.len();
        let packed = self.stream.session.pack(&message);
        let flags = packed.as_ref().map_or(0, |_| flag::PACKED);
        let message = packed.unwrap_or(message);
        let mut goes = false;
        let put = self.put(length, |queue, parts, mut head| {
            head.flags = flags;
            goes = !parts.is_whole(message.len());
            parts.push(queue, head, message);
        });
        self.goes |= goes;
        put
    }

    fn send_copy(&mut self, message: &[u8]) -> Result<()> {
        self.put(message.len(), |queue, _, head| queue.small(head, message))
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        // The stream ends with its handler.
        Poll::Ready(Ok(()))
    }
}

/// The receiving half.
struct Requests {
    stream: Arc<Opened>,
    taking: Taking,
}

impl RawReceive for Requests {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let (next, owed) = ready!(self.stream.flow.poll_next(&mut self.taking, task));
        self.stream.credit(owed);
        Poll::Ready(next)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let owed = self.stream.flow.deafen(&mut self.taking);
        self.stream.credit(owed);
    }
}
