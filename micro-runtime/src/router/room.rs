//! Room for what is held of messages that are not all there yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes at most, of all who hold some: of a server, or of one connection within it.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    held: AtomicUsize,
    within: Option<Arc<Room>>,
}

impl Room {
    /// Room for `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            held: AtomicUsize::new(0),
            within: None,
        }
    }

    /// Room for `most` of these bytes.
    pub(crate) fn part(self: &Arc<Self>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            within: Some(self.clone()),
            ..Self::new(most)
        })
    }

    /// Holds nothing yet.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        Held {
            room: self.clone(),
            bytes: 0,
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.most
            && self.within.as_ref().is_none_or(|room| room.take(bytes));
        if !fits {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(room) = &self.within {
            room.give_back(bytes);
        }
    }
}

/// What one message takes of a room; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Held {
    /// Holds `bytes` from now on; says whether there was room for them. Where not, it holds what it
    /// did.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.room.take(bytes - self.bytes) {
                return false;
            }
        } else if bytes < self.bytes {
            self.room.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_itself_and_by_the_whole() {
        let whole = Arc::new(Room::new(100));
        let (one, other) = (whole.part(60), whole.part(60));
        let (mut a, mut b, mut c) = (one.hold(), one.hold(), other.hold());
        assert!(a.set(40));
        assert!(!b.set(30), "over the part");
        assert!(b.set(20));
        assert!(!c.set(50), "over the whole");
        assert!(c.set(40));
        drop(a);
        assert!(c.set(60) && b.set(40));
        assert!(b.set(0) && c.set(0));
        let held = |room: &Room| room.held.load(Ordering::Relaxed);
        assert_eq!((held(&whole), held(&one), held(&other)), (0, 0, 0));
    }
}
