//! Which node a call goes to.
//!
//! [`select`] looks at the nodes of a [`View`](crate::registry::View) and chooses one. It skips
//! nodes that could not be reached lately, unless all are such, and goes to another node than
//! earlier tries of the call as long as there is one.
//!
//! ```
//! use micro_runtime::registry::Nodes;
//! use micro_runtime::selector::{SelectOptions, Strategy, select};
//!
//! let nodes = Nodes::from_addresses(&["10.0.0.1:4000".into(), "10.0.0.2:4000".into()], 1);
//! let (call, mut client) = (SelectOptions::default(), SelectOptions::default());
//! client.strategy = Some(Strategy::RoundRobin);
//! let first = select(&nodes, &call, &client, &[], 0)?;
//! let other = select(&nodes, &call, &client, &[first.clone()], 0)?;
//! assert_ne!(first.address(), other.address());
//! # Ok::<(), micro_runtime::Error>(())
//! ```

mod census;
mod filter;
mod strategy;
mod subset;
mod version;

pub(crate) use census::census;
pub use filter::Filter;
pub use strategy::{Choose, Strategy};

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{Error, Result, id};
use crate::registry::{NodeEntry, Nodes};
use subset::List;

/// How nodes are chosen: for one call, or for all calls of a client.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SelectOptions {
    /// All must let a node pass; a call's come after its client's.
    pub filters: Vec<Filter>,
    /// How one of those left is chosen; the client's where a call's is `None`, and at random where a
    /// client's is.
    pub strategy: Option<Strategy>,
}

/// Chooses a node for a call with the options `call` of a client with the options `client`.
///
/// `tried` are the nodes of earlier tries of the same call; `now` is the time on the directory's
/// clock ([`View::millis`](crate::registry::View::millis)). Takes no lock, and allocates nothing but
/// for an error, a strategy of one's own, or filters that this snapshot has not met before.
///
/// # Errors
/// 500 in Go Micro's words: `service x: not found`, with what a person can do where the registry
/// reaches no further than this machine; `error selecting x node: none available` where no node
/// passes the filters; `error getting next x node: none available` where there are no nodes, or
/// where the strategy chooses none. The request was certainly not processed.
pub fn select(
    nodes: &Nodes,
    call: &SelectOptions,
    client: &SelectOptions,
    tried: &[Arc<NodeEntry>],
    now: u64,
) -> Result<Arc<NodeEntry>> {
    let strategy = call.strategy.as_ref().or(client.strategy.as_ref());
    let strategy = strategy.unwrap_or(&Strategy::Random);
    let list = List::of(nodes, &client.filters, &call.filters);
    let list = list.nodes();
    let own = match call.filters.iter().any(Filter::is_own) {
        true => &*call.filters,
        false => &[],
    };
    if let ([], []) = (own, tried)
        && let Some(entry) = strategy.shortcut(nodes, list, now)
        && entry.claim(now)
    {
        return Ok(entry.clone());
    }
    let candidates = |now| Candidates::of(nodes, list, own, tried, now);
    // Other calls eject nodes, and claim those that come back, while this one looks; then it looks
    // again.
    for _ in 0..3 {
        let candidates = candidates(now);
        match strategy.choose(&candidates) {
            Some(entry) if candidates.are_ejected() || entry.claim(now) => return Ok(entry.clone()),
            None if !candidates.are_lost() => return Err(none_available(nodes, &candidates)),
            _ => {}
        }
    }
    // At the end of all time nothing is held against any node.
    let candidates = candidates(u64::MAX);
    match strategy.choose(&candidates) {
        Some(entry) => Ok(entry.clone()),
        None => Err(none_available(nodes, &candidates)),
    }
}

/// The nodes that a call may go to: those of the best rank that any has.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    nodes: &'a Nodes,
    /// Those that pass all filters but the call's own functions.
    list: &'a [Arc<NodeEntry>],
    /// Among them the call's own functions; the others are done with.
    own: &'a [Filter],
    tried: &'a [Arc<NodeEntry>],
    now: u64,
    /// The best rank that any node has.
    rank: Rank,
    count: usize,
}

/// What speaks against a node.
type Rank = u8;
/// It is left alone.
const EJECTED: Rank = 2;
/// The call was there before.
const TRIED: Rank = 1;

impl<'a> Candidates<'a> {
    fn of(
        nodes: &'a Nodes,
        list: &'a [Arc<NodeEntry>],
        own: &'a [Filter],
        tried: &'a [Arc<NodeEntry>],
        now: u64,
    ) -> Self {
        let mut found = Self {
            nodes,
            list,
            own,
            tried,
            now,
            rank: Rank::MAX,
            count: 0,
        };
        for entry in list {
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
            let tried = self.tried.iter().any(|tried| tried.is_same(entry));
            EJECTED * Rank::from(entry.is_ejected(self.now)) + TRIED * Rank::from(tried)
        })
    }

    /// Whether even the best are left alone.
    fn are_ejected(&self) -> bool {
        self.rank >= EJECTED
    }

    /// Whether there were some when they were counted, and are none now.
    fn are_lost(&self) -> bool {
        self.count > 0 && self.iter().next().is_none()
    }

    /// Those with the best rank, or better: other calls restore and eject nodes meanwhile, so there
    /// may be more or fewer than counted.
    fn iter(&self) -> impl Iterator<Item = &'a Arc<NodeEntry>> {
        let best = |entry: &NodeEntry| self.rank_of(entry).is_some_and(|rank| rank <= self.rank);
        self.list.iter().filter(move |entry| best(entry))
    }
}

#[cold]
fn none_available(nodes: &Nodes, candidates: &Candidates<'_>) -> Error {
    let name = &nodes.name;
    let detail = if !nodes.known {
        match nodes.hint {
            "" => format!("service {name}: not found"),
            hint => format!("service {name}: not found ({hint})"),
        }
    } else if candidates.count == 0 && !nodes.list.is_empty() {
        format!("error selecting {name} node: none available")
    } else {
        format!("error getting next {name} node: none available")
    };
    Error::internal(id::CLIENT, detail).unprocessed()
}
