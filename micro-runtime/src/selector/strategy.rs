//! How one node is chosen among those that a call may go to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Candidates;
use crate::error::{Error, id};
use crate::registry::{NodeEntry, Nodes};

/// A strategy of one's own: the place of the chosen node in the list, `None` for none of them.
pub type Choose = dyn Fn(&[Arc<NodeEntry>]) -> Option<usize> + Send + Sync;

/// Chooses one node. A function from a list of nodes to a place in it is one, too.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// Each with the same chance; Go Micro's default.
    #[default]
    Random,
    /// The one that was not chosen for the longest time: in turn, also where calls differ in their
    /// filters, and over all calls of a client (Go Micro's starts anew with each call).
    RoundRobin,
    /// By a function. It is given at least one node.
    Own(Arc<Choose>),
}

impl Strategy {
    /// Its name in settings and decision logs; `own` for a function.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RoundRobin => "roundrobin",
            Self::Own(_) => "own",
        }
    }

    /// Chooses in one look where all of `list` may be chosen that are not left alone; `None` where
    /// that needs a closer look.
    pub(super) fn shortcut<'a>(
        &self,
        nodes: &Nodes,
        list: &'a [Arc<NodeEntry>],
        now: u64,
    ) -> Option<&'a Arc<NodeEntry>> {
        match self {
            Self::Random => draw(nodes, list, now),
            Self::RoundRobin => {
                longest_unchosen(nodes, || list.iter().filter(|entry| !entry.is_ejected(now)))
            }
            Self::Own(_) => None,
        }
    }

    pub(super) fn choose<'a>(&self, candidates: &Candidates<'a>) -> Option<&'a Arc<NodeEntry>> {
        match self {
            Self::Random => random(candidates),
            Self::RoundRobin => longest_unchosen(candidates.nodes, || candidates.iter()),
            Self::Own(choose) => {
                let list: Vec<_> = candidates.iter().collect();
                if list.is_empty() {
                    return None;
                }
                let entries: Vec<_> = list.iter().map(|entry| (*entry).clone()).collect();
                list.get(choose(&entries)?).copied()
            }
        }
    }
}

/// Where all of a list may be chosen, one is drawn of all, which costs the same for any number of
/// them. Should it be one that is left alone, it is drawn again of the candidates: the chances stay
/// even.
fn draw<'a>(nodes: &Nodes, list: &'a [Arc<NodeEntry>], now: u64) -> Option<&'a Arc<NodeEntry>> {
    let entry = list.get(place(nodes, list.len()))?;
    (!entry.is_ejected(now)).then_some(entry)
}

fn random<'a>(candidates: &Candidates<'a>) -> Option<&'a Arc<NodeEntry>> {
    let place = place(candidates.nodes, candidates.count);
    let mut chosen = None;
    // Other calls may change what a candidate is while we look, so there may be fewer than counted.
    for (at, entry) in candidates.iter().enumerate() {
        chosen = Some(entry);
        if at == place {
            break;
        }
    }
    chosen
}

fn place(nodes: &Nodes, count: usize) -> usize {
    let random = nodes.turns.random(nodes.turns.take());
    // The high half of the product is even over the places, without a division.
    let place = (u128::from(random) * count as u128) >> 64;
    usize::try_from(place).unwrap_or(0)
}

fn longest_unchosen<'a, I: Iterator<Item = &'a Arc<NodeEntry>>>(
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

impl<F> From<F> for Strategy
where
    F: Fn(&[Arc<NodeEntry>]) -> Option<usize> + Send + Sync + 'static,
{
    fn from(choose: F) -> Self {
        Self::Own(Arc::new(choose))
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// Reads `random` and `roundrobin`.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "random" => Ok(Self::Random),
            "roundrobin" => Ok(Self::RoundRobin),
            _ => Err(Error::bad_request(
                id::CLIENT,
                format!("Selector {name} not found; there are random and roundrobin"),
            )),
        }
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "Random",
            Self::RoundRobin => "RoundRobin",
            Self::Own(_) => "Own",
        })
    }
}
