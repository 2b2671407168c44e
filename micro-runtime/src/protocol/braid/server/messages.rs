//! Messages of calls and streams as they come: whole or in pieces, compressed or not.

use bytes::Bytes;
use tokio::time::Instant;

use super::super::fault::Fault;
use super::super::packed::unpack;
use super::super::pieces::Partial;
use super::super::wire::{CallId, Frame, Head, flag};
use super::session::Coming;
use super::{Asked, Reader};

impl Reader {
    /// Takes the first piece of a message.
    pub(super) fn begin(&mut self, id: CallId, partial: Partial<Coming>) -> Result<(), Fault> {
        self.goes_on = true;
        self.session.begin(id, partial, self.ours.message as usize)
    }

    /// Takes another piece of a message.
    pub(super) fn take_piece(&mut self, frame: Frame) -> Result<bool, Fault> {
        let Frame { head, payload } = frame;
        self.goes_on = true;
        let piece = match self.session.piece(head.id, &payload, head.has(flag::MORE)) {
            // After our GOAWAY, and so never there.
            Err(Fault::Unknown(_)) if self.drains => None,
            piece => piece?,
        };
        let Some((Coming { packed, call }, message)) = piece else {
            return Ok(false);
        };
        let message = self.unpack_where(packed, head.id, message)?;
        let Some(Asked { head, cx, way }) = call else {
            self.take_message(head.id, message)?;
            return Ok(false);
        };
        // Its time went on while it came.
        self.start(&head, Instant::now(), cx, &way, Some(message))
    }

    /// Takes a message of a stream.
    pub(super) fn take_message(&mut self, id: CallId, message: Bytes) -> Result<(), Fault> {
        if self.session.is_within_message(id) {
            return Err(Fault::Order(id));
        }
        if let Some(flow) = self.stream(id)? {
            self.arrivals.begin(id, flow);
            self.arrivals.add(message);
        }
        Ok(())
    }

    pub(super) fn unpack(&self, head: &Head, message: Bytes) -> Result<Bytes, Fault> {
        self.unpack_where(head.has(flag::PACKED), head.id, message)
    }

    fn unpack_where(&self, packed: bool, id: CallId, message: Bytes) -> Result<Bytes, Fault> {
        match packed {
            false => Ok(message),
            true => unpack(&message, self.ours.message as usize).ok_or(Fault::Packed(id)),
        }
    }
}
