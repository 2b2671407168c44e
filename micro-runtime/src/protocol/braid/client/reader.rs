//! A client's reader: frames of the server to the calls that they are for.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use super::super::arrivals::Arrivals;
use super::super::dictionary::Known;
use super::super::error::read_error;
use super::super::fault::Fault;
use super::super::fields::{Fields, Goaway, Part, message, read_credit};
use super::super::inbox::Inbox;
use super::super::outbox::{Flush, Room};
use super::super::packed::unpack;
use super::super::pieces::Partial;
use super::super::pings::Pings;
use super::super::wire::{CallId, Frame, Head, Kind, flag};
use super::calls::{Coming, Found, Lost, Settled};
use super::link::Link;
use super::stream::Opened;
use crate::call::{Body, Reply, StreamEnd};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

/// What a reader keeps of what has come.
#[derive(Default)]
struct Memory {
    known: Known,
    pings: Pings,
}

/// How a connection ends.
pub(super) enum End {
    Lost(Error),
    /// The peer has broken the protocol.
    Fault(Fault),
}

impl Link {
    /// The reader. It awaits nothing but bytes: answers land in slots, messages in queues that credit
    /// bounds. That is what the server's reader may rely on when it waits for us.
    pub(super) async fn read(&self, inbox: &mut Inbox) -> End {
        let mut arrivals = Arrivals::default();
        let mut memory = Memory::default();
        loop {
            // First those that came with the HELLO.
            let taken = self.take_frames(inbox, &mut memory, &mut arrivals);
            // What came before a wrong frame counts.
            let handed = self.hand_over(&mut arrivals);
            arrivals.wake();
            if let Err(fault) = taken.and(handed) {
                return End::Fault(fault);
            }
            let words = match inbox.fill().await {
                Ok(1..) => {
                    self.out.hear();
                    self.pressure.read(inbox.is_filled());
                    continue;
                }
                Ok(0) => Error::internal(id::CLIENT_TRANSPORT, "unexpected EOF"),
                Err(error) => {
                    let cause = Cause::of_io(&error);
                    Error::internal(id::CLIENT_TRANSPORT, error.to_string())
                        .with_source(error)
                        .caused_by(cause)
                }
            };
            return End::Lost(words);
        }
    }

    fn take_frames(
        &self,
        inbox: &mut Inbox,
        memory: &mut Memory,
        arrivals: &mut Arrivals,
    ) -> Result<(), Fault> {
        while let Some(frame) = inbox.next()? {
            let Head {
                kind, id, flags, ..
            } = frame.head;
            if kind == Kind::Message && flags == 0 && arrivals.are_of(id) {
                arrivals.add(frame.payload);
                continue;
            }
            self.hand_over(arrivals)?;
            self.take_frame(frame, memory, arrivals)?;
        }
        Ok(())
    }

    /// Hands a stream the messages that came for it.
    fn hand_over(&self, arrivals: &mut Arrivals) -> Result<(), Fault> {
        if let Some((id, owed)) = arrivals.hand_over()? {
            let head = Head::new(Kind::Credit, 0, id);
            self.control(head, Flush::Soon, |out| owed.write(out));
        }
        Ok(())
    }

    fn take_frame(
        &self,
        frame: Frame,
        memory: &mut Memory,
        arrivals: &mut Arrivals,
    ) -> Result<(), Fault> {
        let id = frame.head.id;
        match frame.head.kind {
            Kind::Reply => self.take_reply(frame, memory, arrivals)?,
            Kind::Error => {
                let error = read_error(frame, &self.ours, &mut memory.known)?;
                // What is left of a long message is not sent any more.
                self.out.forget(id);
                self.settle(id, Err(error), arrivals)?;
            }
            Kind::Message => {
                let (head, fields) = Fields::of(frame);
                let packed = head.has(flag::PACKED);
                match message(&head, fields, true, &self.ours)? {
                    Part::None => {}
                    Part::Whole(message) => self.take_message(id, message, packed, arrivals)?,
                    Part::First(total, first) => {
                        let coming = Coming {
                            packed,
                            reply: None,
                        };
                        self.await_rest(id, Partial::new(coming, total, &first))?;
                    }
                }
            }
            Kind::Piece => {
                let more = frame.head.has(flag::MORE);
                if let Some((coming, message)) = self.calls.piece(id, &frame.payload, more)? {
                    match coming.reply {
                        None => self.take_message(id, message, coming.packed, arrivals)?,
                        Some(mut reply) => {
                            reply.message = Body::One(self.unpack(id, message, coming.packed)?);
                            self.settle(id, Ok(reply), arrivals)?;
                        }
                    }
                }
            }
            Kind::End => {
                let (head, mut fields) = Fields::of(frame);
                let trailers = match head.has(flag::TRAILERS) {
                    true => fields.metadata(&self.ours, &mut memory.known)?,
                    false => Metadata::new(),
                };
                fields.end()?;
                if self.calls.is_within_message(id) {
                    return Err(Fault::Order(id));
                }
                if let Some(stream) = self.open_stream(id)? {
                    self.calls.remove(id);
                    self.out.forget(id);
                    stream.flow.end(StreamEnd::Done(trailers)).wake();
                    self.finish_if_spent();
                }
            }
            Kind::Credit => {
                let credit = read_credit(frame)?;
                match self.calls.find(id)? {
                    Found::Stream(stream) => stream.flow.grant(credit)?.wake(),
                    Found::Unary => return Err(Fault::Order(id)),
                    Found::Late => {}
                }
            }
            Kind::Ping => {
                memory.pings.count()?;
                self.take_ping(frame)?;
            }
            Kind::Goaway => self.take_goaway(Goaway::read(frame)?),
            Kind::Hello => return Err(Fault::Hello),
            kind @ (Kind::Call | Kind::Cancel) => return Err(Fault::Direction(kind)),
        }
        Ok(())
    }

    /// Takes a message of a stream.
    fn take_message(
        &self,
        id: CallId,
        message: Bytes,
        packed: bool,
        arrivals: &mut Arrivals,
    ) -> Result<(), Fault> {
        if self.calls.is_within_message(id) {
            return Err(Fault::Order(id));
        }
        if let Some(stream) = self.open_stream(id)? {
            arrivals.begin(id, stream.flow.clone());
            arrivals.add(self.unpack(id, message, packed)?);
        }
        Ok(())
    }

    fn await_rest(&self, id: CallId, partial: Partial<Coming>) -> Result<(), Fault> {
        self.calls.begin(id, partial, self.ours.message as usize)
    }

    fn unpack(&self, id: CallId, message: Bytes, packed: bool) -> Result<Bytes, Fault> {
        match packed {
            false => Ok(message),
            true => unpack(&message, self.ours.message as usize).ok_or(Fault::Packed(id)),
        }
    }

    fn take_reply(
        &self,
        frame: Frame,
        memory: &mut Memory,
        arrivals: &mut Arrivals,
    ) -> Result<(), Fault> {
        let (head, mut fields) = Fields::of(frame);
        let mut reply = Reply::new(Body::Empty);
        if head.has(flag::METADATA) {
            reply.metadata = fields.metadata(&self.ours, &mut memory.known)?;
        }
        if head.has(flag::TRAILERS) {
            reply.trailers = fields.metadata(&self.ours, &mut memory.known)?;
        }
        reply.peer = Some(self.peer.clone());
        let packed = head.has(flag::PACKED);
        reply.message = match message(&head, fields, head.has(flag::BODY), &self.ours)? {
            Part::None => Body::Empty,
            Part::Whole(message) => Body::One(self.unpack(head.id, message, packed)?),
            Part::First(total, first) => {
                let reply = Some(reply);
                let coming = Coming { packed, reply };
                return self.await_rest(head.id, Partial::new(coming, total, &first));
            }
        };
        self.settle(head.id, Ok(reply), arrivals)
    }

    fn settle(
        &self,
        id: CallId,
        answer: Result<Reply>,
        arrivals: &mut Arrivals,
    ) -> Result<(), Fault> {
        match self.calls.settle(id, answer)? {
            Settled::Unary(waker) => arrivals.wake_later([waker]),
            Settled::Stream(stream, Ok(reply)) => arrivals.wake_later(stream.open(id, reply)?),
            Settled::Stream(stream, Err(error)) => {
                stream.fail(error);
                self.finish_if_spent();
            }
            Settled::Late => {}
        }
        Ok(())
    }

    /// The stream with this id, which must be open; `None` where it is over.
    fn open_stream(&self, id: CallId) -> Result<Option<Arc<Opened>>, Fault> {
        match self.calls.find(id)? {
            Found::Stream(stream) if stream.is_open() => Ok(Some(stream)),
            Found::Stream(_) | Found::Unary => Err(Fault::Order(id)),
            Found::Late => Ok(None),
        }
    }

    fn take_ping(&self, frame: Frame) -> Result<(), Fault> {
        let (head, mut fields) = Fields::of(frame);
        let number = fields.u64()?;
        fields.end()?;
        if !head.has(flag::ANSWER) {
            let _ = self.out.append(Room::Ignored, |_, waiting, _| {
                waiting.ping = Some(number);
                ((), Flush::Soon)
            });
        }
        Ok(())
    }

    /// The peer takes no more calls. Those it did not take are free to go elsewhere.
    fn take_goaway(&self, goaway: Goaway) {
        debug!(peer = %self.peer.address, code = goaway.code, reason = %goaway.reason, "the peer takes no more calls");
        let words = format!(
            "{} takes no more calls: {}",
            self.peer.address, goaway.reason
        );
        let lost = Lost {
            error: Error::unavailable(id::CLIENT, words).caused_by(Cause::Refused),
            reached: u64::MAX,
            taken: goaway.taken,
        };
        self.calls.fail_untaken(&lost).tell();
        self.finish_if_spent();
    }
}
