//! Metadata that is said again and again: a connection remembers pairs, and a number stands for one.
//!
//! The sender decides what is remembered, within what the reader has told that it holds; nothing is
//! forgotten, so that both always agree. Only whole keys and values are compared: what one caller sends
//! shows in no other's bytes but where they are equal.

use super::fields::write_varint;
use super::wire::{Hello, PAIR};
use crate::metadata::{Metadata, Text};

/// A pair that is longer than this is not remembered.
const LONGEST: usize = 4 * 1024;

/// How a pair is said, by the number that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// In full; where it is `kept`, it is the next entry.
    New { kept: bool },
    /// An entry.
    Pair(u32),
    /// An entry's key, with another value.
    Key(u32),
}

impl Said {
    pub(super) fn of(number: u32) -> Self {
        match number.checked_sub(2) {
            None => Self::New { kept: number == 1 },
            Some(entry) if entry % 2 == 0 => Self::Pair(entry / 2),
            Some(entry) => Self::Key(entry / 2),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let number = match self {
            Self::New { kept } => u32::from(kept),
            Self::Pair(entry) => 2 + entry * 2,
            Self::Key(entry) => 3 + entry * 2,
        };
        write_varint(number, out);
    }
}

/// What a reader remembers.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<(Text, Text)>,
    bytes: usize,
}

impl Known {
    pub(super) fn get(&self, entry: u32) -> Option<&(Text, Text)> {
        self.entries.get(entry as usize)
    }

    /// Remembers a pair; says whether there was room.
    pub(super) fn keep(&mut self, key: &Text, value: &Text, limits: &Hello) -> bool {
        self.bytes += size(key, value);
        if self.entries.len() >= limits.entries as usize || self.bytes > limits.entry_bytes as usize
        {
            return false;
        }
        self.entries.push((copy(key), copy(value)));
        true
    }
}

/// What a sender has had its reader remember.
#[derive(Debug)]
pub(super) struct Told {
    /// In the order in which they were first said.
    keys: Vec<Key>,
    /// The same sorted.
    sorted: Vec<usize>,
    /// The key that is tried first: callers send the same ones in the same order.
    next: usize,
    entries: u32,
    bytes: usize,
    most: (u32, usize),
}

#[derive(Debug)]
struct Key {
    key: Text,
    /// The latest entry with it.
    value: Text,
    entry: u32,
    /// The mark of the last value that was said in full.
    other: u64,
}

impl Told {
    /// Nothing yet, for a reader with these limits.
    pub(super) fn new(theirs: &Hello) -> Self {
        Self {
            keys: Vec::new(),
            sorted: Vec::new(),
            next: 0,
            entries: 0,
            bytes: 0,
            most: (theirs.entries, theirs.entry_bytes as usize),
        }
    }

    /// Writes a block that the peer [takes](Hello::takes).
    ///
    /// A pair is remembered when its key is new, or when the value comes a second time in turn.
    pub(super) fn write(&mut self, metadata: &Metadata, out: &mut Vec<u8>) {
        // As many as the peer takes, which is a number of 32 bits.
        write_varint(metadata.len() as u32, out);
        self.next = 0;
        for (key, value) in metadata.iter_text() {
            self.write_pair(key, value, out);
        }
    }

    fn write_pair(&mut self, key: &Text, value: &Text, out: &mut Vec<u8>) {
        let room = self.has_room(key, value);
        match self.find(key) {
            Ok(at) => {
                self.next = at + 1;
                let Some(known) = self.keys.get_mut(at) else {
                    return;
                };
                if known.value == *value {
                    return Said::Pair(known.entry).write(out);
                }
                let mark = mark(value);
                if !(std::mem::replace(&mut known.other, mark) == mark && room) {
                    Said::Key(known.entry).write(out);
                    return write_text(value, out);
                }
                (known.value, known.entry) = (copy(value), self.entries);
                self.remember(key, value);
            }
            Err(sorted_at) if room => {
                self.next = self.keys.len() + 1;
                self.sorted.insert(sorted_at, self.keys.len());
                self.keys.push(Key {
                    key: copy(key),
                    value: copy(value),
                    entry: self.entries,
                    other: 0,
                });
                self.remember(key, value);
            }
            Err(_) => {}
        }
        Said::New { kept: room }.write(out);
        write_text(key, out);
        write_text(value, out);
    }

    fn has_room(&self, key: &Text, value: &Text) -> bool {
        let size = size(key, value);
        let (entries, bytes) = self.most;
        size <= LONGEST && self.entries < entries && self.bytes + size <= bytes
    }

    fn remember(&mut self, key: &Text, value: &Text) {
        self.entries += 1;
        self.bytes += size(key, value);
    }

    /// Where the key is among those that were said, or would be among the sorted ones.
    fn find(&self, key: &Text) -> Result<usize, usize> {
        if self
            .keys
            .get(self.next)
            .is_some_and(|next| next.key == *key)
        {
            return Ok(self.next);
        }
        let of = |at: &usize| self.keys.get(*at).map(|known| known.key.as_bytes());
        self.sorted
            .binary_search_by(|at| of(at).cmp(&Some(key.as_bytes())))
            .map(|at| self.sorted.get(at).copied().unwrap_or_default())
    }
}

fn write_text(text: &Text, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // A block that the peer takes is shorter than 2³² bytes.
    write_varint(bytes.len() as u32, out);
    out.extend_from_slice(bytes);
}

fn size(key: &Text, value: &Text) -> usize {
    PAIR + key.as_bytes().len() + value.as_bytes().len()
}

/// A copy: a slice would keep the block that it was read into.
fn copy(text: &Text) -> Text {
    Text::from(text.as_str().to_owned())
}

/// Tells most values apart, by their ends.
fn mark(value: &Text) -> u64 {
    let bytes = value.as_bytes();
    let end = bytes.len().saturating_sub(32);
    let some = bytes.iter().take(32).chain(bytes.iter().skip(end.max(32)));
    some.fold(0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64, |mark, byte| {
        (mark ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
