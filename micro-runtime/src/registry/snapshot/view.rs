//! One name's snapshot and the way to have it loaded.

use std::any::Any;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::keeper::{Keeping, keep};
use super::{Home, Nodes, Turns, Views};
use crate::error::{Error, Result, id};

/// The nodes of one name, up to date.
///
/// ```no_run
/// # use micro_runtime::{Result, registry::View};
/// # use tokio::time::Instant;
/// # async fn call(view: &View, deadline: Instant) -> Result<()> {
/// if !view.is_ready() {
///     view.ready(deadline).await?;
/// }
/// println!("{} nodes", view.nodes().list.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct View {
    shared: Arc<Shared>,
    keeper: Mutex<Option<AbortHandle>>,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What a view and its keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) home: Arc<Home>,
    /// Where the view is kept, to let go of it there.
    pub(super) views: Weak<Views>,
    pub(super) nodes: ArcSwap<Nodes>,
    /// Whether there is a snapshot to call with.
    pub(super) ready: AtomicBool,
    pub(super) activity: AtomicU8,
    pub(super) loads: watch::Sender<Loads>,
    /// Whether somebody wants a load that has not begun.
    pub(super) wanted: AtomicBool,
    /// Wakes the keeper to look at that.
    pub(super) asked: Notify,
}

/// How loading went.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    pub(super) done: u64,
    pub(super) last: Option<Instant>,
    pub(super) error: Option<Error>,
}

/// No keeper runs.
pub(super) const DORMANT: u8 = 0;
/// A keeper runs; the view was not used since it last looked.
pub(super) const IDLE: u8 = 1;
/// A keeper runs; the view was used.
pub(super) const USED: u8 = 2;

/// A load this fresh is not repeated: nothing newer would be learned.
const FRESH: Duration = Duration::from_millis(100);

impl View {
    pub(super) fn new(name: Arc<str>, home: &Arc<Home>, views: &Arc<Views>) -> Self {
        let turns = Arc::new(Turns::new(home.tasks.number()));
        let nodes = Nodes::new(name.clone(), hint(home.registry.name()), turns);
        Self {
            shared: Arc::new(Shared {
                name,
                home: home.clone(),
                views: Arc::downgrade(views),
                nodes: ArcSwap::from_pointee(nodes),
                ready: AtomicBool::new(false),
                activity: AtomicU8::new(DORMANT),
                loads: watch::Sender::default(),
                wanted: AtomicBool::new(false),
                asked: Notify::new(),
            }),
            keeper: Mutex::default(),
            slot: OnceLock::new(),
        }
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// The present snapshot, without a lock and without waiting; empty before the first load.
    pub fn nodes(&self) -> NodesGuard {
        // A store only where it changes something: the flag stays in all cores' caches.
        if self.shared.activity.load(Ordering::Relaxed) == IDLE {
            let _ = self.shared.become_used(IDLE);
        }
        NodesGuard(self.shared.nodes.load())
    }

    /// The present snapshot for somebody who calls nobody: it counts as no use.
    pub(crate) fn peek(&self) -> Arc<Nodes> {
        self.shared.nodes.load_full()
    }

    /// Why the registry could not be asked when it was asked last.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.shared.loads.borrow().error.clone()
    }

    /// Whether there is a snapshot to call with. Where not, see [`ready`](Self::ready).
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Waits for the first snapshot. Cancel safe.
    ///
    /// # Errors
    /// When the registry failed and nothing is known from earlier, or when `deadline` came first.
    pub async fn ready(&self, deadline: Instant) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        let result = self.refresh(deadline).await;
        match result {
            // An old snapshot is better than an error.
            _ if self.is_ready() => Ok(()),
            Err(error) if !error.is_timeout() && self.shared.nodes.load().known => {
                tracing::debug!(name = &**self.name(), %error, "what was known serves on");
                Ok(())
            }
            result => result,
        }
    }

    /// Waits until there is a snapshot to call with, as long as somebody else has the registry asked: it
    /// counts as no use. Cancel safe.
    pub(crate) async fn loaded(&self, deadline: Instant) {
        let mut loads = self.shared.loads.subscribe();
        let ready = loads.wait_for(|_| self.is_ready());
        let _ = tokio::time::timeout_at(deadline, ready).await;
    }

    /// Has the registry asked again, for calls that found no node or could not connect, and waits
    /// for the answer. Callers share one question, and none is asked within 100 ms of the last
    /// answer. Cancel safe.
    ///
    /// # Errors
    /// When the registry failed, or when `deadline` came first. The last snapshot stays.
    pub async fn refresh(&self, deadline: Instant) -> Result<()> {
        let mut loads = self.shared.loads.subscribe();
        let before = loads.borrow_and_update().clone();
        let fresh = before.last.is_some_and(|last| last.elapsed() < FRESH);
        if fresh && before.error.is_some() {
            // Nor is a keeper started that would end as the last one did.
            return self.outcome(&before);
        }
        let started = self.start();
        match before.last {
            Some(_) if !started && fresh => return self.outcome(&before),
            // A keeper that has just started loads by itself.
            _ if !started => {
                self.shared.wanted.store(true, Ordering::Release);
                self.shared.asked.notify_one();
            }
            _ => {}
        }
        let wait = loads.wait_for(|loads| loads.done > before.done);
        match tokio::time::timeout_at(deadline, wait).await {
            Ok(Ok(loads)) => self.outcome(&loads),
            // The sender lives in this view, so that only time can end the wait.
            _ => Err(Error::timeout(
                id::CLIENT,
                format!(
                    "the registry did not tell in time where {} runs",
                    self.name()
                ),
            )
            .unprocessed()),
        }
    }

    /// Milliseconds as [`Directory::millis`](super::Directory::millis) gives them.
    pub fn millis(&self, at: Instant) -> u64 {
        self.shared.home.millis(at)
    }

    /// What the client keeps for this name, made on first use. `None` where something of another type
    /// is kept.
    pub(crate) fn slot<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let kept = self.slot.get_or_init(|| Box::new(make()));
        kept.downcast_ref()
    }

    pub(super) fn is_used(&self) -> bool {
        self.shared.activity.load(Ordering::Relaxed) == USED
    }

    fn outcome(&self, loads: &Loads) -> Result<()> {
        match &loads.error {
            None => Ok(()),
            Some(error) => Err(Error::internal(
                id::CLIENT,
                format!("error selecting {} node: {}", self.name(), error.detail()),
            )
            .with_source(error.clone())
            .unprocessed()),
        }
    }

    /// Notes a use, and starts the keeper where none runs.
    fn start(&self) -> bool {
        if self.shared.become_used(IDLE) || self.is_used() {
            return false;
        }
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.shared.become_used(DORMANT) {
            return false;
        }
        let tasks = &self.shared.home.tasks;
        *keeper = Some(tasks.spawn(keep(Keeping::new(self.shared.clone()))));
        true
    }
}

impl Shared {
    pub(super) fn become_used(&self, from: u8) -> bool {
        self.activity
            .compare_exchange(from, USED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = &*keeper {
            keeper.abort();
        }
    }
}

/// A snapshot that a call reads. Meant to be held shortly: take what you need, not across an await.
#[derive(Debug)]
pub struct NodesGuard(arc_swap::Guard<Arc<Nodes>>);

impl NodesGuard {
    /// Tells this snapshot from others without keeping it.
    pub(crate) fn downgrade(&self) -> Weak<Nodes> {
        Arc::downgrade(&self.0)
    }
}

impl Deref for NodesGuard {
    type Target = Nodes;
    fn deref(&self) -> &Nodes {
        &self.0
    }
}

/// What a person can do where a name is not found in this registry.
fn hint(registry: &str) -> &'static str {
    match registry {
        "memory" => {
            "the memory registry knows only services of this process: start it here, or choose another with --registry or MICRO_REGISTRY"
        }
        "local" => {
            "the local registry knows only services of this user on this machine: start it, or choose another with --registry or MICRO_REGISTRY"
        }
        "mdns" => {
            "multicast DNS finds services on this machine and in its networks: start it there, or choose another with --registry or MICRO_REGISTRY"
        }
        _ => "",
    }
}
