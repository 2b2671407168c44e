//! Two parts of a list, between which a share of the calls decides: a canary's, and a zone's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::Filter;
use super::hashing::share;
use super::subset::{Listed, Part, Spare};
use crate::error::why::Zone;
use crate::metadata::Text;
use crate::registry::NodeEntry;

/// A list in two parts. Kept with the list.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) filter: Filter,
    /// What the filter lets pass.
    pub(super) inside: Part,
    pub(super) outside: Part,
    /// How many inside can be called, and when that was counted: milliseconds above, 32 bits each.
    counted: AtomicU64,
    pub(super) next: OnceLock<Box<Split>>,
}

/// How old the count of a longer list may be, in milliseconds.
const COUNT: u64 = 100;
/// Lists up to this length are counted each time.
const SHORT: usize = 16;

impl Split {
    pub(super) fn of(list: &[Arc<NodeEntry>], filter: &Filter) -> Self {
        let mut inside = list.to_vec();
        filter.apply(&mut inside);
        // Filters keep the order.
        let mut passed = inside.iter().peekable();
        let outside = list.iter().filter(|entry| {
            let is_inside = passed.peek().is_some_and(|next| Arc::ptr_eq(next, entry));
            if is_inside {
                passed.next();
            }
            !is_inside
        });
        let part = |list: Vec<_>| Part {
            list: list.into(),
            ..Part::default()
        };
        Self {
            filter: filter.clone(),
            outside: part(outside.cloned().collect()),
            inside: part(inside),
            counted: AtomicU64::new(u64::MAX),
            next: OnceLock::new(),
        }
    }

    /// How many of the nodes inside are not left alone at `now`.
    fn callable(&self, now: u64) -> u64 {
        let list = &self.inside.list;
        let count = || list.iter().filter(|entry| !entry.is_ejected(now)).count() as u64;
        if list.len() <= SHORT {
            return count();
        }
        let counted = self.counted.load(Ordering::Relaxed);
        let now = now & u64::from(u32::MAX);
        if counted != u64::MAX && now.wrapping_sub(counted >> 32) < COUNT {
            counted & u64::from(u32::MAX)
        } else {
            let callable = count();
            self.counted.store(now << 32 | callable, Ordering::Relaxed);
            callable
        }
    }

    /// The share of the nodes inside that are not left alone at `now`.
    fn healthy(&self, now: u64) -> f64 {
        self.callable(now) as f64 / self.inside.list.len().max(1) as f64
    }

    /// Whether a node of the list is inside.
    fn has(&self, entry: &NodeEntry) -> bool {
        match self.filter.looks_at_one() && !self.filter.is_own() {
            true => self.filter.passes(entry),
            // Filters are asked once a snapshot.
            false => self.inside.list.iter().any(|inside| inside.is_same(entry)),
        }
    }

    /// The part that a call goes to whose chance `number` is, where `part` of the calls go inside.
    fn choose(&self, part: f64, number: u64) -> Listed<'_> {
        let inside =
            self.outside.list.is_empty() || (!self.inside.list.is_empty() && share(number) < part);
        if inside {
            self.inside.listed()
        } else {
            self.outside.listed()
        }
    }
}

/// A share of the calls for a few nodes: for those of a new version, or with a label.
///
/// Calls with a key stay on one side: a key that has met the canary meets it again. The other calls
/// go to the other nodes; where there are none on one side, or none there can be called, to those that
/// there are.
#[derive(Clone, Debug)]
pub struct Canary {
    filter: Filter,
    share: f64,
}

impl Canary {
    /// `share` of the calls, from 0 to 1, for the nodes that `filter` lets pass.
    pub fn new(filter: impl Into<Filter>, share: f64) -> Self {
        Self {
            filter: filter.into(),
            share: share.clamp(0.0, 1.0),
        }
    }

    pub(super) fn narrow<'a>(
        &self,
        listed: Listed<'a>,
        spare: &'a Spare,
        number: u64,
    ) -> Listed<'a> {
        let split = listed.split(&self.filter, spare);
        split.choose(self.share, number)
    }

    /// Whether a node that was chosen is one of the canary's, and the part that it is in.
    pub(super) fn side<'a>(
        &self,
        listed: Listed<'a>,
        spare: &'a Spare,
        chosen: &NodeEntry,
    ) -> (bool, Listed<'a>) {
        let split = listed.split(&self.filter, spare);
        let inside = split.has(chosen);
        let part = match inside {
            true => &split.inside,
            false => &split.outside,
        };
        (inside, part.listed())
    }
}

/// Calls for nodes that are near: for those whose metadata names the caller's own zone.
///
/// While enough of the zone's nodes can be called, all calls stay in it. Where fewer can than the
/// threshold says, calls spill over, as many as the zone has too few nodes for, and are spread over
/// the nodes of all other zones. Where the zone has none at all, all calls go to the others.
#[derive(Clone, Debug)]
pub struct Locality {
    zone: Text,
    filter: Filter,
    threshold: f64,
}

impl Locality {
    /// Prefers nodes whose metadata has `zone` under `zone`.
    pub fn zone(zone: impl Into<Text>) -> Self {
        Self::label("zone", zone)
    }

    /// Prefers nodes whose metadata has `value` under `key`.
    pub fn label(key: impl Into<Arc<str>>, value: impl Into<Text>) -> Self {
        let zone = value.into();
        Self {
            filter: Filter::label(key, zone.as_str()),
            zone,
            threshold: 0.7,
        }
    }

    /// Calls spill over where less than this share of the zone's nodes can be called, from 0 to 1.
    /// 0.7: a zone is thought to bear one node in three less.
    pub fn threshold(mut self, share: f64) -> Self {
        self.threshold = share.clamp(0.0, 1.0);
        self
    }

    pub(super) fn narrow<'a>(
        &self,
        listed: Listed<'a>,
        spare: &'a Spare,
        (number, now): (u64, u64),
    ) -> Listed<'a> {
        let split = listed.split(&self.filter, spare);
        let healthy = split.healthy(now);
        let part = match self.spills(healthy) {
            true => healthy / self.threshold,
            false => 1.0,
        };
        split.choose(part, number)
    }

    /// Whether calls spill over where this share of the zone's nodes can be called.
    fn spills(&self, healthy: f64) -> bool {
        healthy < self.threshold
    }

    /// How a node that was chosen of the list stands to the zone.
    pub(super) fn side(&self, listed: Listed<'_>, chosen: &NodeEntry, now: u64) -> Zone {
        let spare = Spare::new();
        let split = listed.split(&self.filter, &spare);
        Zone {
            name: self.zone.clone(),
            inside: split.has(chosen),
            known: split.inside.list.len(),
            callable: usize::try_from(split.callable(now)).unwrap_or(usize::MAX),
            spills: self.spills(split.healthy(now)),
        }
    }
}
