//! What follows for the nodes of one snapshot: worked out once, and read by each call.

use std::sync::{Arc, OnceLock, Weak};

use super::Rule;
use super::judge::Judgement;
use crate::registry::{Nodes, NodesGuard};

/// Which nodes of one snapshot understand which methods, as far as it was known.
#[derive(Debug)]
pub(in crate::client) struct Ruling {
    /// Weak: that no other snapshot has its address is enough.
    of: Weak<Nodes>,
    /// That of the check when it was made.
    stamp: u64,
    /// `None` where all nodes understand all.
    mixed: Option<Mixed>,
}

#[derive(Debug)]
struct Mixed {
    /// Those of the nodes, in their order.
    standings: Vec<Standing>,
    /// Whether nothing is known of some.
    open: bool,
    /// By the index of a method: the nodes that are known to understand it, `None` where all do. Made
    /// when it is called, and held until a call finds another snapshot.
    methods: Box<[OnceLock<Option<Box<Nodes>>>]>,
}

/// How a node stands.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// It understands all, or tells nothing.
    Passes,
    /// Nothing is known of it yet.
    Unknown,
    /// Some methods it does not understand.
    Judged(Arc<Judgement>),
}

impl Standing {
    fn passes(&self, index: usize, rule: Rule) -> bool {
        match self {
            Self::Passes => true,
            Self::Unknown => rule == Rule::Unknown,
            Self::Judged(judgement) => judgement.against(index).is_none(),
        }
    }
}

impl Ruling {
    pub(super) fn new(
        nodes: &NodesGuard,
        stamp: u64,
        methods: usize,
        standings: Vec<Standing>,
    ) -> Self {
        let pass = |one: &Standing| matches!(one, Standing::Passes);
        let mixed = (!standings.iter().all(pass)).then(|| Mixed {
            open: standings.iter().any(|one| matches!(one, Standing::Unknown)),
            standings,
            methods: (0..methods).map(|_| OnceLock::new()).collect(),
        });
        Self {
            of: nodes.downgrade(),
            stamp,
            mixed,
        }
    }

    /// Whether it is of this snapshot, and of what is known now.
    pub(super) fn is_of(&self, nodes: &NodesGuard, stamp: u64) -> bool {
        self.stamp == stamp && std::ptr::eq(self.of.as_ptr(), &raw const **nodes)
    }

    /// Whether some nodes do not understand all, or nothing is known of them.
    pub(super) fn is_mixed(&self) -> bool {
        self.mixed.is_some()
    }

    /// Whether nothing is known of some nodes.
    pub(super) fn is_open(&self) -> bool {
        self.mixed.as_ref().is_some_and(|mixed| mixed.open)
    }

    /// Those of `all` that are known to understand a method; `None` where all do.
    pub(super) fn known(&self, all: &Nodes, index: usize) -> Option<&Nodes> {
        let place = self.mixed.as_ref()?.methods.get(index)?;
        let nodes = match place.get() {
            Some(nodes) => nodes,
            None => {
                let made = self.filtered(all, index, Rule::Known).map(Box::new);
                place.get_or_init(|| made)
            }
        };
        nodes.as_deref()
    }

    /// Those of `all` that may take calls of a method; `None` where all may.
    pub(super) fn filtered(&self, all: &Nodes, index: usize, rule: Rule) -> Option<Nodes> {
        let standings = &self.mixed.as_ref()?.standings;
        let both = || all.list.iter().zip(standings);
        if both().all(|(_, standing)| standing.passes(index, rule)) {
            return None;
        }
        let passing = both().filter(|(_, standing)| standing.passes(index, rule));
        Some(all.only(passing.map(|(entry, _)| entry.clone()).collect()))
    }
}
