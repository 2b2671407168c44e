//! The nodes of one name as a call sees them: immutable, but for what calls learn about each node.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::health::Health;
use super::load::{Load, Total};
use crate::metadata::Text;
use crate::registry::{Node, Service};

/// The nodes of one name at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nodes {
    /// The service's name; empty for addresses given by hand.
    pub name: Arc<str>,
    /// The nodes, ordered by id, each id once.
    pub list: Box<[Arc<NodeEntry>]>,
    /// Whether the registry knows the name, be it without nodes.
    pub known: bool,
    /// What a person can do where the name is not known; may be empty.
    pub hint: &'static str,
    pub(crate) turns: Arc<Turns>,
    /// Whether `turns` counts calls to other nodes, too.
    pub(crate) part: bool,
    derived: Derived,
}

/// What somebody has found out about a snapshot and would find out again.
#[derive(Default)]
struct Derived {
    kept: OnceLock<Box<dyn Any + Send + Sync>>,
    /// What all of its nodes have passed; 0 for nothing.
    passed: AtomicU64,
}

impl Clone for Derived {
    /// Nothing: a copy may be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived")
    }
}

impl Nodes {
    pub(crate) fn new(name: Arc<str>, hint: &'static str, turns: Arc<Turns>) -> Self {
        Self {
            name,
            list: Box::default(),
            known: false,
            hint,
            turns,
            part: false,
            derived: Derived::default(),
        }
    }

    /// What is kept with this snapshot as long as it lives, made on first use; `None` where something
    /// of another type is kept.
    pub(crate) fn derived<T: Any + Send + Sync + Default>(&self) -> Option<&T> {
        let made = self.derived.kept.get_or_init(|| Box::new(T::default()));
        made.downcast_ref()
    }

    /// Whether all of its nodes were found to pass what has this number.
    pub(crate) fn has_passed(&self, number: u64) -> bool {
        self.derived.passed.load(Ordering::Acquire) == number
    }

    /// Notes that all of its nodes pass what has this number, which is not 0. One is remembered.
    pub(crate) fn pass(&self, number: u64) {
        self.derived.passed.store(number, Ordering::Release);
    }

    /// Nodes at addresses given by hand, which speak Go Micro's protocol as far as is known. Random
    /// choices among them follow from `seed`.
    ///
    /// [`Directory::addresses`](super::Directory::addresses) gives the same ones again, with what
    /// calls have learned about them.
    pub fn from_addresses(addresses: &[Text], seed: u64) -> Self {
        let turns = Arc::new(Turns::new(seed));
        let entries = addresses.iter();
        let entries = entries.map(|address| NodeEntry::by_hand_in(address, &turns.total));
        Self::of_entries(entries.collect(), turns)
    }

    pub(crate) fn of_entries(list: Box<[Arc<NodeEntry>]>, turns: Arc<Turns>) -> Self {
        Self {
            list,
            known: true,
            ..Self::new(Arc::from(""), "", turns)
        }
    }

    /// Some of these nodes, as a snapshot of the same service.
    pub(crate) fn only(&self, list: Box<[Arc<NodeEntry>]>) -> Self {
        Self {
            name: self.name.clone(),
            list,
            known: self.known,
            hint: self.hint,
            turns: self.turns.clone(),
            part: true,
            derived: Derived::default(),
        }
    }

    /// The node with this id, where they are ordered by it.
    pub(super) fn with_id(&self, id: &str) -> Option<&Arc<NodeEntry>> {
        let at = self.list.binary_search_by(|entry| entry.id().cmp(id));
        self.list.get(at.ok()?)
    }

    /// The nodes that `services` have at `now`, with the entries of `old` wherever nothing has changed.
    /// Those that are new have `come` since the others are known, or are just found, too.
    pub(super) fn renewed(old: &Self, services: &[Service], come: Come, now: u64) -> Self {
        let mut list = BTreeMap::new();
        for service in services {
            let mut release: Option<Arc<Service>> = None;
            for node in &service.nodes {
                let known = old.with_id(&node.id).filter(|entry| entry.node == *node);
                let make = || match known {
                    Some(entry) if entry.is_of(service) => entry.clone(),
                    _ => {
                        let release = release
                            .get_or_insert_with(|| Arc::new(service.with_nodes(Vec::new())))
                            .clone();
                        Arc::new(NodeEntry {
                            node: node.clone(),
                            service: release,
                            state: match known {
                                Some(entry) => entry.state.clone(),
                                None => Arc::new(State::new(&old.turns.total, come, now)),
                            },
                        })
                    }
                };
                // The first of two with one id counts: registries side by side tell a node twice.
                list.entry(&*node.id).or_insert_with(make);
            }
        }
        Self {
            name: old.name.clone(),
            list: list.into_values().collect(),
            known: !services.is_empty(),
            hint: old.hint,
            turns: old.turns.clone(),
            part: old.part,
            derived: Derived::default(),
        }
    }
}

/// A node, and what calls have learned about it.
///
/// As long as a node's id, address and metadata stay the same, all snapshots share what is learned;
/// as long as its service does not change either, the entry is the same `Arc`.
// In order: the state stands beside the count of the `Arc`, which a choice touches, too.
#[repr(C)]
pub struct NodeEntry {
    pub(super) state: Arc<State>,
    /// The node as it is registered.
    pub node: Node,
    /// Its service, without nodes.
    pub service: Arc<Service>,
}

// In order and aligned: what a choice reads of a node is in one line of the processor's cache, since
// those of thousands of nodes are not in it.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct State {
    pub(super) load: Load,
    health: Health,
    /// The turn in which it was chosen last.
    turn: AtomicU64,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Wakes the tries that wait for it, when it was asked and is left alone for what came of that.
    pub(super) asked: Notify,
}

/// How long a node that was not known has been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Come {
    /// It has come beside others just now, and is to warm up.
    New,
    /// For how long is not known.
    Found,
}

impl State {
    fn new(total: &Arc<Total>, come: Come, now: u64) -> Self {
        let load = Load::of(total);
        if come == Come::New {
            load.begin_at(now);
        }
        Self {
            load,
            ..Self::default()
        }
    }
}

impl NodeEntry {
    /// A node at an address given by hand.
    #[cfg(test)]
    pub(crate) fn by_hand(address: &str) -> Arc<Self> {
        Self::by_hand_in(address, &Arc::default())
    }

    /// A node at an address given by hand, whose calls `total` counts with those of others.
    pub(crate) fn by_hand_in(address: &str, total: &Arc<Total>) -> Arc<Self> {
        let mut node = Node::new(address, address);
        // As Go Micro's client does: without it the peer would be taken for one before protocols.
        node.metadata.insert("protocol".into(), "mucp".into());
        Arc::new(Self {
            node,
            service: Arc::new(Service::default()),
            state: Arc::new(State {
                load: Load::of(total),
                ..State::default()
            }),
        })
    }

    /// Whether a caller gave its address: then nobody has told what it speaks.
    pub fn is_by_hand(&self) -> bool {
        self.service.name.is_empty()
    }

    /// The node's id.
    pub fn id(&self) -> &str {
        &self.node.id
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.node.address
    }

    /// The version of its service.
    pub fn version(&self) -> &str {
        &self.service.version
    }

    /// A value of the node's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.node.metadata.get(key).map(String::as_str)
    }

    /// Whether both are entries of the same unchanged node.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// What the client keeps for this node, made on first use: its channel. `None` where something
    /// of another type is kept.
    pub fn slot<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.state
            .slot
            .get_or_init(|| Box::new(make()))
            .downcast_ref()
    }

    /// What [`slot`](Self::slot) has kept.
    pub(crate) fn kept<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.state.slot.get()?.downcast_ref()
    }

    pub(super) fn health(&self) -> &Health {
        &self.state.health
    }

    pub(crate) fn turn(&self) -> &AtomicU64 {
        &self.state.turn
    }

    fn is_of(&self, service: &Service) -> bool {
        let own = &*self.service;
        own.version == service.version
            && own.name == service.name
            && own.metadata == service.metadata
            && own.endpoints == service.endpoints
    }
}

impl fmt::Debug for NodeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeEntry")
            .field("node", &self.node)
            .field("version", &self.version())
            .field("health", &self.state.health)
            .finish_non_exhaustive()
    }
}

/// Counts choices, and makes numbers that look random of the count: no lock, and the same numbers
/// for the same seed, which [`Tasks`](crate::tasks::Tasks) gives once for each view.
pub(crate) struct Turns {
    seed: u64,
    taken: AtomicU64,
    /// The calls in flight to all nodes.
    pub(crate) total: Arc<Total>,
    /// What is kept over all snapshots.
    lasting: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Turns {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            taken: AtomicU64::new(0),
            total: Arc::default(),
            lasting: OnceLock::new(),
        }
    }

    /// A number of this client's own for this name: the same as long as the view lives.
    pub(crate) fn own(&self) -> u64 {
        mix(self.seed)
    }

    /// What is kept over all snapshots of the name, made on first use; `None` where something of
    /// another type is kept.
    pub(crate) fn lasting<T: Any + Send + Sync + Default>(&self) -> Option<&T> {
        let kept = self.lasting.get_or_init(|| Box::new(T::default()));
        kept.downcast_ref()
    }

    /// The number of this choice, from 1.
    pub(crate) fn take(&self) -> u64 {
        self.taken.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The random number that belongs to a turn (splitmix64).
    pub(crate) fn random(&self, turn: u64) -> u64 {
        mix(self
            .seed
            .wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns")
            .field("seed", &self.seed)
            .field("taken", &self.taken)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// The output function of splitmix64.
pub(crate) fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
