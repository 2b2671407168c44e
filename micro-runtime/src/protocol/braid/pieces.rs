//! Long messages, which come and go in pieces, so that nothing else waits for them.
//!
//! Those that have begun and are not finished may together be as long as the longest message, in each
//! direction of a connection: that bounds what a reader holds of them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::Batch;
use super::fault::Fault;
use super::outbox::HIGH_WATER;
use super::wire::{CallId, Head, Hello, Kind, flag};

/// How many times as much room as has come is made at first: a length is only a claim.
const FIRST: usize = 4;

/// A message that has come in part, and `of` what it is.
#[derive(Debug)]
pub(super) struct Partial<T> {
    pub(super) of: T,
    total: usize,
    bytes: Vec<u8>,
}

impl<T> Partial<T> {
    /// A message of `total` bytes that begins with `first`.
    pub(super) fn new(of: T, total: u32, first: &[u8]) -> Self {
        let total = total as usize;
        let mut bytes = Vec::with_capacity(total.min(first.len() * FIRST));
        bytes.extend_from_slice(first);
        Self { of, total, bytes }
    }

    /// How much it counts.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Adds a piece; says whether it was the last.
    pub(super) fn add(&mut self, id: CallId, piece: &[u8], more: bool) -> Result<bool, Fault> {
        let length = self.bytes.len() + piece.len();
        if piece.is_empty() || length > self.total || (length < self.total) != more {
            return Err(Fault::Piece(id));
        }
        // Twice as much each time, and never more than is said.
        if length > self.bytes.capacity() {
            let room = (self.bytes.capacity() * 2).clamp(length, self.total);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(!more)
    }

    /// What it was, and all of it.
    pub(super) fn finish(self) -> (T, Bytes) {
        (self.of, self.bytes.into())
    }
}

/// Messages that go out in pieces, in turn.
#[derive(Debug)]
pub(super) struct Parts {
    /// How much of a message the peer takes in one frame.
    piece: usize,
    /// How long those that have begun may be together.
    most: usize,
    begun: VecDeque<Part>,
    /// How long those are, sent or not.
    unfinished: usize,
    /// Messages of streams that wait until others are finished, one a stream.
    waiting: VecDeque<(Head, Bytes)>,
    /// Whether one was finished or dropped since somebody asked.
    moved: bool,
}

#[derive(Debug)]
struct Part {
    id: CallId,
    total: usize,
    rest: Bytes,
}

impl Parts {
    pub(super) fn new(theirs: &Hello) -> Self {
        Self {
            piece: theirs.piece as usize,
            most: theirs.message as usize,
            begun: VecDeque::new(),
            unfinished: 0,
            waiting: VecDeque::new(),
            moved: false,
        }
    }

    /// For a connection that ends.
    pub(super) fn none() -> Self {
        Self {
            piece: usize::MAX,
            most: 0,
            begun: VecDeque::new(),
            unfinished: 0,
            waiting: VecDeque::new(),
            moved: true,
        }
    }

    /// Whether a message of `length` bytes goes in one frame.
    pub(super) fn is_whole(&self, length: usize) -> bool {
        length <= self.piece
    }

    /// Whether a message of `length` bytes may begin now.
    pub(super) fn may_begin(&self, length: usize) -> bool {
        self.is_whole(length) || self.waiting.is_empty() && self.fits(length)
    }

    fn fits(&self, length: usize) -> bool {
        // The first is never too long: nobody sends what the peer does not take.
        self.begun.is_empty() || self.unfinished.saturating_add(length) <= self.most
    }

    /// Appends a frame with `message`, which [may begin](Parts::may_begin), or its first piece.
    pub(super) fn begin(
        &mut self,
        queue: &mut Batch,
        mut head: Head,
        message: &Bytes,
        fields: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.is_whole(message.len()) {
            return queue.frame(head, message, fields);
        }
        head.flags |= flag::MORE;
        let total = message.len();
        let mut message = message.clone();
        let first = message.split_to(self.piece);
        queue.frame(head, &first, |out| {
            fields(out);
            out.extend_from_slice(&(total as u32).to_le_bytes());
        });
        self.unfinished += total;
        self.begun.push_back(Part {
            id: head.id,
            total,
            rest: message,
        });
    }

    /// A stream's message; the next of that stream comes when this one [has gone](Parts::has).
    pub(super) fn push(&mut self, queue: &mut Batch, head: Head, message: Bytes) {
        match self.may_begin(message.len()) {
            true => self.begin(queue, head, &message, |_| {}),
            false => self.waiting.push_back((head, message)),
        }
    }

    /// Whether anything is left of a message of this call.
    pub(super) fn has(&self, id: CallId) -> bool {
        self.begun.iter().any(|part| part.id == id)
            || self.waiting.iter().any(|(head, _)| head.id == id)
    }

    /// Drops what is left of messages of this call: it is over.
    pub(super) fn remove(&mut self, id: CallId) {
        if self.is_empty() {
            return;
        }
        let (before, waiting) = (self.begun.len(), self.waiting.len());
        self.waiting.retain(|(head, _)| head.id != id);
        self.begun.retain(|part| part.id != id);
        self.unfinished = self.begun.iter().map(|part| part.total).sum();
        self.moved |= before != self.begun.len() || waiting != self.waiting.len();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.waiting.is_empty()
    }

    /// Appends a piece of each in turn, as far as one write goes; one at least.
    pub(super) fn append(&mut self, queue: &mut Batch) {
        loop {
            while let Some((_, message)) = self.waiting.front()
                && self.fits(message.len())
                && let Some((head, message)) = self.waiting.pop_front()
            {
                self.begin(queue, head, &message, |_| {});
            }
            let Some(mut part) = self.begun.pop_front() else {
                return;
            };
            let piece = part.rest.split_to(self.piece.min(part.rest.len()));
            let more = match part.rest.is_empty() {
                true => 0,
                false => flag::MORE,
            };
            queue.frame(Head::new(Kind::Piece, more, part.id), &piece, |_| {});
            if more == 0 {
                self.unfinished -= part.total;
                self.moved = true;
            } else {
                self.begun.push_back(part);
            }
            if queue.len() >= HIGH_WATER {
                return;
            }
        }
    }

    /// Whether one was finished or dropped since the last time: others may have waited for that.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}
