//! Draws nodes by the weights that their metadata names, at the same cost for any number of them.

use std::sync::Arc;

use super::hashing::{place, share};
use crate::registry::{NodeEntry, mix};

/// A node's weight: its metadata's `weight`, a number from 0; 1 where that says nothing, or nothing
/// that can be read. More than a million counts as a million.
pub(super) fn weight(node: &NodeEntry) -> f64 {
    let told = node
        .metadata(WEIGHT)
        .and_then(|told| told.trim().parse().ok());
    match told {
        Some(weight) if weight >= 0.0 => f64::min(weight, 1e6),
        _ => 1.0,
    }
}

const WEIGHT: &str = "weight";

/// Walker's table: each column belongs to a node, and its upper part to another one.
#[derive(Debug)]
pub(super) struct Shares(Box<[Column]>);

#[derive(Clone, Copy, Debug)]
struct Column {
    /// The part of the column that is the node's own, of 2^32.
    own: u32,
    other: u32,
}

impl Shares {
    /// Of a list of nodes. Nodes without weight are not drawn, unless none has any.
    pub(super) fn of(list: &[Arc<NodeEntry>]) -> Self {
        let mut weights: Vec<f64> = list.iter().map(|node| weight(node)).collect();
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            weights.fill(1.0);
        }
        let total: f64 = weights.iter().sum();
        let mean = total / weights.len().max(1) as f64;
        for weight in &mut weights {
            *weight /= mean;
        }
        let places = 0..u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut columns: Vec<_> = places
            .clone()
            .map(|other| Column {
                own: u32::MAX,
                other,
            })
            .collect();
        let (mut poor, mut rich): (Vec<_>, Vec<_>) =
            places.partition(|at| weights[*at as usize] < 1.0);
        // What a poor node leaves of its column goes to a rich one.
        while let (Some(low), Some(high)) = (poor.pop(), rich.last().copied()) {
            let (low, high_at) = (low as usize, high as usize);
            columns[low] = Column {
                own: (weights[low] * TOP) as u32,
                other: high,
            };
            weights[high_at] -= 1.0 - weights[low];
            if weights[high_at] < 1.0 {
                rich.pop();
                poor.push(high);
            }
        }
        Self(columns.into())
    }

    /// The place of the node that `random` draws.
    pub(super) fn draw(&self, random: u64) -> usize {
        let at = place(random, self.0.len());
        let Some(column) = self.0.get(at) else {
            return 0;
        };
        let height = mix(random) >> 32;
        if height < u64::from(column.own) || column.own == u32::MAX {
            at
        } else {
            column.other as usize
        }
    }
}

const TOP: f64 = 4_294_967_295.0;

/// Draws by weight among nodes that were not laid out before; each alike where none has any.
pub(super) fn draw<'a>(
    mut nodes: impl Iterator<Item = &'a Arc<NodeEntry>> + Clone,
    random: u64,
) -> Option<&'a Arc<NodeEntry>> {
    let total: f64 = nodes.clone().map(|node| weight(node)).sum();
    if total <= 0.0 {
        let at = place(random, nodes.clone().count());
        return nodes.nth(at);
    }
    let mut left = share(random) * total;
    let mut chosen = None;
    for node in nodes {
        let weight = weight(node);
        if chosen.is_none() || weight > 0.0 {
            chosen = Some(node);
        }
        if left < weight {
            break;
        }
        left -= weight;
    }
    chosen
}
