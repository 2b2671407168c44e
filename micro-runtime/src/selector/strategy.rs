//! How one node is chosen among those that a call may go to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::candidates::Candidates;
use super::pick::Affinity;
use super::scope::Scope;
use super::subset::Listed;
use super::{affine, draw, turns};
use crate::error::{Error, id};
use crate::registry::NodeEntry;

/// A strategy of one's own: the place of the chosen node in the list, `None` for none of them.
pub type Choose = dyn Fn(&[Arc<NodeEntry>]) -> Option<usize> + Send + Sync;

/// Chooses one node. A function from a list of nodes to a place in it is one, too.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The better of two that are drawn: the one with the smaller product of what answers take
    /// ([`NodeEntry::latency`]) and calls in flight. A slow node gets few calls, a stuck one none, and
    /// no node gets them all.
    #[default]
    PowerOfTwo,
    /// The one with the fewest calls in flight; in a list of more than 16 the one of four that are
    /// drawn.
    LeastConnections,
    /// The one that the call's key belongs to: the same for all clients, and for nearly all keys also
    /// after nodes have come or gone. A node that has a quarter more calls in flight than the mean, and
    /// more than four, passes calls on to the next. Calls without a key go by
    /// [`PowerOfTwo`](Self::PowerOfTwo).
    Hash(Affinity),
    /// The one that the key was with last, as long as that can be called, also where more nodes have
    /// come: for services that keep something of their callers. A key that is new, or that was
    /// forgotten since too many others were met, goes where [`Hash`](Self::Hash) would send it, without a
    /// bound: of a thousand keys nearly none is forgotten, of four thousand one in five.
    /// Calls without a key stay with one node for the whole client.
    Sticky(Affinity),
    /// By chance, in proportion to the numbers that the nodes' metadata has under `weight`; 1 where
    /// it has none. A node with weight 0 gets calls only where no other can be called.
    Weighted,
    /// Each with the same chance; Go Micro's default.
    Random,
    /// The one that was not chosen for the longest time: in turn, also where calls differ in their
    /// filters, and over all calls of a client (Go Micro's starts anew with each call). Among more
    /// than 16 nodes a turn may come a little early or late while nodes come and go.
    RoundRobin,
    /// By a function. It is given at least one node.
    Own(Arc<Choose>),
}

impl Strategy {
    /// Its name in settings and decision logs; `own` for a function.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PowerOfTwo => "poweroftwo",
            Self::LeastConnections => "leastconnections",
            Self::Hash(_) => "hash",
            Self::Sticky(_) => "sticky",
            Self::Weighted => "weighted",
            Self::Random => "random",
            Self::RoundRobin => "roundrobin",
            Self::Own(_) => "own",
        }
    }

    /// The number of what the strategy keeps with a node: of a call without such a thing there is none,
    /// but where calls stick they stick to their client then.
    pub(super) fn affinity(&self, scope: &Scope<'_>) -> Option<u64> {
        match self {
            Self::Hash(affinity) => scope.affinity(affinity),
            Self::Sticky(affinity) => scope.affinity(affinity).or_else(|| Some(scope.caller())),
            _ => None,
        }
    }

    /// Where the strategy keeps the call with a node: that node, of those that `fits`.
    fn own<'a>(
        &self,
        scope: &Scope<'_>,
        listed: Listed<'a>,
        fits: impl Fn(&NodeEntry) -> bool,
    ) -> Option<Option<&'a Arc<NodeEntry>>> {
        let key = self.affinity(scope)?;
        Some(match self {
            Self::Sticky(_) => affine::last(scope, listed, key, fits),
            _ => affine::bounded(scope, listed, key, fits),
        })
    }

    /// Chooses in one look where nothing speaks against most nodes of the list; `None` where that
    /// needs a closer look.
    pub(super) fn shortcut<'a>(
        &self,
        scope: &Scope<'_>,
        listed: Listed<'a>,
    ) -> Option<&'a Arc<NodeEntry>> {
        let free = |entry: &NodeEntry| scope.is_free(entry);
        if let Some(own) = self.own(scope, listed, free) {
            return own;
        }
        match self {
            Self::PowerOfTwo | Self::Hash(_) | Self::Sticky(_) => {
                draw::better_of_two(scope, listed)
            }
            Self::LeastConnections => draw::least_busy(scope, listed),
            Self::Weighted => draw::one_by_weight(scope, listed),
            Self::Random => draw::one(scope, listed),
            Self::RoundRobin => turns::next(scope, listed, free),
            Self::Own(_) => None,
        }
    }

    pub(super) fn choose<'a>(
        &self,
        scope: &Scope<'_>,
        candidates: &Candidates<'a>,
    ) -> Option<&'a Arc<NodeEntry>> {
        let listed = candidates.listed;
        let have = |entry: &NodeEntry| candidates.have(entry);
        if let Some(own) = self.own(scope, listed, have) {
            return own;
        }
        match self {
            Self::PowerOfTwo | Self::Hash(_) | Self::Sticky(_) => {
                draw::better_of_two_of(scope, candidates)
            }
            Self::LeastConnections => draw::least_busy_of(scope, candidates),
            Self::Weighted => draw::one_of_by_weight(scope, candidates),
            Self::Random => draw::one_of(scope, candidates),
            Self::RoundRobin => turns::longest_unchosen(scope.nodes, || candidates.iter()),
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

    /// Reads [names](Strategy::name), `p2c` and `leastconn`. `hash` and `sticky` go by a call's key,
    /// `hash:Name` and `sticky:Name` by what its metadata has under that name, and `hash@caller` and
    /// `sticky@caller` by who makes it.
    fn from_str(name: &str) -> Result<Self, Error> {
        let (kind, affinity) = match (name.split_once(':'), name.strip_suffix("@caller")) {
            (Some((kind @ ("hash" | "sticky"), key)), _) if !key.is_empty() => {
                (kind, Affinity::Metadata(key.to_owned().into()))
            }
            (None, Some(kind @ ("hash" | "sticky"))) => (kind, Affinity::Caller),
            _ => (name, Affinity::Key),
        };
        Ok(match kind {
            "poweroftwo" | "p2c" => Self::PowerOfTwo,
            "leastconnections" | "leastconn" => Self::LeastConnections,
            "hash" => Self::Hash(affinity),
            "sticky" => Self::Sticky(affinity),
            "weighted" => Self::Weighted,
            "random" => Self::Random,
            "roundrobin" => Self::RoundRobin,
            _ => {
                return Err(Error::bad_request(
                    id::CLIENT,
                    format!("Selector {name} not found; there are {NAMES}"),
                ));
            }
        })
    }
}

/// The strategies that settings name.
pub(crate) const NAMES: &str =
    "poweroftwo, leastconnections, hash, sticky, weighted, random and roundrobin";

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Hash(Affinity::Metadata(key)) | Self::Sticky(Affinity::Metadata(key)) => {
                write!(f, ":{key}")
            }
            Self::Hash(Affinity::Caller) | Self::Sticky(Affinity::Caller) => f.write_str("@caller"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
