//! The nodes that filters let pass, found once a snapshot.

use std::sync::{Arc, OnceLock};

use super::Filter;
use crate::registry::{NodeEntry, Nodes};

/// How many lists a snapshot keeps. Calls whose filters come later look through the nodes themselves.
const MAX_KEPT: usize = 16;

/// What filters let pass of one snapshot: lists that were found, each with its filters.
#[derive(Default)]
struct Kept {
    subset: OnceLock<Box<Subset>>,
}

struct Subset {
    filters: Box<[Filter]>,
    list: Box<[Arc<NodeEntry>]>,
    next: Kept,
}

/// The nodes that a call may go to as far as can be told without asking functions of its own.
pub(super) enum List<'a> {
    Kept(&'a [Arc<NodeEntry>]),
    Fresh(Vec<Arc<NodeEntry>>),
}

impl<'a> List<'a> {
    /// Those of `nodes` that pass the client's filters and the call's, but for the call's own
    /// functions. Where they were found before, nothing is allocated and no lock taken.
    pub(super) fn of(nodes: &'a Nodes, client: &[Filter], call: &[Filter]) -> Self {
        let filters = || client.iter().chain(call.iter().filter(|one| !one.is_own()));
        if filters().next().is_none() {
            return Self::Kept(&nodes.list);
        }
        let fresh = || {
            let mut list = nodes.list.to_vec();
            filters().for_each(|filter| filter.apply(&mut list));
            list
        };
        let Some(mut kept) = nodes.derived::<Kept>() else {
            return Self::Fresh(fresh());
        };
        for _ in 0..MAX_KEPT {
            // Made outside the place for it: functions of a user's run meanwhile. Whoever comes second
            // to an empty place looks whether the first had the same filters.
            let subset = match kept.subset.get() {
                Some(subset) => subset,
                None => {
                    let made = Box::new(Subset {
                        filters: filters().cloned().collect(),
                        list: fresh().into(),
                        next: Kept::default(),
                    });
                    kept.subset.get_or_init(|| made)
                }
            };
            if same(&subset.filters, filters()) {
                return Self::Kept(&subset.list);
            }
            kept = &subset.next;
        }
        Self::Fresh(fresh())
    }

    pub(super) fn nodes(&self) -> &[Arc<NodeEntry>] {
        match self {
            Self::Kept(list) => list,
            Self::Fresh(list) => list,
        }
    }
}

fn same<'a>(kept: &[Filter], mut wanted: impl Iterator<Item = &'a Filter>) -> bool {
    kept.iter()
        .all(|filter| wanted.next().is_some_and(|wanted| filter.is(wanted)))
        && wanted.next().is_none()
}
