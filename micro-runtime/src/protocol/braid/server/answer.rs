//! Answers on their way back: replies whole or in pieces, and errors.

use bytes::Bytes;

use super::super::batch::Batch;
use super::super::error::ErrorFrame;
use super::super::outbox::{Flush, HIGH_WATER, Room};
use super::super::packed::pack;
use super::super::wire::{CallId, Head, Kind, flag};
use super::session::{Session, Waiting};
use crate::call::{Body, Reply};
use crate::error::{Error, Result, id};

impl Session {
    /// Answers a call from the reader, which flushes; says whether it must wait for room first, or
    /// gives an answer back that cannot begin now.
    #[expect(clippy::result_large_err, reason = "what is given back is no failure")]
    pub(super) fn answer(&self, id: CallId, answer: Result<Reply>) -> Result<bool, Answer> {
        // Most: written from where it is.
        if let Ok(reply) = &answer
            && !self.compress
            && let Some(message) = self.whole(reply)
            && self.refusal(reply).is_none()
        {
            let full = self.out.append(Room::Ignored, |queue, waiting, _| {
                write_reply(queue, waiting, id, reply, message, false);
                (queue.len() >= HIGH_WATER, Flush::Held)
            });
            return Ok(full.unwrap_or(true));
        }
        let answer = self.prepare(answer);
        let full = self.out.append(Room::Ignored, |queue, waiting, _| {
            if !waiting.parts.may_begin(answer.length()) {
                return (None, Flush::Held);
            }
            self.write(queue, waiting, id, &answer);
            (Some(queue.len() >= HIGH_WATER), Flush::Held)
        });
        match full {
            Ok(Some(full)) => Ok(full),
            Ok(None) => Err(answer),
            // Where the connection is over, waiting is how the reader learns it.
            Err(_) => Ok(true),
        }
    }

    /// Answers a call with an error, which always has room; as [`answer`](Session::answer).
    pub(super) fn fail(&self, id: CallId, error: Error) -> bool {
        self.answer(id, Err(error)).unwrap_or(true)
    }

    /// Answers a unary call from its own task.
    pub(super) async fn answer_in_turn(&self, id: CallId, answer: Answer) {
        self.end(id, answer.length(), |queue, waiting| {
            self.write(queue, waiting, id, &answer);
        })
        .await;
    }

    /// The message of a reply that goes in one frame.
    fn whole<'a>(&self, reply: &'a Reply) -> Option<&'a Bytes> {
        match &reply.message {
            Body::One(message) if message.len() <= self.theirs.piece as usize => Some(message),
            _ => None,
        }
    }

    /// What is sent for `answer`.
    pub(super) fn prepare(&self, answer: Result<Reply>) -> Answer {
        let answer = answer.and_then(|reply| match self.refusal(&reply) {
            None => Ok(reply),
            Some(error) => Err(error),
        });
        match answer {
            Err(error) => Answer::Error(error),
            Ok(mut reply) => {
                let message = match std::mem::take(&mut reply.message) {
                    Body::One(message) => message,
                    Body::Empty | Body::Stream(_) => Bytes::new(),
                };
                let packed = self.pack(&message);
                Answer::Reply {
                    packed: packed.is_some(),
                    message: packed.unwrap_or(message),
                    reply,
                }
            }
        }
    }

    /// A message as it is sent, where that is another.
    pub(super) fn pack(&self, message: &Bytes) -> Option<Bytes> {
        pack(message, self.compress, self.theirs.encodings)
    }

    fn write(&self, queue: &mut Batch, waiting: &mut Waiting, id: CallId, answer: &Answer) {
        match answer {
            Answer::Reply {
                reply,
                message,
                packed,
            } => write_reply(queue, waiting, id, reply, message, *packed),
            Answer::Error(error) => self.write_error(queue, waiting, id, error),
        }
    }

    pub(super) fn write_error(
        &self,
        queue: &mut Batch,
        waiting: &mut Waiting,
        id: CallId,
        error: &Error,
    ) {
        let frame = ErrorFrame::new(error, &self.theirs);
        let head = Head::new(Kind::Error, frame.flags, id);
        let told = &mut waiting.told;
        queue.frame(head, &Bytes::new(), |out| frame.write(told, out));
    }

    /// What the caller gets in place of a reply that it does not take.
    fn refusal(&self, reply: &Reply) -> Option<Error> {
        self.check_size(reply.message.as_bytes().len())
            .err()
            .or_else(|| {
                let takes =
                    self.theirs.takes(&reply.metadata) && self.theirs.takes(&reply.trailers);
                (!takes).then(|| {
                    Error::internal(
                        id::SERVER,
                        "the reply has more metadata than the caller takes",
                    )
                })
            })
    }

    /// Refuses a message that the peer has said it does not take.
    pub(super) fn check_size(&self, length: usize) -> Result<()> {
        let most = self.theirs.message as usize;
        if length > most {
            let words = format!("a message of {length} bytes, and the caller takes {most}");
            return Err(Error::internal(id::SERVER, words));
        }
        Ok(())
    }
}

/// What a call is answered with.
pub(super) enum Answer {
    Reply {
        reply: Reply,
        /// As it is sent.
        message: Bytes,
        packed: bool,
    },
    Error(Error),
}

impl Answer {
    /// How long its message is.
    fn length(&self) -> usize {
        match self {
            Self::Reply { message, .. } => message.len(),
            Self::Error(..) => 0,
        }
    }
}

fn write_reply(
    queue: &mut Batch,
    waiting: &mut Waiting,
    id: CallId,
    reply: &Reply,
    message: &Bytes,
    packed: bool,
) {
    let set = |flag, there: bool| if there { flag } else { 0 };
    let flags = set(flag::METADATA, !reply.metadata.is_empty())
        | set(flag::TRAILERS, !reply.trailers.is_empty())
        | flag::BODY
        | set(flag::PACKED, packed);
    let Waiting { told, parts, .. } = waiting;
    let head = Head::new(Kind::Reply, flags, id);
    parts.begin(queue, head, message, |out| {
        for block in [&reply.metadata, &reply.trailers] {
            if !block.is_empty() {
                told.write(block, out);
            }
        }
    });
}
