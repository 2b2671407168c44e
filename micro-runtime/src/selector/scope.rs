//! What all choices of one call have in common.

use std::sync::Arc;

use super::Strategy;
use super::hashing::{nth, number};
use super::pick::{Affinity, Pick};
use crate::registry::{NodeEntry, Nodes};

/// A call, the nodes of its service, and how its client looks at them.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) nodes: &'a Nodes,
    pub(super) pick: &'a Pick<'a>,
    /// The call's key.
    pub(super) key: Option<&'a str>,
    pub(super) strategy: &'a Strategy,
    /// How long a node that comes is spared, in milliseconds.
    pub(super) window: u64,
}

impl Scope<'_> {
    /// A random number that nobody else gets.
    pub(super) fn random(&self) -> u64 {
        let turns = &self.nodes.turns;
        turns.random(turns.take())
    }

    /// The number of what keeps the call with a node; `None` where the call has no such thing.
    pub(super) fn affinity(&self, affinity: &Affinity) -> Option<u64> {
        match affinity {
            Affinity::Key => self.key.map(number),
            Affinity::Metadata(key) => self.pick.metadata?.get(key).map(number),
            Affinity::Caller => Some(self.caller()),
        }
    }

    pub(super) fn caller(&self) -> u64 {
        self.nodes.turns.own()
    }

    /// The number that decides on which side of a split the call is: the same for the same key, or for
    /// what the strategy keeps with a node where there is none.
    pub(super) fn side(&self, of: u64) -> u64 {
        let own = self.key.map(number);
        match own.or_else(|| self.strategy.affinity(self)) {
            Some(own) => nth(own, of),
            None => self.random(),
        }
    }

    /// Whether nothing speaks against the node.
    pub(super) fn is_free(&self, entry: &NodeEntry) -> bool {
        !entry.is_ejected(self.pick.now) && !self.pick.has_tried(entry)
    }

    pub(super) fn warmth(&self, entry: &NodeEntry) -> f32 {
        entry.warmth(self.pick.now, self.window)
    }

    /// The better of two nodes: the one where a call waits less, as far as is known.
    pub(super) fn better<'n>(
        &self,
        one: &'n Arc<NodeEntry>,
        other: &'n Arc<NodeEntry>,
    ) -> &'n Arc<NodeEntry> {
        let now = self.pick.now;
        // A node that nobody has measured is taken to be as fast as the other, neither better nor
        // worse: its calls in flight tell before their end where it is slow.
        let latencies = one.latency_nanos(now).zip(other.latency_nanos(now));
        let (one_takes, other_takes) = latencies.unwrap_or((1.0, 1.0));
        let cost = |entry, takes: f32| takes * self.queue(entry);
        match cost(other, other_takes) < cost(one, one_takes) {
            true => other,
            false => one,
        }
    }

    /// How many calls there are on a node with one more. Those that a node has which is not warm count
    /// more, so that it has fewer than others.
    pub(super) fn queue(&self, entry: &NodeEntry) -> f32 {
        entry.in_flight() as f32 / self.warmth(entry) + 1.0
    }
}
