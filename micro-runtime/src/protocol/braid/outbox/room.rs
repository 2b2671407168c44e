//! Who waits: for room in the queue, or for a long message to be gone.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context as Task, Poll, ready};

use tokio::sync::futures::OwnedNotified;

use super::super::pieces::Parts;
use super::super::wire::CallId;
use super::{Beside, Ends, HIGH_WATER, Outbox};

/// A stream's place among those that wait for room.
#[derive(Default)]
pub(in super::super) struct RoomWait(Option<Pin<Box<OwnedNotified>>>);

impl<S: Beside> Outbox<S> {
    /// Waits until the queue is below the high-water mark; says whether the connection goes on.
    /// Cancel safe.
    pub(in super::super) async fn room(&self) -> bool {
        self.room_where(|_| true).await
    }

    /// As [`room`](Outbox::room), until there is room for a message of `length` bytes too.
    pub(in super::super) async fn room_for(&self, length: usize) -> bool {
        self.room_where(|parts| parts.may_begin(length)).await
    }

    /// As [`room`](Outbox::room), until nothing is left of messages of this call too.
    pub(in super::super) async fn sent(&self, id: CallId) -> bool {
        self.room_where(|parts| !parts.has(id)).await
    }

    async fn room_where(&self, may: impl Fn(&Parts) -> bool) -> bool {
        loop {
            let mut emptied = pin!(self.room.notified());
            emptied.as_mut().enable();
            {
                let mut out = self.lock();
                let goes_on = out.ends == Ends::No;
                let room = out.queue.len() < HIGH_WATER && may(out.beside.parts());
                if !goes_on || room {
                    return goes_on;
                }
            }
            emptied.await;
        }
    }

    /// As [`room`](Outbox::room), and where `part` is named until nothing is left of its messages;
    /// `waiting` keeps the place between polls.
    pub(in super::super) fn poll_room(
        &self,
        part: Option<CallId>,
        waiting: &mut RoomWait,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        loop {
            if !self.is_full() && part.is_none_or(|id| !self.has_part(id)) {
                waiting.0 = None;
                return Poll::Ready(());
            }
            match &mut waiting.0 {
                // Made before the queue is looked at again, so that no emptying is missed.
                None => waiting.0 = Some(Box::pin(self.room.clone().notified_owned())),
                Some(emptied) => {
                    ready!(emptied.as_mut().poll(task));
                    waiting.0 = None;
                }
            }
        }
    }

    pub(in super::super) fn is_full(&self) -> bool {
        if !self.full.load(Ordering::Acquire) {
            return false;
        }
        let out = self.lock();
        out.ends == Ends::No && out.queue.len() >= HIGH_WATER
    }

    fn has_part(&self, id: CallId) -> bool {
        let mut out = self.lock();
        out.ends == Ends::No && out.beside.parts().has(id)
    }

    /// Drops what is left of messages of this call.
    pub(in super::super) fn forget(&self, id: CallId) {
        let mut out = self.lock();
        out.beside.parts().remove(id);
        let moved = out.beside.parts().take_moved();
        drop(out);
        if moved {
            self.room.notify_waiters();
        }
    }
}
