//! Nodes in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scope::Scope;
use super::subset::Listed;
use crate::registry::{NodeEntry, Nodes};

/// Where the next turn of a longer list begins; 0 for not known yet.
#[derive(Debug, Default)]
pub(super) struct Cursor(AtomicU64);

/// In lists up to this length all nodes are looked at for the one whose turn it is.
const SHORT: usize = 16;
/// How many nodes that have had their turn are passed over in a longer one.
const PASSED: usize = 32;

/// The node of a list whose turn it is among those that `fits`.
///
/// In a short list it is the one that was not chosen for the longest time. A longer one is gone
/// through from node to node, and those are passed over that calls with other filters have chosen
/// since: each has its turn once a round, for the price of one.
pub(super) fn next<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
    fits: impl Fn(&NodeEntry) -> bool,
) -> Option<&'a Arc<NodeEntry>> {
    let list = listed.list;
    if list.len() <= SHORT {
        return longest_unchosen(scope.nodes, || list.iter().filter(|entry| fits(entry)));
    }
    let cursor = &listed.tables.cursor.0;
    if cursor.load(Ordering::Relaxed) == 0 {
        // After the node that was chosen last: where the last snapshot's round stood.
        let turns = list.iter().zip(1..);
        let turns = turns.map(|(entry, at)| (entry.turn().load(Ordering::Relaxed), at));
        let latest = turns.filter(|(turn, _)| *turn != 0).max();
        let at = latest.map_or(1, |(_, at)| at + 1);
        let _ = cursor.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
    }
    let begin = cursor.fetch_add(1, Ordering::Relaxed) - 1;
    let begin = usize::try_from(begin % list.len() as u64).unwrap_or(0);
    let turn = scope.nodes.turns.take();
    // Turns that are taken side by side may come in another order.
    let round = (list.len() - list.len() / 8) as u64;
    let mut oldest: Option<(u64, usize)> = None;
    let mut seen = 0;
    for step in 0..list.len() {
        let entry = &list[(begin + step) % list.len()];
        if !fits(entry) {
            continue;
        }
        let last = entry.turn().load(Ordering::Relaxed);
        if last == 0 || turn.saturating_sub(last) >= round {
            oldest = Some((0, step));
            break;
        }
        if oldest.is_none_or(|(oldest, _)| last < oldest) {
            oldest = Some((last, step));
        }
        seen += 1;
        if seen == PASSED {
            break;
        }
    }
    let (_, step) = oldest?;
    if step > 0 {
        cursor.fetch_add(step as u64, Ordering::Relaxed);
    }
    let entry = &list[(begin + step) % list.len()];
    entry.turn().fetch_max(turn, Ordering::Relaxed);
    Some(entry)
}

/// The one of `candidates` that was not chosen for the longest time.
pub(super) fn longest_unchosen<'a, I: Iterator<Item = &'a Arc<NodeEntry>>>(
    nodes: &Nodes,
    candidates: impl Fn() -> I,
) -> Option<&'a Arc<NodeEntry>> {
    // Whoever loses a node to another call looks for the next one. Each lost race is another call's
    // choice, so a few tries are enough for a fair one; then any turn will do.
    let mut chosen = None;
    for _ in 0..8 {
        let (entry, before) = candidates()
            .map(|entry| (entry, entry.turn().load(Ordering::Relaxed)))
            .min_by_key(|(_, turn)| *turn)?;
        chosen = Some(entry);
        // Taken as late as possible: a turn that waits while others pass would come up too soon.
        let turn = nodes.turns.take();
        let taken = entry.turn().compare_exchange(
            before,
            turn.max(before + 1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_ok() {
            break;
        }
    }
    chosen
}
