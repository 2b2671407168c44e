//! The registry as calls see it: a snapshot for each name, kept up to date beside the calls.
//!
//! A call reads its name's [`View`] without waiting and without a lock. Behind it one task watches
//! the registry, loads again from time to time and on demand, and swaps the snapshot whole. While
//! the registry fails, the last snapshot serves on. The registry's word is not taken alone: a node that
//! it does not name any more, though nobody has deregistered it, is kept for a while ([`GRACE`]) while
//! it answers calls; so is one that has not failed, where the registry may have lost its memory or
//! where no node at all would be left.

mod health;
mod keeper;
mod load;
mod nodes;
mod tally;
mod view;

pub use health::Standing;
pub(crate) use health::{Found, Term, Verdict, Weight};
pub(crate) use load::Counted;
pub use load::Underway;
use nodes::Turns;
pub(crate) use nodes::mix;
pub use nodes::{NodeEntry, Nodes};
pub use view::{NodesGuard, View};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Registry;
use crate::metadata::Text;
use crate::tasks::Tasks;

/// The views of one registry, by name. A clone is the same directory.
///
/// At most 1024 names are kept beyond those that somebody holds, and a view that nobody used for
/// ten minutes stops watching until it is used again.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    home: Arc<Home>,
    views: Arc<Views>,
    by_hand: Mutex<ByHand>,
}

/// What views need of their directory; it does not keep them alive.
#[derive(Debug)]
struct Home {
    registry: Arc<dyn Registry>,
    tasks: Tasks,
    started: Instant,
    grace: Duration,
}

/// How long nodes are kept that the registry no longer names, where nothing else is said: two
/// intervals of registering, the retries of a registration that has failed, and some slack.
pub const GRACE: Duration = Duration::from_secs(150);

/// The views that are kept, by name.
#[derive(Debug, Default)]
struct Views(Mutex<BTreeMap<Arc<str>, Arc<View>>>);

/// Nodes at addresses that callers gave: both maps are emptied when they are full.
#[derive(Debug)]
struct ByHand {
    lists: BTreeMap<Box<[Text]>, Arc<Nodes>>,
    entries: BTreeMap<Text, Arc<NodeEntry>>,
    turns: Arc<Turns>,
}

const MAX_VIEWS: usize = 1024;
const MAX_LISTS: usize = 256;
const MAX_ADDRESSES: usize = 1024;

impl Directory {
    /// A directory of what `registry` knows. Watches nothing until a view is used.
    pub fn new(registry: Arc<dyn Registry>, tasks: &Tasks) -> Self {
        Self::with_grace(registry, tasks, GRACE)
    }

    /// As [`new`](Self::new), where nodes that the registry no longer names are kept for `grace`; with
    /// zero its word is taken for the truth.
    pub fn with_grace(registry: Arc<dyn Registry>, tasks: &Tasks, grace: Duration) -> Self {
        Self(Arc::new(Inner {
            home: Arc::new(Home {
                registry,
                tasks: tasks.clone(),
                started: Instant::now(),
                grace,
            }),
            views: Arc::default(),
            by_hand: Mutex::new(ByHand {
                lists: BTreeMap::new(),
                entries: BTreeMap::new(),
                turns: Arc::new(Turns::new(tasks.number())),
            }),
        }))
    }

    /// The registry.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.0.home.registry
    }

    /// The view of `name`: the same one as long as somebody uses it.
    pub fn view(&self, name: &str) -> Arc<View> {
        let mut views = self.0.views.lock();
        if let Some(view) = views.get(name) {
            return view.clone();
        }
        let gone = match views.len() {
            MAX_VIEWS.. => make_room(&mut views),
            _ => None,
        };
        let view = Arc::new(View::new(name.into(), &self.0.home, &self.0.views));
        views.insert(name.into(), view.clone());
        drop(views);
        drop(gone);
        view
    }

    /// The nodes at addresses given by hand. What calls learn about an address is kept for all
    /// lists that have it, as long as there are not more than 1024 of them.
    pub fn addresses(&self, addresses: &[Text]) -> Arc<Nodes> {
        let mut by_hand = self
            .0
            .by_hand
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let by_hand = &mut *by_hand;
        if let Some(nodes) = by_hand.lists.get(addresses) {
            return nodes.clone();
        }
        if by_hand.lists.len() >= MAX_LISTS {
            by_hand.lists.clear();
        }
        if by_hand.entries.len() + addresses.len() > MAX_ADDRESSES {
            by_hand.entries.clear();
        }
        let list = addresses
            .iter()
            .map(|address| {
                let entry = by_hand.entries.entry(address.clone());
                let make = || NodeEntry::by_hand_in(address, &by_hand.turns.total);
                entry.or_insert_with(make).clone()
            })
            .collect();
        let mut nodes = Nodes::of_entries(list, by_hand.turns.clone());
        nodes.part = true;
        let nodes = Arc::new(nodes);
        by_hand.lists.insert(addresses.into(), nodes.clone());
        nodes
    }

    /// What `look` finds at each view: for a person who looks. It is called
    /// under a lock, and must be short.
    pub(crate) fn survey<T>(&self, mut look: impl FnMut(&View) -> T) -> Vec<T> {
        self.0
            .views
            .lock()
            .values()
            .map(|view| look(view))
            .collect()
    }

    /// The nodes at addresses given by hand that are remembered.
    pub(crate) fn given(&self) -> Vec<Arc<NodeEntry>> {
        let by_hand = self.0.by_hand.lock();
        let by_hand = by_hand.unwrap_or_else(PoisonError::into_inner);
        by_hand.entries.values().cloned().collect()
    }

    /// An instant as nodes are told it: milliseconds since the directory was made.
    pub fn millis(&self, at: Instant) -> u64 {
        self.0.home.millis(at)
    }
}

impl Home {
    fn millis(&self, at: Instant) -> u64 {
        let millis = at.saturating_duration_since(self.started).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX)
    }
}

impl Views {
    /// Lets go of a view that nobody holds.
    fn forget(&self, name: &str) {
        let mut views = self.lock();
        let gone = match views.get(name) {
            Some(view) if Arc::strong_count(view) == 1 => views.remove(name),
            _ => None,
        };
        // Its nodes' channels close with it: not under the lock.
        drop(views);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<View>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes one view that nobody holds, rather one that was not used lately.
fn make_room(views: &mut BTreeMap<Arc<str>, Arc<View>>) -> Option<Arc<View>> {
    let unheld = |view: &&Arc<View>| Arc::strong_count(view) == 1;
    let name = views
        .values()
        .filter(unheld)
        .min_by_key(|view| view.is_used())
        .map(|view| view.name().clone())?;
    views.remove(&name)
}
