//! What is kept for each of many keys: a bounded number of them, the longest unused forgotten first.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// States by keys of two parts.
///
/// Kept in two generations: what is asked for moves to the recent one, and when that is full it
/// becomes the older one, whose own are forgotten. So a look-up costs no bookkeeping, and the half
/// that was used last is always there.
pub(super) struct Keyed<S> {
    /// Apart, so that processors seldom wait for each other.
    shards: Box<[Mutex<Shard<S>>]>,
    /// So many in each generation of a shard.
    most: usize,
}

struct Shard<S> {
    recent: BTreeMap<Key, Arc<S>>,
    older: BTreeMap<Key, Arc<S>>,
}

impl<S> Keyed<S> {
    /// At most `most` states, and no fewer than two.
    pub(super) fn new(most: usize) -> Self {
        let shards = if most >= WORTH_SHARDS { SHARDS } else { 1 };
        let empty = || Shard {
            recent: BTreeMap::new(),
            older: BTreeMap::new(),
        };
        Self {
            shards: (0..shards).map(|_| Mutex::new(empty())).collect(),
            most: (most / shards / 2).max(1),
        }
    }

    /// The state of a key, which `make` makes where there is none.
    pub(super) fn get(&self, first: &str, second: &str, make: impl FnOnce() -> S) -> Arc<S> {
        let key: &dyn Pair = &(first, second);
        let mut shard = self.shard(first, second);
        if let Some(state) = shard.recent.get(key) {
            return state.clone();
        }
        let state = match shard.older.remove(key) {
            Some(state) => state,
            None => Arc::new(make()),
        };
        let forgotten = if shard.recent.len() >= self.most {
            let full = mem::take(&mut shard.recent);
            mem::replace(&mut shard.older, full)
        } else {
            BTreeMap::new()
        };
        let key = Key(first.into(), second.into());
        shard.recent.insert(key, state.clone());
        drop(shard);
        // Not under the lock: there may be many.
        drop(forgotten);
        state
    }

    /// All states, by key.
    pub(super) fn all(&self) -> Vec<((String, String), Arc<S>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            for (Key(first, second), state) in shard.recent.iter().chain(&shard.older) {
                let key = (first.clone().into(), second.clone().into());
                all.push((key, state.clone()));
            }
        }
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let of_shard = |shard: MutexGuard<'_, Shard<S>>| shard.recent.len() + shard.older.len();
        self.shards.iter().map(|shard| of_shard(lock(shard))).sum()
    }

    fn shard(&self, first: &str, second: &str) -> MutexGuard<'_, Shard<S>> {
        let at = spread(first, second) % self.shards.len();
        lock(self.shards.get(at).unwrap_or(&self.shards[0]))
    }
}

/// Below so many states a single lock does.
const WORTH_SHARDS: usize = 1024;
const SHARDS: usize = 16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// FNV-1a: it only spreads keys over shards, so who makes them collide slows down nobody's look-up.
fn spread(first: &str, second: &str) -> usize {
    let bytes = first.bytes().chain([0]).chain(second.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as usize
}

struct Key(Box<str>, Box<str>);

/// Keys as they are kept and as they are looked for, without a copy.
trait Pair {
    fn pair(&self) -> (&str, &str);
}

impl Pair for Key {
    fn pair(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl Pair for (&str, &str) {
    fn pair(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Pair + 'a> for Key {
    fn borrow(&self) -> &(dyn Pair + 'a) {
        self
    }
}

impl Ord for dyn Pair + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pair().cmp(&other.pair())
    }
}

impl PartialOrd for dyn Pair + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Pair + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for dyn Pair + '_ {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pair().cmp(&other.pair())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for Key {}

impl<S> fmt::Debug for Keyed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("states", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_has_the_same_state_and_another_another() {
        let keyed = Keyed::new(10_000);
        let one = keyed.get("a", "b", || 1);
        assert!(Arc::ptr_eq(&one, &keyed.get("a", "b", || 2)));
        assert_eq!(*keyed.get("ab", "", || 3), 3);
        assert_eq!((*one, keyed.len()), (1, 2));
    }

    #[test]
    fn there_are_never_more_than_so_many_and_those_in_use_stay() {
        for most in [2, 7, 100, 1_024, 10_000] {
            let keyed = Keyed::new(most);
            let kept = keyed.get("kept", "", || usize::MAX);
            for number in 0..3 * most {
                keyed.get("other", &number.to_string(), || number);
                assert!(keyed.len() <= most, "{most}: {}", keyed.len());
                assert!(Arc::ptr_eq(&kept, &keyed.get("kept", "", || 0)), "{most}");
            }
        }
    }
}
