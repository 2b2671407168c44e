//! The snapshots that calls read: fed by watches and loads, and good through a registry's failure.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use micro_runtime::registry::{
    Directory, Event, Memory, Node, NodeEntry, RegisterOptions, Registry, Service, View, Watcher,
};
use micro_runtime::tasks::Tasks;
use micro_runtime::{Error, Result};
use tokio::time::Instant;

/// A memory registry with switches.
#[derive(Debug, Default)]
struct Fickle {
    memory: Memory,
    /// Every question fails.
    down: Mutex<bool>,
    /// How long answers take to arrive.
    slow: Mutex<Duration>,
    watches: Watches,
    loads: AtomicUsize,
    watched: AtomicUsize,
}

#[derive(Debug, Default, PartialEq)]
enum Watches {
    #[default]
    Work,
    /// They tell nothing.
    AreSilent,
    /// They never open.
    Hang,
    /// They tell nothing and end after a minute and a half.
    End,
}

impl Fickle {
    fn with(watches: Watches) -> Arc<Self> {
        Arc::new(Self {
            watches,
            ..Self::default()
        })
    }

    fn check(&self) -> Result<()> {
        match *self.down.lock().unwrap() {
            true => Err(Error::internal("fickle", "connection refused")),
            false => Ok(()),
        }
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Registry for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        self.memory.register(service, options).await
    }
    async fn deregister(&self, service: &Service) -> Result<()> {
        self.memory.deregister(service).await
    }
    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let answer = self.memory.get(name).await;
        let slow = *self.slow.lock().unwrap();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        answer
    }
    async fn list(&self) -> Result<Vec<Service>> {
        self.memory.list().await
    }
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.check()?;
        self.watched.fetch_add(1, Ordering::SeqCst);
        match self.watches {
            Watches::Work => self.memory.watch(name).await,
            Watches::AreSilent => Ok(Box::new(Silent(None))),
            Watches::Hang => std::future::pending().await,
            Watches::End => Ok(Box::new(Silent(Some(
                Instant::now() + Duration::from_secs(90),
            )))),
        }
    }
}

/// Tells nothing, and ends at this time.
#[derive(Debug)]
struct Silent(Option<Instant>);

#[async_trait]
impl Watcher for Silent {
    async fn next(&mut self) -> Result<Event> {
        match self.0 {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
        Err(Error::internal("fickle", "watcher stopped"))
    }
}

fn node(id: &str, port: u16) -> Node {
    let mut node = Node::new(id, format!("127.0.0.1:{port}"));
    node.metadata.insert("protocol".into(), "mucp".into());
    node
}

fn greeter(version: &str, nodes: impl IntoIterator<Item = Node>) -> Service {
    Service::new("greeter", version).with_nodes(nodes.into_iter().collect())
}

async fn register(registry: &dyn Registry, service: &Service) {
    registry
        .register(service, RegisterOptions::default())
        .await
        .unwrap();
}

fn tasks() -> Tasks {
    Tasks::seeded(1, SystemTime::UNIX_EPOCH)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn ids(view: &View) -> Vec<String> {
    let nodes = view.nodes();
    nodes
        .list
        .iter()
        .map(|entry| entry.id().to_owned())
        .collect()
}

fn entry(view: &View, id: &str) -> Arc<NodeEntry> {
    let nodes = view.nodes();
    let found = nodes.list.iter().find(|entry| entry.id() == id);
    found.expect("the node is there").clone()
}

/// Lets other tasks run until `right`; on the paused clock this takes no time.
async fn until(mut right: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if right() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not become so");
}

#[tokio::test(start_paused = true)]
async fn the_first_call_waits_for_the_first_load() {
    let registry = Memory::new();
    register(&registry, &greeter("1", [node("a", 1), node("b", 2)])).await;
    let directory = Directory::new(Arc::new(registry), &tasks());
    let view = directory.view("greeter");
    assert!(!view.is_ready());
    view.ready(soon()).await.unwrap();
    assert_eq!(ids(&view), ["a", "b"]);
    assert!(Arc::ptr_eq(&view, &directory.view("greeter")));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_costs_no_more_than_the_deadline() {
    let registry = Arc::new(Fickle::default());
    *registry.slow.lock().unwrap() = Duration::from_secs(3600);
    let directory = Directory::new(registry, &tasks());
    let started = Instant::now();
    let error = directory.view("greeter").ready(soon()).await.unwrap_err();
    assert_eq!(error.code(), 408);
    assert!(error.is_unprocessed());
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_by_the_watch() {
    let registry = Arc::new(Fickle::default());
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    assert!(!view.nodes().known);
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    register(&*registry, &greeter("2", [node("b", 2)])).await;
    until(|| ids(&view) == ["a", "b"]).await;
    assert_eq!(entry(&view, "b").version(), "2");
    register(&*registry, &greeter("2", [node("a", 1)])).await;
    until(|| entry(&view, "a").version() == "2").await;
    registry
        .deregister(&greeter("2", [node("a", 0), node("b", 0)]))
        .await
        .unwrap();
    until(|| !view.nodes().known).await;
    assert_eq!(registry.loads(), 1, "the watch told it, nobody asked");
}

#[tokio::test(start_paused = true)]
async fn changes_told_during_a_load_are_not_undone_by_it() {
    let registry = Arc::new(Fickle::default());
    register(&*registry, &greeter("1", [node("a", 1), node("b", 2)])).await;
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    *registry.slow.lock().unwrap() = Duration::from_secs(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let load = view.refresh(soon());
    let changes = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        register(&*registry, &greeter("1", [node("c", 3)])).await;
        registry
            .deregister(&greeter("1", [node("a", 1)]))
            .await
            .unwrap();
    };
    let (load, ()) = tokio::join!(load, changes);
    load.unwrap();
    assert_eq!(ids(&view), ["b", "c"]);
    assert_eq!(registry.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_told_one_by_one_before_the_first_load_ends_are_not_new() {
    let registry = Fickle::with(Watches::Work);
    *registry.slow.lock().unwrap() = Duration::from_secs(1);
    let view = Directory::new(registry.clone(), &tasks()).view("greeter");
    let told = async {
        until(|| registry.loads() == 1).await;
        tokio::time::advance(Duration::from_millis(10)).await;
        for (id, port) in [("a", 1), ("b", 2), ("c", 3)] {
            register(&*registry, &greeter("1", [node(id, port)])).await;
            until(|| ids(&view).iter().any(|known| known == id)).await;
            assert!(!view.is_ready());
        }
    };
    let (ready, ()) = tokio::join!(view.ready(soon()), told);
    ready.unwrap();
    for id in ["a", "b", "c"] {
        assert_eq!(entry(&view, id).since(), 0, "{id}");
    }
    register(&*registry, &greeter("1", [node("d", 4)])).await;
    until(|| ids(&view).len() == 4).await;
    assert_ne!(entry(&view, "d").since(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_open_holds_up_no_call() {
    let registry = Fickle::with(Watches::Hang);
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    let started = Instant::now();
    view.ready(soon()).await.unwrap();
    assert_eq!((ids(&view).len(), started.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_opened_again_and_what_was_missed_is_loaded() {
    let registry = Fickle::with(Watches::End);
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    // Just after a refresh of the snapshot, so that only a new watch brings the node in soon.
    tokio::time::sleep(Duration::from_secs(75)).await;
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    let started = Instant::now();
    until(|| ids(&view) == ["a"]).await;
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(registry.watched.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_a_snapshot_is_a_minute_old_at_most() {
    let registry = Fickle::with(Watches::AreSilent);
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    let started = Instant::now();
    until(|| ids(&view) == ["a"]).await;
    assert!(
        started.elapsed() > Duration::from_secs(50),
        "{:?}",
        started.elapsed()
    );
    assert!(
        started.elapsed() <= Duration::from_secs(61),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn callers_share_one_question_and_do_not_repeat_it_at_once() {
    let registry = Fickle::with(Watches::AreSilent);
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    *registry.slow.lock().unwrap() = Duration::from_millis(30);
    let callers = tasks();
    for _ in 0..50 {
        let view = view.clone();
        callers.spawn(async move { view.refresh(soon()).await.unwrap() });
    }
    callers.idle().await;
    // One when the watch was open; one may have begun before it and been given up.
    let first = registry.loads();
    assert!(first <= 2, "{first} questions");
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    view.refresh(soon()).await.unwrap();
    assert_eq!(
        (registry.loads(), ids(&view).len()),
        (first, 0),
        "just asked"
    );
    tokio::time::sleep(Duration::from_millis(101)).await;
    view.refresh(soon()).await.unwrap();
    assert_eq!((registry.loads(), ids(&view).len()), (first + 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_snapshot_serves_on_while_the_registry_fails() {
    let registry = Arc::new(Fickle::default());
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    *registry.down.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let error = view.refresh(soon()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.id(), error.detail()),
        (
            500,
            "go.micro.client",
            "error selecting greeter node: connection refused"
        )
    );
    view.ready(soon()).await.unwrap();
    assert_eq!(ids(&view), ["a"]);
    assert!(
        registry.loads() < 40,
        "{} questions in five minutes",
        registry.loads()
    );
    *registry.down.lock().unwrap() = false;
    register(&*registry, &greeter("1", [node("b", 1)])).await;
    until(|| ids(&view) == ["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_at_the_start_is_an_error_until_it_is_up() {
    let registry = Arc::new(Fickle::default());
    register(&*registry, &greeter("1", [node("a", 1)])).await;
    *registry.down.lock().unwrap() = true;
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    assert!(view.ready(soon()).await.is_err());
    assert!(!view.is_ready());
    *registry.down.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(1)).await;
    view.ready(soon()).await.unwrap();
    assert_eq!(ids(&view), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn entries_keep_what_was_learned_as_long_as_the_node_is_the_same() {
    let registry = Memory::new();
    register(&registry, &greeter("1", [node("a", 1), node("b", 2)])).await;
    let directory = Directory::new(Arc::new(registry.clone()), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    let (a, b) = (entry(&view, "a"), entry(&view, "b"));
    assert_eq!(a.slot(|| 7_u32), Some(&7));
    assert_eq!(a.slot(|| 8_u32), Some(&7), "made once");
    assert_eq!(a.slot(|| "other"), None, "of one type");
    a.eject(view.millis(Instant::now()));

    // Another node comes: the same entries.
    register(&registry, &greeter("1", [node("c", 3)])).await;
    until(|| ids(&view).len() == 3).await;
    assert!(Arc::ptr_eq(&entry(&view, "a"), &a));

    // The service changes: other entries with the same knowledge.
    register(&registry, &greeter("2", [node("a", 1)])).await;
    until(|| entry(&view, "a").version() == "2").await;
    let newer = entry(&view, "a");
    assert!(newer.is_same(&a));
    assert!(newer.is_ejected(view.millis(Instant::now())));
    assert_eq!(newer.slot(|| 9_u32), Some(&7));

    // The node moves: nothing is known about it.
    register(&registry, &greeter("1", [node("b", 22)])).await;
    until(|| entry(&view, "b").address() == "127.0.0.1:22").await;
    assert!(!entry(&view, "b").is_same(&b));
}

#[tokio::test(start_paused = true)]
async fn ejection_grows_to_half_a_minute_and_ends_with_a_success() {
    let directory = Directory::new(Arc::new(Memory::new()), &tasks());
    let nodes = directory.addresses(&["10.0.0.1:1".into()]);
    let entry = &nodes.list[0];
    let mut now = 5;
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        entry.eject(now);
        entry.eject(now + 1); // while it is left alone, failures do not add up
        assert!(entry.is_ejected(now + seconds * 1000 - 1), "{seconds}");
        now += seconds * 1000;
        assert!(!entry.is_ejected(now), "{seconds}");
    }
    entry.eject(now);
    entry.restore(now);
    assert!(!entry.is_ejected(now));
    entry.eject(now);
    assert!(!entry.is_ejected(now + 1000));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_outlives_a_load_that_forgot_it() {
    let registry = Fickle::with(Watches::AreSilent);
    register(
        &*registry,
        &greeter("1", [node("a", 1), node("b", 2), node("c", 3)]),
    )
    .await;
    let directory = Directory::new(registry.clone(), &tasks());
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    let now = || view.millis(Instant::now());
    entry(&view, "a").restore(now());
    entry(&view, "b").restore(now());
    entry(&view, "b").eject(now());
    let (a, all) = (
        entry(&view, "a"),
        greeter("1", [node("a", 1), node("b", 2), node("c", 3)]),
    );
    registry.deregister(&all).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    view.refresh(soon()).await.unwrap();
    assert_eq!(ids(&view), ["a"], "b cannot be reached, c has not answered");
    assert!(Arc::ptr_eq(&entry(&view, "a"), &a));
    // It answers on and on, but the registry has the last word after a while.
    let started = Instant::now();
    while view.nodes().known {
        a.restore(now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(started.elapsed() < Duration::from_secs(300));
    }
    assert!(started.elapsed() > Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_view_without_use_stops_watching_and_is_let_go() {
    let registry = Memory::new();
    register(&registry, &greeter("1", [node("a", 1)])).await;
    let tasks = tasks();
    let directory = Directory::new(Arc::new(registry), &tasks);
    let (held, used) = (directory.view("greeter"), directory.view("other"));
    let dropped = Arc::downgrade(&directory.view("dropped"));
    for view in [&held, &used, &dropped.upgrade().unwrap()] {
        view.ready(soon()).await.unwrap();
    }
    assert_eq!(tasks.running(), 3);
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        used.nodes();
    }
    assert_eq!(tasks.running(), 1);
    assert!(dropped.upgrade().is_none());
    // One that is held wakes up when it is used again.
    assert!(!held.is_ready());
    held.ready(soon()).await.unwrap();
    assert_eq!((ids(&held).len(), tasks.running()), (1, 2));
    drop((directory, held, used));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks.running(), 0, "a dropped view stops its task");
}

#[tokio::test]
async fn the_number_of_views_is_bounded_but_for_those_in_use() {
    let directory = Directory::new(Arc::new(Memory::new()), &tasks());
    let held = directory.view("held");
    let views: BTreeMap<usize, _> = (0..3000)
        .map(|n| (n, Arc::downgrade(&directory.view(&format!("s{n}")))))
        .collect();
    let alive = views.values().filter(|view| view.upgrade().is_some());
    assert_eq!(alive.count(), 1023);
    assert!(Arc::ptr_eq(&held, &directory.view("held")));
}

#[tokio::test]
async fn addresses_given_by_hand_share_what_is_learned() {
    let directory = Directory::new(Arc::new(Memory::new()), &tasks());
    let one = directory.addresses(&["10.0.0.1:1".into(), "10.0.0.2:1".into()]);
    let two = directory.addresses(&["10.0.0.2:1".into()]);
    assert!(Arc::ptr_eq(
        &one,
        &directory.addresses(&["10.0.0.1:1".into(), "10.0.0.2:1".into()])
    ));
    assert!(Arc::ptr_eq(&one.list[1], &two.list[0]));
    assert_eq!(one.list[0].metadata("protocol"), Some("mucp"));
}
