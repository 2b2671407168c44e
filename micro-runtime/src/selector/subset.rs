//! The nodes that filters let pass, and what strategies work out about them: once a snapshot.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

use super::Filter;
use super::ring::Ring;
use super::shares::Shares;
use super::split::Split;
use super::turns::Cursor;
use crate::registry::{NodeEntry, Nodes};

/// How many lists a snapshot keeps. Calls whose filters come later look through the nodes themselves.
const MAX_KEPT: usize = 16;

/// What is kept with a snapshot.
#[derive(Default)]
struct Root {
    /// Of all its nodes.
    tables: Tables,
    kept: Kept,
}

/// What filters let pass of one snapshot: lists that were found, each with its filters.
#[derive(Default)]
struct Kept {
    subset: OnceLock<Box<Subset>>,
}

struct Subset {
    filters: Box<[Filter]>,
    part: Part,
    next: Kept,
}

/// Some of a snapshot's nodes.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) list: Box<[Arc<NodeEntry>]>,
    pub(super) tables: Tables,
}

/// What strategies have worked out about a list, each on first use.
#[derive(Debug, Default)]
pub(super) struct Tables {
    ring: OnceLock<Box<Ring>>,
    shares: OnceLock<Box<Shares>>,
    pub(super) cursor: Cursor,
    split: OnceLock<Box<Split>>,
}

/// A list of nodes with its tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    pub(super) list: &'a [Arc<NodeEntry>],
    pub(super) tables: &'a Tables,
}

/// Room for a split that is not kept.
pub(super) type Spare = OnceCell<Box<Split>>;

/// The nodes that a call may go to as far as can be told without asking functions of its own.
pub(super) enum List<'a> {
    Kept(Listed<'a>),
    Fresh(Part),
}

impl<'a> List<'a> {
    /// Those of `nodes` that pass the client's filters and the call's, but for the call's own
    /// functions. Where they were found before, nothing is allocated and no lock taken.
    pub(super) fn of(nodes: &'a Nodes, client: &[Filter], call: &[Filter]) -> Self {
        let filters = || client.iter().chain(call.iter().filter(|one| !one.is_own()));
        let fresh = || {
            let mut list = nodes.list.to_vec();
            filters().for_each(|filter| filter.apply(&mut list));
            Part {
                list: list.into(),
                tables: Tables::default(),
            }
        };
        let Some(root) = nodes.derived::<Root>() else {
            return Self::Fresh(fresh());
        };
        if filters().next().is_none() {
            return Self::Kept(Listed {
                list: &nodes.list,
                tables: &root.tables,
            });
        }
        let mut kept = &root.kept;
        for _ in 0..MAX_KEPT {
            // Made outside the place for it: functions of a user's run meanwhile. Whoever comes second
            // to an empty place looks whether the first had the same filters.
            let subset = match kept.subset.get() {
                Some(subset) => subset,
                None => {
                    let made = Box::new(Subset {
                        filters: filters().cloned().collect(),
                        part: fresh(),
                        next: Kept::default(),
                    });
                    kept.subset.get_or_init(|| made)
                }
            };
            if same(&subset.filters, filters()) {
                return Self::Kept(subset.part.listed());
            }
            kept = &subset.next;
        }
        Self::Fresh(fresh())
    }

    pub(super) fn listed(&self) -> Listed<'_> {
        match self {
            Self::Kept(listed) => *listed,
            Self::Fresh(part) => part.listed(),
        }
    }
}

impl Part {
    pub(super) fn listed(&self) -> Listed<'_> {
        Listed {
            list: &self.list,
            tables: &self.tables,
        }
    }
}

impl<'a> Listed<'a> {
    pub(super) fn ring(self) -> &'a Ring {
        let ring = &self.tables.ring;
        ring.get_or_init(|| Box::new(Ring::of(self.list)))
    }

    pub(super) fn shares(self) -> &'a Shares {
        let shares = &self.tables.shares;
        shares.get_or_init(|| Box::new(Shares::of(self.list)))
    }

    /// What `filter` lets pass, and what it does not; in `spare` where other filters have taken all the
    /// room that there is.
    pub(super) fn split(self, filter: &Filter, spare: &'a Spare) -> &'a Split {
        let mut place = &self.tables.split;
        for _ in 0..MAX_SPLITS {
            let split = match place.get() {
                Some(split) => split,
                None => {
                    // As above: a function of a user's may run.
                    let made = Box::new(Split::of(self.list, filter));
                    place.get_or_init(|| made)
                }
            };
            if split.filter.is(filter) {
                return split;
            }
            place = &split.next;
        }
        spare.get_or_init(|| Box::new(Split::of(self.list, filter)))
    }
}

/// By how many filters one list is split for all calls: a client has one canary and one zone. Calls
/// whose filters come later split it themselves.
const MAX_SPLITS: usize = 4;

fn same<'a>(kept: &[Filter], mut wanted: impl Iterator<Item = &'a Filter>) -> bool {
    kept.iter()
        .all(|filter| wanted.next().is_some_and(|wanted| filter.is(wanted)))
        && wanted.next().is_none()
}
