#![doc = include_str!("../../docs/SELECTION.md")]

mod affine;
mod candidates;
mod census;
mod draw;
mod filter;
mod hashing;
mod pick;
mod ring;
mod scope;
mod shares;
mod split;
mod sticky;
mod strategy;
mod subset;
mod turns;
mod version;

pub(crate) use census::{census, side};
pub use filter::Filter;
pub use pick::{Affinity, Pick};
pub use split::{Canary, Locality};
pub(crate) use strategy::NAMES;
pub use strategy::{Choose, Strategy};

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, id};
use crate::metadata::Text;
use crate::registry::{NodeEntry, Nodes};
use candidates::Candidates;
use scope::Scope;
use subset::{List, Listed, Spare};

/// How nodes are chosen: for one call, or for all calls of a client. What a call leaves open is its
/// client's to say.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SelectOptions {
    /// All must let a node pass; a call's come after its client's.
    pub filters: Vec<Filter>,
    /// How one of those left is chosen. [`Strategy::PowerOfTwo`].
    pub strategy: Option<Strategy>,
    /// The call's key, for strategies that keep calls with a node.
    pub key: Option<Text>,
    /// A share of the calls for a few nodes. None.
    pub canary: Option<Arc<Canary>>,
    /// Which nodes are near. All are.
    pub locality: Option<Arc<Locality>>,
    /// How long it takes until a node that comes, or comes back, gets its full share of calls; zero
    /// for none. 10 s.
    pub slow_start: Option<Duration>,
}

/// How long a node that comes is spared where nothing else is said.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// Chooses a node for a call with the options `call` of a client with the options `client`.
///
/// Takes no lock, and allocates nothing but for an error, a strategy of one's own, or what is worked
/// out once about each snapshot.
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
    pick: Pick<'_>,
) -> Result<Arc<NodeEntry>> {
    let strategy = call.strategy.as_ref().or(client.strategy.as_ref());
    let strategy = strategy.unwrap_or(&Strategy::PowerOfTwo);
    let list = List::of(nodes, &client.filters, &call.filters);
    let spare = Default::default();
    let all = list.listed();
    let scope = Scope {
        nodes,
        pick: &pick,
        key: call.key.as_deref().or(client.key.as_deref()),
        strategy,
        window: window(call.slow_start.or(client.slow_start)),
    };
    let canary = call.canary.as_deref().or(client.canary.as_deref());
    let locality = call.locality.as_deref().or(client.locality.as_deref());
    let near = narrow(&scope, all, (canary, locality), &spare);
    let own = match call.filters.iter().any(Filter::is_own) {
        true => &*call.filters,
        false => &[],
    };
    if own.is_empty()
        && let Some(entry) = strategy.shortcut(&scope, near.unwrap_or(all))
        && entry.claim(pick.now)
    {
        return Ok(entry.clone());
    }
    if let Some(near) = near
        && let candidates = Candidates::of(near, own, &pick, pick.now)
        && candidates.are_free()
        && let Some(entry) = strategy.choose(&scope, &candidates)
        && entry.claim(pick.now)
    {
        return Ok(entry.clone());
    }
    // Other calls eject nodes, and claim those that come back, while this one looks; then it looks
    // again.
    for _ in 0..3 {
        let candidates = Candidates::of(all, own, &pick, pick.now);
        match strategy.choose(&scope, &candidates) {
            Some(entry) if candidates.are_ejected() || entry.claim(pick.now) => {
                return Ok(entry.clone());
            }
            None if !candidates.are_lost() => return Err(none_available(nodes, &candidates)),
            _ => {}
        }
    }
    // At the end of all time nothing is held against any node.
    let candidates = Candidates::of(all, own, &pick, u64::MAX);
    match strategy.choose(&scope, &candidates) {
        Some(entry) => Ok(entry.clone()),
        None => Err(none_available(nodes, &candidates)),
    }
}

/// The part of the list that the call is for, by its canary and then by its zone; `None` for all.
fn narrow<'a>(
    scope: &Scope<'_>,
    all: Listed<'a>,
    (canary, locality): (Option<&Canary>, Option<&Locality>),
    spare: &'a [Spare; 2],
) -> Option<Listed<'a>> {
    if canary.is_none() && locality.is_none() {
        return None;
    }
    let mut near = all;
    if let Some(canary) = canary {
        near = canary.narrow(near, &spare[0], scope.side(1));
    }
    if let Some(locality) = locality {
        near = locality.narrow(near, &spare[1], (scope.side(2), scope.pick.now));
    }
    Some(near)
}

pub(crate) fn window(slow_start: Option<Duration>) -> u64 {
    let window = slow_start.unwrap_or(SLOW_START).as_millis();
    u64::try_from(window).unwrap_or(u64::MAX)
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
