//! The registry of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::table::{Key, Progress, Table, key};
use super::{Event, Reach, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::Result;
use crate::tasks::after;

/// Knows the services of this process; for tests, and for programs that are one process.
///
/// A clone is the same registry.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Counts changes, for those who wait for one.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    table: Arc<Table>,
    /// When nodes expire.
    expiries: BTreeMap<Key, Instant>,
}

impl Memory {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Inner {
    /// Works on the state, from which what has expired is gone.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (done, changed) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.expire(Instant::now());
            let before = state.table.clone();
            let done = work(&mut state);
            (done, !Arc::ptr_eq(&before, &state.table))
        };
        // Watchers see expiries by their own clock; only other changes must wake them. They are
        // woken without the lock.
        if changed {
            self.changed.send_modify(|changes| *changes += 1);
        }
        done
    }

    fn table(&self) -> Arc<Table> {
        self.with(|state| state.table.clone())
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        let table = &mut self.table;
        self.expiries.retain(|key, at| {
            let alive = *at > now;
            if !alive {
                Arc::make_mut(table).remove(key);
            }
            alive
        });
    }
}

#[async_trait]
impl Registry for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn reach(&self) -> Reach {
        Reach::Machine
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let expiry = options.ttl.map(after);
        self.0.with(|state| {
            Arc::make_mut(&mut state.table).insert(service);
            for node in &service.nodes {
                match expiry {
                    Some(at) => state.expiries.insert(key(service, node), at),
                    None => state.expiries.remove(&key(service, node)),
                };
            }
        });
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        self.0.with(|state| {
            for node in &service.nodes {
                Arc::make_mut(&mut state.table).remove(&key(service, node));
                state.expiries.remove(&key(service, node));
            }
        });
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        match self.0.table().get(name) {
            found if found.is_empty() => Err(not_found()),
            found => Ok(found),
        }
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Ok(self.0.table().list())
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        let changed = self.0.changed.subscribe();
        Ok(Box::new(MemoryWatcher {
            progress: Progress::new(name, self.0.table()),
            changed,
            registry: self.0.clone(),
        }))
    }
}

#[derive(Debug)]
struct MemoryWatcher {
    progress: Progress,
    changed: watch::Receiver<u64>,
    registry: Arc<Inner>,
}

#[async_trait]
impl Watcher for MemoryWatcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.progress.ahead() {
                return Ok(event);
            }
            // Marked as seen before it is looked at: what changes meanwhile wakes the wait below.
            self.changed.mark_unchanged();
            if self.progress.advance(self.registry.table()) {
                continue;
            }
            let expiry = self
                .registry
                .with(|state| state.expiries.values().min().copied());
            tokio::select! {
                biased;
                // The registry is held by this watcher, so its sender lives.
                _ = self.changed.changed() => {}
                () = sleep_until(expiry) => {}
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
