//! A watch of both sources: what multicast tells and what the files of this machine say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dns::Name;
use super::{Inner, Nodes};
use crate::error::Result;
use crate::registry::table::{Key, Progress, key};
use crate::registry::{Action, Event, Registry, Service, Watcher};

/// How many lookups' time a node has to answer when its file is gone.
const SUSPICION: u32 = 4;

/// Tells of a node once, whichever source tells of it, and of its end when none does any more.
#[derive(Debug)]
pub(super) struct Merged {
    local: Option<Box<dyn Watcher>>,
    progress: Progress,
    changed: watch::Receiver<u64>,
    /// What each source says, and the node that was told.
    in_files: Nodes,
    on_air: Nodes,
    ahead: VecDeque<Event>,
    interest: Interest,
}

impl Merged {
    pub(super) async fn open(inner: &Arc<Inner>, name: Option<&str>) -> Result<Self> {
        let engine = &inner.engine;
        let interest = Interest::new(inner, name);
        let changed = engine.changed.subscribe();
        let table = engine.seen().table();
        let mut in_files = Nodes::new();
        let mut local = None;
        if let Some(files) = inner.local() {
            match files.watch(name).await {
                Ok(watcher) => local = Some(watcher),
                Err(error) => tracing::debug!(%error, "cannot watch the local registry"),
            }
            // Those that are there already, so that their end is understood.
            let there = match name {
                Some(name) => files.get(name).await,
                None => files.list().await,
            };
            for service in there.unwrap_or_default() {
                for node in &service.nodes {
                    let one = service.with_nodes(vec![node.clone()]);
                    in_files.insert(key(&service, node), one);
                }
            }
        }
        let known = match name {
            Some(name) => table.get(name),
            None => table.list(),
        };
        let mut on_air = Nodes::new();
        for service in known {
            for node in &service.nodes {
                let one = service.with_nodes(vec![node.clone()]);
                on_air.insert(key(&service, node), one);
            }
        }
        engine.wake();
        Ok(Self {
            local,
            progress: Progress::new(name, table),
            changed,
            in_files,
            on_air,
            ahead: VecDeque::new(),
            interest,
        })
    }

    /// Whether the files are watched.
    pub(super) fn has_local(&self) -> bool {
        self.local.is_some()
    }

    /// What is known of a node: the file says all and is certain.
    fn known(&self, key: &Key) -> Option<&Service> {
        self.in_files.get(key).or_else(|| self.on_air.get(key))
    }

    /// Takes what a source tells of a node, and tells what that changes.
    fn take(&mut self, event: Event, from_files: bool) {
        let Some(node) = event.service.nodes.first() else {
            return;
        };
        let key = key(&event.service, node);
        let before = self.known(&key).cloned();
        let source = match from_files {
            true => &mut self.in_files,
            false => &mut self.on_air,
        };
        let is_there = matches!(event.action, Action::Create | Action::Update);
        match is_there {
            true => source.insert(key.clone(), event.service),
            false => source.remove(&key),
        };
        let now = self.known(&key).cloned();
        match (before, now) {
            (None, Some(now)) => self.tell(Action::Create, now),
            (Some(before), Some(now)) if before != now => self.tell(Action::Update, now),
            (Some(before), None) => {
                let deregistered = from_files || self.interest.has_left(&before);
                let action = match deregistered {
                    true => Action::Delete,
                    false => Action::Expire,
                };
                self.tell(action, before);
            }
            _ => {}
        }
        if from_files && !is_there && self.on_air.contains_key(&key) {
            // Its owner has ended or has deregistered it, unless somebody has cleaned up.
            let engine = &self.interest.inner.engine;
            let time: Duration = engine.options.query_time * SUSPICION;
            engine.seen().suspect(&key, time, Instant::now());
            engine.wake();
        }
    }

    fn tell(&mut self, action: Action, service: Service) {
        self.ahead.push_back(Event::new(action, service));
    }
}

#[async_trait]
impl Watcher for Merged {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                return Ok(event);
            }
            // Marked as seen before it is looked at: what changes meanwhile wakes the wait below.
            self.changed.mark_unchanged();
            let table = self.interest.inner.engine.seen().table();
            if self.progress.advance(table) {
                while let Some(event) = self.progress.ahead() {
                    self.take(event, false);
                }
                continue;
            }
            tokio::select! {
                biased;
                // The engine is held by this watcher, so its sender lives.
                _ = self.changed.changed() => {}
                event = next(&mut self.local) => {
                    let event = event?;
                    // Reading files never waits, so that no event is lost here.
                    if !self.interest.is_late(&event).await {
                        self.take(event, true);
                    }
                }
            }
        }
    }
}

async fn next(local: &mut Option<Box<dyn Watcher>>) -> Result<Event> {
    match local {
        Some(local) => local.next().await,
        None => std::future::pending().await,
    }
}

/// Has nodes of a name remembered as long as it lives.
#[derive(Debug)]
struct Interest {
    inner: Arc<Inner>,
    /// `None` for all names.
    of: Option<Name>,
    /// Whether the name is one that DNS can hold; another is in files alone.
    counts: bool,
}

impl Interest {
    fn new(inner: &Arc<Inner>, name: Option<&str>) -> Self {
        let engine = &inner.engine;
        let of = name.and_then(|name| engine.zone.service(name).ok());
        let counts = name.is_none() || of.is_some();
        if counts {
            engine.seen().watch(of.as_ref(), Instant::now());
        }
        Self {
            inner: inner.clone(),
            of,
            counts,
        }
    }

    /// Whether the node has said on the air that it is gone.
    fn has_left(&self, one: &Service) -> bool {
        let engine = &self.inner.engine;
        one.nodes.first().is_some_and(|node| {
            let instance = engine.zone.instance(&one.name, node);
            instance.is_ok_and(|instance| engine.seen().was_goodbye(&instance))
        })
    }

    /// Whether the files tell of a node that has left since: watchers look at them now and then, and
    /// a goodbye is faster.
    async fn is_late(&self, event: &Event) -> bool {
        let Some(local) = self.inner.local() else {
            return false;
        };
        if event.action == Action::Delete || !self.has_left(&event.service) {
            return false;
        }
        let found = local.get(&event.service.name).await.unwrap_or_default();
        let is_told = |id: &str| event.service.nodes.iter().any(|node| node.id == id);
        let mut nodes = found.iter().flat_map(|service| &service.nodes);
        !nodes.any(|node| is_told(&node.id))
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        if self.counts {
            self.inner.engine.seen().unwatch(self.of.as_ref());
        }
    }
}
