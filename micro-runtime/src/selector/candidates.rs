//! The nodes that a call may go to where something speaks against some of them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Filter;
use super::pick::Pick;
use super::subset::Listed;
use crate::registry::NodeEntry;

/// The nodes that a call may go to: those of the best rank that any has.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    /// Those that pass all filters but the call's own functions.
    pub(super) listed: Listed<'a>,
    /// Among them the call's own functions; the others are done with.
    own: &'a [Filter],
    pick: &'a Pick<'a>,
    now: u64,
    /// The best rank that any node has.
    rank: Rank,
    pub(super) count: usize,
}

/// What speaks against a node.
type Rank = u8;
/// It is left alone.
const EJECTED: Rank = 2;
/// The call was there before.
const TRIED: Rank = 1;

impl<'a> Candidates<'a> {
    /// Those at `now`, which may be another time than the call's.
    pub(super) fn of(listed: Listed<'a>, own: &'a [Filter], pick: &'a Pick<'a>, now: u64) -> Self {
        let mut found = Self {
            listed,
            own,
            pick,
            now,
            rank: Rank::MAX,
            count: 0,
        };
        for entry in listed.list {
            let Some(rank) = found.rank_of(entry) else {
                continue;
            };
            match rank.cmp(&found.rank) {
                Ordering::Greater => {}
                Ordering::Equal => found.count += 1,
                Ordering::Less => (found.rank, found.count) = (rank, 1),
            }
        }
        found
    }

    fn rank_of(&self, entry: &NodeEntry) -> Option<Rank> {
        let mut own = self.own.iter().filter(|filter| filter.is_own());
        own.all(|filter| filter.passes(entry)).then(|| {
            let tried = self.pick.has_tried(entry);
            EJECTED * Rank::from(entry.is_ejected(self.now)) + TRIED * Rank::from(tried)
        })
    }

    /// Whether nothing speaks against the best of them.
    pub(super) fn are_free(&self) -> bool {
        self.rank == 0
    }

    /// Whether even the best are left alone.
    pub(super) fn are_ejected(&self) -> bool {
        self.rank >= EJECTED
    }

    /// Whether there were some when they were counted, and are none now.
    pub(super) fn are_lost(&self) -> bool {
        self.count > 0 && self.iter().next().is_none()
    }

    /// Whether the node is one of them: with the best rank, or better. Other calls restore and eject
    /// nodes meanwhile, so there may be more or fewer than counted.
    pub(super) fn have(&self, entry: &NodeEntry) -> bool {
        self.rank_of(entry).is_some_and(|rank| rank <= self.rank)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Arc<NodeEntry>> + Clone {
        self.listed.list.iter().filter(|entry| self.have(entry))
    }

    /// The one at this place among them, or the last.
    pub(super) fn nth(&self, place: usize) -> Option<&'a Arc<NodeEntry>> {
        let mut chosen = None;
        // There may be fewer than counted.
        for (at, entry) in self.iter().enumerate() {
            chosen = Some(entry);
            if at == place {
                break;
            }
        }
        chosen
    }
}
