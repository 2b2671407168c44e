//! Choices by chance, and by what is known of the few nodes that chance has named.

use std::sync::Arc;

use super::candidates::Candidates;
use super::hashing::{nth, place, share};
use super::scope::Scope;
use super::shares::{self};
use super::subset::Listed;
use crate::registry::NodeEntry;

/// How often a node is drawn anew that cannot be called, or is spared.
const DRAWS: u64 = 4;
/// Lists up to this length are looked through for the node with the fewest calls.
const SHORT: usize = 16;
/// How many nodes of longer ones are.
const SAMPLE: u64 = 4;

/// What a drawn node is good for.
#[derive(Clone, Copy)]
enum Drawn {
    Good,
    /// It has just come, and is not to have all calls that chance gives it.
    Spared,
    Bad,
}

fn look(scope: &Scope<'_>, entry: &NodeEntry, number: u64) -> Drawn {
    if !scope.is_free(entry) {
        return Drawn::Bad;
    }
    let warmth = f64::from(scope.warmth(entry));
    if warmth < 1.0 && share(number) >= warmth {
        return Drawn::Spared;
    }
    Drawn::Good
}

/// Draws a place by `at`. A node that is not to be called is drawn anew, which keeps the chances of the
/// others even; `None` where that has not helped.
fn draw(
    scope: &Scope<'_>,
    list: &[Arc<NodeEntry>],
    random: u64,
    at: impl Fn(u64) -> usize,
) -> Option<usize> {
    let mut spared = None;
    for number in 0..DRAWS {
        let number = nth(random, number);
        let at = at(number);
        match look(scope, list.get(at)?, number.rotate_left(32)) {
            Drawn::Good => return Some(at),
            Drawn::Spared => spared = Some(at),
            Drawn::Bad => {}
        }
    }
    spared
}

pub(super) fn one<'a>(scope: &Scope<'_>, listed: Listed<'a>) -> Option<&'a Arc<NodeEntry>> {
    let list = listed.list;
    let any = |number| place(number, list.len());
    list.get(draw(scope, list, scope.random(), any)?)
}

pub(super) fn one_by_weight<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    let (list, shares) = (listed.list, listed.shares());
    let by_weight = |number| shares.draw(number);
    list.get(draw(scope, list, scope.random(), by_weight)?)
}

/// The better of two that are drawn.
pub(super) fn better_of_two<'a>(
    scope: &Scope<'_>,
    listed: Listed<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    let list = listed.list;
    let random = scope.random();
    let at = draw(scope, list, random, |number| place(number, list.len()))?;
    let first = list.get(at)?;
    for number in DRAWS..DRAWS * 2 {
        let number = nth(random, number);
        // Any but the first: two that are the same would be no choice.
        let other = place(number, list.len() - 1);
        let Some(second) = list.get(other + usize::from(other >= at)) else {
            break;
        };
        match look(scope, second, number.rotate_left(32)) {
            Drawn::Good => return Some(scope.better(first, second)),
            Drawn::Spared => break,
            Drawn::Bad => {}
        }
    }
    Some(first)
}

/// The one with the fewest calls: of all in a short list, else of a few that are drawn.
pub(super) fn least_busy<'a>(scope: &Scope<'_>, listed: Listed<'a>) -> Option<&'a Arc<NodeEntry>> {
    let list = listed.list;
    let random = scope.random();
    if list.len() > SHORT {
        let any = |number| place(number, list.len());
        let mut best = list.get(draw(scope, list, random, any)?)?;
        for at in 0..SAMPLE - 1 {
            let number = nth(random, DRAWS + at);
            let Some(entry) = list.get(any(number)) else {
                break;
            };
            if let Drawn::Good = look(scope, entry, number.rotate_left(32))
                && scope.queue(entry) < scope.queue(best)
            {
                best = entry;
            }
        }
        return Some(best);
    }
    let mut best: Option<(f32, u64, &Arc<NodeEntry>)> = None;
    let mut spared = None;
    for (entry, at) in list.iter().zip(0..) {
        // Among those with as few calls chance decides.
        let number = nth(random, at);
        match look(scope, entry, number.rotate_left(32)) {
            Drawn::Good => {
                let queue = scope.queue(entry);
                if best.is_none_or(|(least, tie, _)| (queue, number) < (least, tie)) {
                    best = Some((queue, number, entry));
                }
            }
            Drawn::Spared => spared = Some(entry),
            Drawn::Bad => {}
        }
    }
    best.map(|(_, _, entry)| entry).or(spared)
}

/// As [`one`], where something speaks against some nodes.
pub(super) fn one_of<'a>(
    scope: &Scope<'_>,
    candidates: &Candidates<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    candidates.nth(place(scope.random(), candidates.count))
}

/// As [`one_by_weight`], where something speaks against some nodes.
pub(super) fn one_of_by_weight<'a>(
    scope: &Scope<'_>,
    candidates: &Candidates<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    shares::draw(candidates.iter(), scope.random())
}

/// As [`better_of_two`], where something speaks against some nodes.
pub(super) fn better_of_two_of<'a>(
    scope: &Scope<'_>,
    candidates: &Candidates<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    let (random, count) = (scope.random(), candidates.count);
    let first = place(random, count);
    let mut second = place(nth(random, 1), count.saturating_sub(1));
    if second >= first {
        second += 1;
    }
    let first = candidates.nth(first)?;
    if count < 2 {
        return Some(first);
    }
    match candidates.nth(second) {
        Some(second) => Some(scope.better(first, second)),
        None => Some(first),
    }
}

/// As [`least_busy`], where something speaks against some nodes: of all that are left.
pub(super) fn least_busy_of<'a>(
    scope: &Scope<'_>,
    candidates: &Candidates<'a>,
) -> Option<&'a Arc<NodeEntry>> {
    let random = scope.random();
    let numbered = candidates.iter().zip(0..);
    let queues = numbered.map(|(entry, at)| (scope.queue(entry), nth(random, at), entry));
    let least = queues.min_by(|(one, tie, _), (other, other_tie, _)| {
        one.total_cmp(other).then(tie.cmp(other_tie))
    });
    least.map(|(_, _, entry)| entry)
}
