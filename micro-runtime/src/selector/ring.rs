//! Which node a key belongs to: the same one as long as it is there, and few others where it goes.
//!
//! Each node is a point on a ring of numbers. A key looks at [`PROBES`] places of the ring, and belongs
//! to the node whose point comes soonest after any of them. With one place the node before a wide gap
//! would have many times the usual share; with eight none has more than nine eighths of the mean
//! (multi-probe consistent hashing, Appleton and O'Reilly 2015). Where a node is out, the point after
//! it counts: the keys of the others stay where they are.

use std::sync::Arc;

use super::hashing::{nth, number};
use crate::registry::NodeEntry;

/// The points of a list of nodes, in order. Costs 16 bytes a node.
#[derive(Debug)]
pub(super) struct Ring {
    points: Box<[u64]>,
    /// The place in the list of each point's node.
    places: Box<[u32]>,
    /// Where the points of each part of the ring begin: there are as many parts as points, about.
    parts: Box<[u32]>,
    shift: u32,
}

/// How many places a key looks at.
const PROBES: u64 = 8;

impl Ring {
    pub(super) fn of(list: &[Arc<NodeEntry>]) -> Self {
        let points = list.iter().zip(0_u32..);
        let mut points: Vec<_> = points.map(|(node, at)| (number(node.id()), at)).collect();
        points.sort_unstable();
        let bits = points.len().next_power_of_two().trailing_zeros().max(1);
        let shift = 64 - bits;
        let mut parts = Vec::with_capacity(1 << bits);
        let mut at = 0;
        for part in 0..1_u64 << bits {
            while points
                .get(at)
                .is_some_and(|(point, _)| point >> shift < part)
            {
                at += 1;
            }
            parts.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Self {
            points: points.iter().map(|(point, _)| *point).collect(),
            places: points.iter().map(|(_, place)| *place).collect(),
            parts: parts.into(),
            shift,
        }
    }

    /// The place in the list of the node that `key` belongs to among those that `fits`, as far as the
    /// `reach` points after each place that it looks at.
    pub(super) fn find(
        &self,
        key: u64,
        reach: usize,
        fits: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.points.is_empty() {
            return None;
        }
        let mut nearest = (u64::MAX, 0);
        for probe in 0..PROBES {
            let place = nth(key, probe);
            let at = self.after(place);
            nearest = nearest.min((self.points[at].wrapping_sub(place), at));
        }
        let first = self.place(nearest.1);
        if fits(first) {
            return Some(first);
        }
        self.beyond(key, reach, fits)
    }

    /// As [`find`](Self::find), where the nearest node does not fit.
    #[cold]
    fn beyond(&self, key: u64, reach: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let mut nearest: Option<(u64, usize)> = None;
        for probe in 0..PROBES {
            let place = nth(key, probe);
            let first = self.after(place);
            for step in 0..self.points.len().min(reach) {
                let at = (first + step) % self.points.len();
                let distance = self.points[at].wrapping_sub(place);
                if nearest.is_some_and(|(nearest, _)| nearest <= distance) {
                    break;
                }
                if fits(self.place(at)) {
                    nearest = Some((distance, self.place(at)));
                    break;
                }
            }
        }
        nearest.map(|(_, place)| place)
    }

    /// The place in the list of the node that [`name`](Self::name) gives this name to.
    pub(super) fn named(&self, name: u32) -> Option<usize> {
        if self.points.is_empty() {
            return None;
        }
        let at = self.after(u64::from(name) << 32);
        (short(self.points[at]) == name).then(|| self.place(at))
    }

    /// A short name of a node, the same in all rings: two nodes with one name are rare, and then the
    /// first on the ring has it.
    pub(super) fn name(node: &NodeEntry) -> u32 {
        short(number(node.id()))
    }

    /// The first point at `place` or after it.
    fn after(&self, place: u64) -> usize {
        let part = usize::try_from(place >> self.shift).unwrap_or(0);
        let mut at = self.parts[part] as usize;
        while self.points.get(at).is_some_and(|point| *point < place) {
            at += 1;
        }
        if at == self.points.len() { 0 } else { at }
    }

    fn place(&self, at: usize) -> usize {
        self.places[at] as usize
    }
}

fn short(point: u64) -> u32 {
    u32::try_from(point >> 32).unwrap_or_default()
}
