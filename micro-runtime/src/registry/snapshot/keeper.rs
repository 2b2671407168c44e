//! The task behind a view: watches, loads, swaps the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::nodes::Come;
use super::view::{DORMANT, IDLE, Shared};
use super::{Home, NodeEntry, Nodes};
use crate::error::{Error, Result, id};
use crate::registry::{Action, Event, Node, Service, Watcher, may_name_sockets};
use crate::tasks::after;
use crate::transport::is_unix;

/// How old a snapshot may grow though no change was told: Go Micro's cache has the same.
const REFRESH: Duration = Duration::from_secs(60);
/// How many looks, one a minute, a view may be without use before its keeper ends.
const IDLE_LOOKS: u32 = 10;
/// The pause after the first failure of a watch or a load, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How many changes are remembered while a load is under way.
const MAX_DURING: usize = 1024;
/// How many changes that are told at once make one snapshot.
const AT_ONCE: usize = 256;

/// The right to keep a view up to date. Where the task that has it ends early, as by the panic of a
/// registry, the view is told, so that its next use starts another.
#[derive(Debug)]
pub(super) struct Keeping {
    shared: Arc<Shared>,
    early: bool,
}

impl Keeping {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            early: true,
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if !self.early {
            return;
        }
        // Calls that find the view ready start no keeper.
        self.shared.ready.store(false, Ordering::Release);
        self.shared.activity.store(DORMANT, Ordering::Relaxed);
        self.shared.loads.send_modify(|loads| {
            loads.done += 1;
            loads.last = Some(Instant::now());
            loads.error = Some(Error::internal(
                id::CLIENT,
                "the task that asks the registry has ended early",
            ));
        });
    }
}

/// Keeps a view up to date until it is unused for long, dropped, or the tasks are stopped.
pub(super) async fn keep(mut keeping: Keeping) {
    let shared = keeping.shared.clone();
    let (home, name) = (&*shared.home, &*shared.name);
    let registry = &*home.registry;
    let mut keeper = Keeper::new(&shared);
    // The watch comes first, so that nothing is missed between it and the load; but a watch that is
    // slow to open does not hold up the first load.
    let mut opening = Some(registry.watch(Some(name)));
    let mut loading = Some(registry.get(name));
    let mut watcher: Option<Box<dyn Watcher>> = None;
    let mut opened = Instant::now();
    let mut reopen = Pause::default();
    let mut look = Instant::now() + REFRESH;
    loop {
        tokio::select! {
            biased;
            watch = ready(&mut opening) => {
                opening = None;
                match watch {
                    Ok(watch) => {
                        watcher = Some(watch);
                        opened = Instant::now();
                        loading = Some(registry.get(name));
                    }
                    Err(error) => {
                        tracing::debug!(name, %error, "cannot watch the registry");
                        keeper.doubt();
                        reopen.after_failure(home);
                    }
                }
            }
            loaded = ready(&mut loading) => {
                loading = None;
                keeper.load(loaded);
            }
            event = next(&mut watcher) => match keeper.events(event, &mut watcher, loading.is_some()).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(name, %error, "the watch ended");
                    watcher = None;
                    keeper.doubt();
                    if opened.elapsed() > REFRESH {
                        reopen = Pause::default();
                    }
                    reopen.after_failure(home);
                }
            },
            () = shared.asked.notified(), if loading.is_none() => {
                if shared.wanted.load(Ordering::Acquire) {
                    loading = Some(registry.get(name));
                }
            }
            () = tokio::time::sleep_until(keeper.due), if loading.is_none() => {
                loading = Some(registry.get(name));
            }
            () = tokio::time::sleep_until(reopen.until), if watcher.is_none() && opening.is_none() => {
                opening = Some(registry.watch(Some(name)));
            }
            () = tokio::time::sleep_until(look) => {
                look += REFRESH;
                if keeper.is_unused() {
                    break;
                }
            }
        }
    }
    // From here on another may keep the view.
    keeping.early = false;
    if let Some(views) = shared.views.upgrade() {
        views.forget(name);
    }
}

struct Keeper<'a> {
    shared: &'a Shared,
    home: &'a Home,
    /// What the registry said, each node once, without names of other services.
    services: Vec<Service>,
    /// Changes told while a load is under way: the load may be older than they are.
    during: Vec<Event>,
    /// Since when the registry does not vouch for a node that is kept.
    missing: BTreeMap<String, Instant>,
    /// Until when the registry may have lost its memory: it failed, or its watch broke off.
    doubted_until: Instant,
    /// When to load next, without being asked.
    due: Instant,
    pause: Pause,
    idle_looks: u32,
}

impl<'a> Keeper<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            home: &shared.home,
            services: Vec::new(),
            during: Vec::new(),
            missing: BTreeMap::new(),
            doubted_until: Instant::now(),
            due: Instant::now() + REFRESH,
            pause: Pause::default(),
            idle_looks: 0,
        }
    }

    fn load(&mut self, loaded: Result<Vec<Service>>) {
        let now = Instant::now();
        let loaded = match loaded {
            Err(error) if error.code() == 404 => Ok(Vec::new()),
            loaded => loaded,
        };
        let during = std::mem::take(&mut self.during);
        let error = match loaded {
            Ok(mut services) => {
                services.retain(|service| *service.name == *self.shared.name);
                let before = self.missing.len();
                self.keep_missing(&mut services, now);
                self.services = services;
                for event in &during {
                    self.apply(event);
                }
                self.publish();
                self.tell_missing(before);
                self.shared.ready.store(true, Ordering::Release);
                self.pause = Pause::default();
                // Not all in step: a fleet that started together spreads its questions.
                self.due = now + REFRESH - self.home.tasks.up_to(REFRESH / 10);
                None
            }
            Err(error) => {
                if self.pause.failures == 0 {
                    tracing::warn!(
                        name = &*self.shared.name,
                        registry = self.home.registry.name(),
                        %error,
                        "the registry fails; what was known serves on"
                    );
                }
                self.doubt();
                let known = self.shared.nodes.load().known;
                self.shared.ready.store(known, Ordering::Release);
                self.pause.after_failure(self.home);
                self.due = self.pause.until;
                Some(error)
            }
        };
        // Those who asked while it was under way are answered by it.
        self.shared.wanted.store(false, Ordering::Release);
        self.shared.loads.send_modify(|loads| {
            loads.done += 1;
            loads.last = Some(now);
            loads.error = error;
        });
    }

    /// Adds nodes that a load does not name and that should not go at the registry's word alone.
    ///
    /// A node that answers is alive. While the registry may have lost its memory, and where a load
    /// would leave nothing at all, a node stays that has not failed: the worst of it is one more
    /// refused connection, and an emptied fleet is worse. Nothing stays longer than the directory's
    /// grace.
    fn keep_missing(&mut self, services: &mut Vec<Service>, now: Instant) {
        let current = self.shared.nodes.load();
        let nodes = services.iter().flat_map(|service| &service.nodes);
        let told: BTreeSet<&str> = nodes.map(|node| &*node.id).collect();
        let missing = current.list.iter();
        let missing = missing.filter(|entry| !told.contains(entry.id()));
        let missing = missing.filter_map(|entry| Some((entry, self.missing_since(entry, now)?)));
        let (mut kept, silent): (Vec<_>, Vec<_>) =
            missing.partition(|(entry, _)| self.answers(entry, now));
        if now < self.doubted_until || (told.is_empty() && kept.is_empty()) {
            kept.extend(silent.into_iter().filter(|(entry, _)| !entry.is_failing()));
        }
        let ids = kept
            .iter()
            .map(|(entry, since)| (entry.id().to_owned(), *since));
        self.missing = ids.collect();
        for (entry, _) in kept {
            put(services, &entry.service, entry.node.clone());
        }
    }

    /// Since when the registry does not vouch for a node that it vouches for no more `now`; `None` where
    /// that is too long.
    fn missing_since(&self, entry: &NodeEntry, now: Instant) -> Option<Instant> {
        let since = self.missing.get(entry.id()).copied().unwrap_or(now);
        (now.saturating_duration_since(since) < self.home.grace).then_some(since)
    }

    /// Tells a person where more nodes are kept than `before`.
    fn tell_missing(&self, before: usize) {
        if self.missing.len() > before {
            tracing::info!(
                name = &*self.shared.name,
                registry = self.home.registry.name(),
                nodes = self.missing.len(),
                "the registry no longer names nodes that have not failed; they are kept for a while"
            );
        }
    }

    /// Whether calls to the node have succeeded lately.
    fn answers(&self, entry: &NodeEntry, now: Instant) -> bool {
        entry.answers(self.home.millis(now.checked_sub(REFRESH).unwrap_or(now)))
    }

    /// Notes that the registry failed: what it says next may be all that it has learned since.
    fn doubt(&mut self) {
        self.doubted_until = after(self.home.grace);
    }

    /// Follows an event, and those that are there already: one snapshot for all of them. Gives how the
    /// watch ended, where it did.
    async fn events(
        &mut self,
        mut event: Result<Event>,
        watcher: &mut Option<Box<dyn Watcher>>,
        loading: bool,
    ) -> Result<()> {
        let before = self.missing.len();
        let (mut followed, mut changed) = (0, false);
        let ended = loop {
            match event {
                Ok(event) => changed |= self.event(event, loading),
                Err(error) => break Err(error),
            }
            followed += 1;
            if followed == AT_ONCE {
                break Ok(());
            }
            match next_at_once(watcher).await {
                Some(next) => event = next,
                None => break Ok(()),
            }
        };
        if changed {
            self.publish();
            self.tell_missing(before);
        }
        if followed == AT_ONCE {
            // There may be many more, and others have something to do, too.
            tokio::task::yield_now().await;
        }
        ended
    }

    /// Gives whether the event is of this name.
    fn event(&mut self, event: Event, loading: bool) -> bool {
        if *event.service.name != *self.shared.name {
            return false;
        }
        self.apply(&event);
        if loading {
            if self.during.len() < MAX_DURING {
                self.during.push(event);
            } else {
                self.due = Instant::now() + PAUSE.0;
            }
        }
        true
    }

    fn apply(&mut self, event: &Event) {
        let service = &event.service;
        if event.action != Action::Expire {
            for node in &service.nodes {
                self.missing.remove(&node.id);
            }
        }
        match event.action {
            Action::Create | Action::Update => add(&mut self.services, service),
            Action::Delete if service.nodes.is_empty() => self
                .services
                .retain(|known| !service.version.is_empty() && known.version != service.version),
            Action::Delete => remove_nodes(&mut self.services, service, |_| true),
            Action::Expire => self.expire(service),
        }
    }

    /// Takes nodes out that the registry no longer vouches for, but for those that answer, and all that
    /// have not failed while it may have lost its memory.
    fn expire(&mut self, expired: &Service) {
        let now = Instant::now();
        let current = self.shared.nodes.load();
        let mut services = std::mem::take(&mut self.services);
        remove_nodes(&mut services, expired, |id| {
            let entry = current.with_id(id);
            let since = entry.and_then(|entry| {
                let since = self.missing_since(entry, now)?;
                let doubted = now < self.doubted_until && !entry.is_failing();
                (doubted || self.answers(entry, now)).then_some(since)
            });
            match since {
                Some(since) => self.missing.insert(id.to_owned(), since),
                None => self.missing.remove(id),
            };
            since.is_none()
        });
        self.services = services;
    }

    fn publish(&mut self) {
        if !may_name_sockets(&*self.home.registry) {
            for service in &mut self.services {
                (service.nodes).retain(|node| !is_unix(&node.address));
            }
        }
        let now = self.home.millis(Instant::now());
        let current = self.shared.nodes.load();
        // What is told before all are known was there before.
        let come = match self.shared.ready.load(Ordering::Relaxed) && !current.list.is_empty() {
            true => Come::New,
            false => Come::Found,
        };
        let nodes = Nodes::renewed(&current, &self.services, come, now);
        self.shared.nodes.store(Arc::new(nodes));
    }

    /// Looks whether the view was used since the last look, and lets go after many without use.
    fn is_unused(&mut self) -> bool {
        let activity = &self.shared.activity;
        if activity.swap(IDLE, Ordering::Relaxed) != IDLE {
            self.idle_looks = 0;
            return false;
        }
        self.idle_looks += 1;
        if self.idle_looks < IDLE_LOOKS {
            return false;
        }
        self.shared.ready.store(false, Ordering::Release);
        activity
            .compare_exchange(IDLE, DORMANT, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// Adds the service's nodes, wherever they were before.
fn add(services: &mut Vec<Service>, service: &Service) {
    if service.nodes.is_empty() {
        return;
    }
    remove_nodes(services, service, |_| true);
    match version(services, &service.version) {
        Some(known) => {
            known.metadata.clone_from(&service.metadata);
            known.endpoints.clone_from(&service.endpoints);
            known.nodes.extend(service.nodes.iter().cloned());
        }
        None => services.push(service.clone()),
    }
}

/// Adds a node that is not among them.
fn put(services: &mut Vec<Service>, service: &Service, node: Node) {
    match version(services, &service.version) {
        Some(known) => known.nodes.push(node),
        None => services.push(service.with_nodes(vec![node])),
    }
}

fn version<'a>(services: &'a mut [Service], version: &str) -> Option<&'a mut Service> {
    services.iter_mut().find(|known| known.version == version)
}

/// Removes those of the service's nodes that `goes` says, by their ids, and versions that have none left
/// through it.
fn remove_nodes(
    services: &mut Vec<Service>,
    service: &Service,
    mut goes: impl FnMut(&str) -> bool,
) {
    let gone: BTreeSet<&str> = service.nodes.iter().map(|node| &*node.id).collect();
    services.retain_mut(|known| {
        let before = known.nodes.len();
        known
            .nodes
            .retain(|node| !gone.contains(&*node.id) || !goes(&node.id));
        before == known.nodes.len() || !known.nodes.is_empty()
    });
}

/// A growing pause after failures, with jitter.
#[derive(Debug)]
struct Pause {
    failures: u32,
    until: Instant,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            failures: 0,
            until: Instant::now(),
        }
    }
}

impl Pause {
    fn after_failure(&mut self, home: &Home) {
        let pause = PAUSE
            .0
            .saturating_mul(1 << self.failures.min(16))
            .min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        self.until = Instant::now() + pause / 2 + home.tasks.up_to(pause / 2);
    }
}

async fn ready<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next(watcher: &mut Option<Box<dyn Watcher>>) -> Result<Event> {
    match watcher {
        Some(watcher) => watcher.next().await,
        None => std::future::pending().await,
    }
}

/// What the watch has to tell already.
async fn next_at_once(watcher: &mut Option<Box<dyn Watcher>>) -> Option<Result<Event>> {
    tokio::select! {
        biased;
        event = next(watcher) => Some(event),
        () = std::future::ready(()) => None,
    }
}
