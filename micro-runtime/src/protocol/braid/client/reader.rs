//! A client's reader: frames of the server to the calls that they are for.

use std::sync::Arc;

use tracing::debug;

use super::super::arrivals::Arrivals;
use super::super::error::read_error;
use super::super::fault::Fault;
use super::super::fields::{Fields, Goaway, message, read_credit};
use super::super::inbox::Inbox;
use super::super::outbox::{Flush, Room};
use super::super::wire::{CallId, Frame, Head, Kind, flag};
use super::calls::{Found, Lost, Settled};
use super::link::Link;
use super::stream::Opened;
use crate::call::{Body, Reply, StreamEnd};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;

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
        loop {
            // First those that came with the HELLO.
            let taken = self.take_frames(inbox, &mut arrivals);
            // What came before a wrong frame counts.
            let handed = self.hand_over(&mut arrivals);
            arrivals.wake();
            if let Err(fault) = taken.and(handed) {
                return End::Fault(fault);
            }
            let words = match inbox.fill().await {
                Ok(1..) => continue,
                Ok(0) => Error::internal(id::CLIENT_TRANSPORT, "unexpected EOF"),
                Err(error) => {
                    Error::internal(id::CLIENT_TRANSPORT, error.to_string()).with_source(error)
                }
            };
            return End::Lost(words);
        }
    }

    fn take_frames(&self, inbox: &mut Inbox, arrivals: &mut Arrivals) -> Result<(), Fault> {
        while let Some(frame) = inbox.next()? {
            let Head { kind, id, .. } = frame.head;
            if kind == Kind::Message && arrivals.are_of(id) {
                arrivals.add(frame.payload);
                continue;
            }
            self.hand_over(arrivals)?;
            self.take_frame(frame, arrivals)?;
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

    fn take_frame(&self, frame: Frame, arrivals: &mut Arrivals) -> Result<(), Fault> {
        let id = frame.head.id;
        match frame.head.kind {
            Kind::Reply => self.take_reply(frame, arrivals)?,
            Kind::Error => {
                let error = read_error(frame, &self.ours)?;
                self.settle(id, Err(error), arrivals)?;
            }
            Kind::Message => {
                if let Some(stream) = self.open_stream(id)? {
                    arrivals.begin(id, stream.flow.clone());
                    arrivals.add(frame.payload);
                }
            }
            Kind::End => {
                let (head, mut fields) = Fields::of(frame);
                let trailers = match head.has(flag::TRAILERS) {
                    true => fields.metadata(&self.ours)?,
                    false => Metadata::new(),
                };
                fields.end()?;
                if let Some(stream) = self.open_stream(id)? {
                    self.calls.remove(id);
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
            Kind::Ping => self.take_ping(frame)?,
            Kind::Goaway => self.take_goaway(Goaway::read(frame)?),
            Kind::Hello => return Err(Fault::Hello),
            kind @ (Kind::Call | Kind::Cancel) => return Err(Fault::Direction(kind)),
        }
        Ok(())
    }

    fn take_reply(&self, frame: Frame, arrivals: &mut Arrivals) -> Result<(), Fault> {
        let (head, mut fields) = Fields::of(frame);
        let mut reply = Reply::new(Body::Empty);
        if head.has(flag::METADATA) {
            reply.metadata = fields.metadata(&self.ours)?;
        }
        if head.has(flag::TRAILERS) {
            reply.trailers = fields.metadata(&self.ours)?;
        }
        let message = message(fields, head.has(flag::BODY), &self.ours)?;
        reply.peer = Some(self.peer.clone());
        reply.message = match message {
            Some(message) => Body::One(message),
            None => Body::Empty,
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
            error: Error::unavailable(id::CLIENT, words),
            reached: u64::MAX,
            taken: goaway.taken,
        };
        self.calls.fail_untaken(&lost).tell();
        self.finish_if_spent();
    }
}
