//! Which node a key was with last.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers nodes of keys: at most 4096, and those that were told last. Kept over all snapshots of a
/// service.
pub(super) struct Memory(Box<[Set]>);

/// Keys whose numbers end alike share four places: each the number's upper half and the node's name.
type Set = [AtomicU64; 4];

const SETS: usize = 1024;

impl Memory {
    pub(super) fn recall(&self, key: u64) -> Option<u32> {
        let set = self.set(key)?;
        let kept = set.iter().map(|place| place.load(Ordering::Relaxed));
        let mut of_key = kept.filter(|kept| *kept != 0 && upper(*kept) == upper(key));
        of_key.next().map(lower)
    }

    /// Remembers that `key` was with the node of this name. The key that was told first of four is
    /// forgotten.
    pub(super) fn note(&self, key: u64, name: u32) {
        let Some(set) = self.set(key) else {
            return;
        };
        let note = u64::from(upper(key)) << 32 | u64::from(name);
        let own = set
            .iter()
            .find(|place| upper(place.load(Ordering::Relaxed)) == upper(key));
        if let Some(own) = own {
            return own.store(note, Ordering::Relaxed);
        }
        let mut pushed = note;
        for place in set {
            pushed = place.swap(pushed, Ordering::Relaxed);
            if pushed == 0 {
                return;
            }
        }
    }

    fn set(&self, key: u64) -> Option<&Set> {
        self.0.get(lower(key) as usize % SETS)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self((0..SETS).map(|_| Set::default()).collect())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

fn upper(number: u64) -> u32 {
    u32::try_from(number >> 32).unwrap_or_default()
}

fn lower(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_told_last_are_remembered() {
        let memory = Memory::default();
        // All of one set.
        let key = |at: u64| (at + 1) << 32;
        assert_eq!(memory.recall(key(0)), None);
        for at in 0..4 {
            memory.note(key(at), 100 + lower(at));
        }
        memory.note(key(2), 7);
        assert_eq!(memory.recall(key(0)), Some(100));
        assert_eq!(memory.recall(key(2)), Some(7));
        memory.note(key(4), 5);
        assert_eq!(memory.recall(key(0)), None, "the first is forgotten");
        assert_eq!(memory.recall(key(1)), Some(101));
        assert_eq!(memory.recall(key(4)), Some(5));
    }
}
