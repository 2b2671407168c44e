//! Choices that keep a call with the node of its key.

use std::sync::Arc;

use super::ring::Ring;
use super::scope::Scope;
use super::sticky::Memory;
use super::subset::Listed;
use crate::registry::{NodeEntry, Standing};

/// How many calls more than the mean a node may have before its keys go on to the next, in
/// percent: the bound of Mirrokni, Thorup and Zadimoghaddam 2018.
const BOUND: u64 = 125;
/// How far it is looked for a node below the bound.
const REACH: usize = 64;

/// The node that `key` belongs to among those that `fits`; another one while it has a quarter more
/// calls than the mean.
pub(super) fn bounded<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
    key: u64,
    fits: impl Fn(&NodeEntry) -> bool,
) -> Option<&'a Arc<NodeEntry>> {
    let (list, ring) = (listed.list, listed.ring());
    let calls = scope.nodes.turns.total.in_flight() + 1;
    let bound = (calls * BOUND).div_ceil(100 * list.len().max(1) as u64);
    let mut factor = 1;
    // Where many nodes are out the others have to bear more.
    while factor <= 4 {
        let bound = bound.saturating_mul(factor);
        let fits = |at| {
            let entry: &Arc<NodeEntry> = &list[at];
            u64::from(entry.in_flight()) < bound && fits(entry)
        };
        if let Some(at) = ring.find(key, REACH, fits) {
            return list.get(at);
        }
        factor *= 2;
    }
    home(listed, key, fits)
}

/// The node that `key` was with last while that `fits`, else the one that it belongs to.
pub(super) fn last<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
    key: u64,
    fits: impl Fn(&NodeEntry) -> bool,
) -> Option<&'a Arc<NodeEntry>> {
    let Some(memory) = scope.nodes.turns.lasting::<Memory>() else {
        return home(listed, key, fits);
    };
    let own = memory
        .recall(key)
        .and_then(|name| listed.ring().named(name));
    let own = own.map(|at| &listed.list[at]);
    if let Some(own) = own.filter(|own| fits(own)) {
        return Some(own);
    }
    let home = home(listed, key, fits)?;
    // A call that tries another node comes back where its own is not left alone, as do those that
    // another call's trial of it keeps away for a moment.
    let is_out =
        |own: &Arc<NodeEntry>| matches!(own.standing(scope.pick.now), Standing::Ejected(..));
    if scope.pick.tried.is_empty() && own.is_none_or(is_out) {
        memory.note(key, Ring::name(home));
    }
    Some(home)
}

fn home<'a>(
    listed: Listed<'a>,
    key: u64,
    fits: impl Fn(&NodeEntry) -> bool,
) -> Option<&'a Arc<NodeEntry>> {
    let list = listed.list;
    let at = listed.ring().find(key, list.len(), |at| fits(&list[at]))?;
    list.get(at)
}
