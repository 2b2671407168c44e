//! Choices that keep a call with the node of its key.

use std::cell::LazyCell;
use std::sync::Arc;

use super::hashing::place;
use super::ring::Ring;
use super::scope::Scope;
use super::sticky::Memory;
use super::subset::Listed;
use crate::registry::{NodeEntry, Standing};

/// How many calls more than the mean a node may have before its keys go on to the next, in
/// percent: the bound of Mirrokni, Thorup and Zadimoghaddam 2018.
const BOUND: u64 = 125;
/// So many calls a node may have in any case: where there are fewer calls than nodes the mean says
/// nothing, and two keys that meet at one node would drive each other from it.
const FEW: u64 = 4;
/// In lists up to this length the calls of all nodes are counted where they are not counted together;
/// of longer ones, whose nodes are far apart in memory, those of a few.
const SHORT: usize = 16;
const SAMPLE: usize = 8;
/// How far it is looked for a node below the bound.
const REACH: usize = 64;

/// The node that `key` belongs to among those that `fits`; another one while it has a quarter more
/// calls than the mean of the list.
pub(super) fn bounded<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
    key: u64,
    fits: impl Fn(&NodeEntry) -> bool,
) -> Option<&'a Arc<NodeEntry>> {
    let (list, ring) = (listed.list, listed.ring());
    let nodes = scope.nodes;
    let counted =
        (!nodes.part && list.len() == nodes.list.len()).then(|| nodes.turns.total.in_flight());
    // Counting a sample is left to calls that meet a node with more than a few.
    let bound = LazyCell::new(|| {
        let calls = counted.unwrap_or_else(|| about_in_flight(scope, list)) + 1;
        (calls * BOUND).div_ceil(100 * list.len().max(1) as u64)
    });
    let mut factor = 1;
    // Where many nodes are out the others have to bear more.
    while factor <= 4 {
        let fits = |at| {
            let entry: &Arc<NodeEntry> = &list[at];
            let calls = u64::from(entry.in_flight());
            (calls < FEW * factor || calls < bound.saturating_mul(factor)) && fits(entry)
        };
        if let Some(at) = ring.find(key, REACH, fits) {
            return list.get(at);
        }
        factor *= 2;
    }
    home(listed, key, fits)
}

/// How many calls the nodes of a list have, about: of a longer one as a few of them tell, evenly spread.
fn about_in_flight(scope: &Scope<'_>, list: &[Arc<NodeEntry>]) -> u64 {
    let count = match list.len() {
        0 => 1,
        short @ ..=SHORT => short,
        _ => SAMPLE,
    };
    let begin = place(scope.random(), list.len());
    let places = (0..count).map(|at| (begin + at * list.len() / count) % list.len().max(1));
    let calls = places.filter_map(|at| list.get(at));
    let calls: u64 = calls.map(|entry| u64::from(entry.in_flight())).sum();
    (calls * list.len() as u64).div_ceil(count as u64)
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
