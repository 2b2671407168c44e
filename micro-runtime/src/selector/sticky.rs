//! Which node a key was with last.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers nodes of keys: at most 4096, and those that were asked for last. Kept over all snapshots
/// of a service.
///
/// Keys are spread over sets of four, so that some sets are full before others: of 1000 keys about four
/// are forgotten for others, of 2000 one in thirty, of 4096 one in five.
pub(super) struct Memory(Box<[Set]>);

/// Keys whose numbers end alike share four places: each the upper part of the number, [`USED`], and the
/// node's name below.
type Set = [AtomicU64; 4];

const SETS: usize = 1024;
/// Whether the key was asked for since one of its set was last forgotten.
const USED: u64 = 1 << 32;
const NAME: u64 = USED - 1;

impl Memory {
    pub(super) fn recall(&self, key: u64) -> Option<u32> {
        let place = find(self.set(key)?, key)?;
        let kept = place.load(Ordering::Relaxed);
        // Stored where it is not yet, so that a key that is asked for much stays in all cores' caches.
        if kept & USED == 0 {
            place.fetch_or(USED, Ordering::Relaxed);
        }
        is_of(kept, key).then(|| lower(kept))
    }

    /// Remembers that `key` was with the node of this name. Of four keys the one that was told first is
    /// forgotten, but for those that were asked for since another one was.
    pub(super) fn note(&self, key: u64, name: u32) {
        let Some(set) = self.set(key) else {
            return;
        };
        let note = (key & !(USED | NAME)) | u64::from(name);
        if let Some(own) = find(set, key) {
            return own.store(note, Ordering::Relaxed);
        }
        let mut pushed = note;
        // Where all were asked for, none is spared the second time.
        for _ in 0..2 {
            for place in set {
                if place.load(Ordering::Relaxed) & USED != 0 {
                    place.fetch_and(!USED, Ordering::Relaxed);
                    continue;
                }
                pushed = place.swap(pushed, Ordering::Relaxed);
                if pushed == 0 {
                    return;
                }
            }
            if pushed != note {
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

fn find(set: &Set, key: u64) -> Option<&AtomicU64> {
    let mut places = set.iter();
    places.find(|place| is_of(place.load(Ordering::Relaxed), key))
}

/// Whether what is kept in a place is of this key.
fn is_of(kept: u64, key: u64) -> bool {
    kept != 0 && (kept ^ key) & !(USED | NAME) == 0
}

fn lower(number: u64) -> u32 {
    u32::try_from(number & NAME).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::hashing::number;

    /// All of one set.
    fn key(at: u64) -> u64 {
        (at + 1) << 33
    }

    #[test]
    fn the_keys_told_last_are_remembered() {
        let memory = Memory::default();
        assert_eq!(memory.recall(key(0)), None);
        for at in 0..4 {
            memory.note(key(at), 100 + lower(at));
        }
        memory.note(key(2), 7);
        memory.note(key(4), 5);
        assert_eq!(memory.recall(key(0)), None, "the first is forgotten");
        assert_eq!(memory.recall(key(1)), Some(101));
        assert_eq!(memory.recall(key(2)), Some(7));
        assert_eq!(memory.recall(key(3)), Some(103));
        assert_eq!(memory.recall(key(4)), Some(5));
        memory.note(key(5), 6);
        assert_eq!(memory.recall(key(5)), Some(6), "though all were asked for");
    }

    #[test]
    fn a_key_that_is_asked_for_stays_while_others_come_and_go() {
        let memory = Memory::default();
        memory.note(key(0), 7);
        for at in 1..100 {
            memory.note(key(at), 100);
            assert_eq!(memory.recall(key(0)), Some(7), "after {at} others");
        }
    }

    #[test]
    fn as_many_keys_are_remembered_as_is_said() {
        for (keys, forgotten) in [(1000, 0..=8), (2000, 40..=100), (4096, 700..=900)] {
            let memory = Memory::default();
            let numbers = (0..keys).map(|at| number(&format!("user-{at}")));
            let numbers: Vec<_> = numbers.collect();
            numbers.iter().for_each(|key| memory.note(*key, 1));
            let lost = numbers.iter().filter(|key| memory.recall(**key).is_none());
            let lost = lost.count();
            assert!(forgotten.contains(&lost), "{lost} of {keys}");
        }
    }
}
