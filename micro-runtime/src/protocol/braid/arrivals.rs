//! Messages that came together: those of one stream are queued under one lock, and whoever reads them
//! is woken once for all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::fault::Fault;
use super::flow::Flow;
use super::wire::{CallId, Credit};

/// What a reader has read ahead of the streams' receivers; it is handed over before the reader awaits
/// anything.
#[derive(Default)]
pub(super) struct Arrivals {
    /// The stream whose messages are gathered.
    flow: Option<(CallId, Arc<Flow>)>,
    messages: VecDeque<Bytes>,
    wakers: Vec<Waker>,
}

impl Arrivals {
    /// Whether messages of this call are gathered.
    pub(super) fn are_of(&self, id: CallId) -> bool {
        self.flow.as_ref().is_some_and(|(of, _)| *of == id)
    }

    /// Gathers messages of another stream; those before them have been handed over.
    pub(super) fn begin(&mut self, id: CallId, flow: Arc<Flow>) {
        self.flow = Some((id, flow));
    }

    pub(super) fn add(&mut self, message: Bytes) {
        self.messages.push_back(message);
    }

    /// Hands over what was gathered, with nobody woken yet; gives the credit to send for it.
    pub(super) fn hand_over(&mut self) -> Result<Option<(CallId, Credit)>, Fault> {
        let Some((id, flow)) = self.flow.take() else {
            return Ok(None);
        };
        let pushed = flow.push(&mut self.messages);
        self.messages.clear();
        let (owed, waker) = pushed?;
        self.wakers.extend(waker);
        Ok((!owed.is_none()).then_some((id, owed)))
    }

    /// Has someone woken later, with the others.
    pub(super) fn wake_later(&mut self, waker: impl IntoIterator<Item = Waker>) {
        self.wakers.extend(waker);
    }

    /// Wakes whom there is something for; no lock may be held.
    pub(super) fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}
