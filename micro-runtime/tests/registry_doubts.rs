//! A registry that loses its memory, or stops vouching for nodes, does not empty a working fleet.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use micro_runtime::registry::{
    Action, Directory, Event, Node, NodeEntry, RegisterOptions, Registry, Service, View, Watcher,
};
use micro_runtime::tasks::Tasks;
use micro_runtime::{Error, Result};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

/// Says what the test has it say.
#[derive(Debug)]
struct Scripted {
    known: Mutex<Vec<Service>>,
    down: Mutex<bool>,
    events: broadcast::Sender<Option<Event>>,
}

impl Scripted {
    fn knowing(ids: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::new(vec![greeter(ids)]),
            down: Mutex::default(),
            events: broadcast::channel(1024).0,
        })
    }

    fn know(&self, ids: &[&str]) {
        *self.known.lock().unwrap() = match ids {
            [] => Vec::new(),
            ids => vec![greeter(ids)],
        };
    }

    /// Goes away, which ends its watches, and comes back with an empty memory.
    async fn restart_empty(&self) {
        *self.down.lock().unwrap() = true;
        let _ = self.events.send(None);
        sleep(Duration::from_secs(5)).await;
        self.know(&[]);
        *self.down.lock().unwrap() = false;
    }

    fn tell(&self, action: Action, ids: &[&str]) {
        self.events
            .send(Some(Event::new(action, greeter(ids))))
            .unwrap();
    }

    fn check(&self) -> Result<()> {
        match *self.down.lock().unwrap() {
            true => Err(Error::internal("scripted", "connection refused")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }
    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        Ok(())
    }
    async fn deregister(&self, _: &Service) -> Result<()> {
        Ok(())
    }
    async fn get(&self, _: &str) -> Result<Vec<Service>> {
        self.check()?;
        Ok(self.known.lock().unwrap().clone())
    }
    async fn list(&self) -> Result<Vec<Service>> {
        self.get("").await
    }
    async fn watch(&self, _: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.check()?;
        Ok(Box::new(Told(self.events.subscribe())))
    }
}

#[derive(Debug)]
struct Told(broadcast::Receiver<Option<Event>>);

#[async_trait]
impl Watcher for Told {
    async fn next(&mut self) -> Result<Event> {
        match self.0.recv().await {
            Ok(Some(event)) => Ok(event),
            _ => Err(Error::internal("scripted", "watcher stopped")),
        }
    }
}

fn greeter(ids: &[&str]) -> Service {
    let nodes = ids.iter().map(|id| Node::new(*id, "127.0.0.1:1"));
    Service::new("greeter", "1").with_nodes(nodes.collect())
}

async fn view_of(registry: &Arc<Scripted>, grace: Option<Duration>) -> Arc<View> {
    let tasks = Tasks::seeded(1, SystemTime::UNIX_EPOCH);
    let directory = match grace {
        Some(grace) => Directory::with_grace(registry.clone(), &tasks, grace),
        None => Directory::new(registry.clone(), &tasks),
    };
    let view = directory.view("greeter");
    view.ready(soon()).await.unwrap();
    // The watch opens beside the first load, and is followed by another.
    sleep(Duration::from_secs(1)).await;
    view
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn ids(view: &View) -> Vec<String> {
    let nodes = view.nodes();
    nodes.list.iter().map(|one| one.id().to_owned()).collect()
}

fn entry(view: &View, id: &str) -> Arc<NodeEntry> {
    let nodes = view.nodes();
    let found = nodes.list.iter().find(|entry| entry.id() == id);
    found.expect("the node is there").clone()
}

fn answers(view: &View, id: &str) {
    entry(view, id).restore(view.millis(Instant::now()));
}

fn fails(view: &View, id: &str) {
    entry(view, id).eject(view.millis(Instant::now()));
}

/// Looks every second for this long, and gives all states seen, each once in a row.
async fn states(view: &View, time: Duration) -> Vec<Vec<String>> {
    let mut seen = vec![ids(view)];
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
        let now = ids(view);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_registry_restarted_empty_empties_nothing_until_all_had_time_to_register_again() {
    let registry = Scripted::knowing(&["a", "b", "c"]);
    let view = view_of(&registry, None).await;
    registry.restart_empty().await;
    let seen = states(&view, Duration::from_secs(29)).await;
    assert_eq!(seen, [["a", "b", "c"]], "none of them was ever called");
    // One after another they come back, the last too late.
    registry.know(&["a"]);
    registry.tell(Action::Create, &["a"]);
    let seen = states(&view, Duration::from_secs(60)).await;
    assert_eq!(seen, [["a", "b", "c"]]);
    registry.know(&["a", "b"]);
    let seen = states(&view, Duration::from_secs(240)).await;
    assert_eq!(seen, [vec!["a", "b", "c"], vec!["a", "b"]]);
}

#[tokio::test(start_paused = true)]
async fn without_grace_the_registrys_word_is_taken() {
    let registry = Scripted::knowing(&["a", "b", "c"]);
    let view = view_of(&registry, Some(Duration::ZERO)).await;
    answers(&view, "a");
    registry.restart_empty().await;
    let seen = states(&view, Duration::from_secs(70)).await;
    assert_eq!(seen, [vec!["a", "b", "c"], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_failed_is_not_kept() {
    let registry = Scripted::knowing(&["a", "b"]);
    let view = view_of(&registry, None).await;
    fails(&view, "a");
    registry.restart_empty().await;
    let seen = states(&view, Duration::from_secs(70)).await;
    assert_eq!(seen, [vec!["a", "b"], vec!["b"]]);
}

#[tokio::test(start_paused = true)]
async fn what_was_deregistered_goes_at_once_though_it_answers() {
    let registry = Scripted::knowing(&["a", "b"]);
    let view = view_of(&registry, None).await;
    answers(&view, "a");
    answers(&view, "b");
    registry.know(&["b"]);
    registry.tell(Action::Delete, &["a"]);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ids(&view), ["b"]);
    registry.know(&[]);
    registry.tell(Action::Delete, &["b"]);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ids(&view), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn of_nodes_that_expire_those_that_answer_are_kept_for_a_while() {
    let registry = Scripted::knowing(&["a", "b", "c"]);
    let view = view_of(&registry, None).await;
    answers(&view, "a");
    registry.know(&["c"]);
    registry.tell(Action::Expire, &["a"]);
    registry.tell(Action::Expire, &["b"]);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ids(&view), ["a", "c"]);
    let started = Instant::now();
    while ids(&view).len() == 2 {
        answers(&view, "a");
        sleep(Duration::from_secs(1)).await;
    }
    let kept = started.elapsed();
    assert!(kept > Duration::from_secs(140), "{kept:?}");
    assert!(kept < Duration::from_secs(215), "{kept:?}");
    assert_eq!(ids(&view), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_leaves_how_long_others_are_kept_as_it_was() {
    let registry = Scripted::knowing(&["a", "b", "c"]);
    let view = view_of(&registry, None).await;
    registry.know(&["c"]);
    answers(&view, "a");
    answers(&view, "b");
    registry.tell(Action::Expire, &["a"]);
    let started = Instant::now();
    while ids(&view).contains(&"a".to_owned()) {
        answers(&view, "a");
        if ids(&view).contains(&"b".to_owned()) {
            answers(&view, "b");
            registry.tell(Action::Expire, &["b"]);
        }
        sleep(Duration::from_secs(1)).await;
        assert!(started.elapsed() < Duration::from_secs(215));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_nodes_stay_where_a_registry_names_none_though_it_told_of_no_end() {
    let registry = Scripted::knowing(&["a", "b"]);
    let view = view_of(&registry, None).await;
    registry.know(&[]);
    let seen = states(&view, Duration::from_secs(120)).await;
    assert_eq!(seen, [["a", "b"]]);
    let seen = states(&view, Duration::from_secs(200)).await;
    assert_eq!(seen, [vec!["a", "b"], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_that_expires_is_gone_though_it_is_the_last() {
    let registry = Scripted::knowing(&["a"]);
    let view = view_of(&registry, None).await;
    registry.know(&[]);
    registry.tell(Action::Expire, &["a"]);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ids(&view), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_grace_without_end_keeps_what_has_not_failed() {
    let registry = Scripted::knowing(&["a", "b"]);
    let view = view_of(&registry, Some(Duration::MAX)).await;
    registry.restart_empty().await;
    let seen = states(&view, Duration::from_secs(3600)).await;
    assert_eq!(seen, [["a", "b"]]);
    // What is new is heard of all the same.
    registry.know(&["c"]);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(ids(&view), ["a", "b", "c"]);
}

#[tokio::test]
async fn ten_thousand_nodes_take_no_time_for_each_pair_of_them() {
    let names: Vec<_> = (0..10_000).map(|at| format!("node-{at:05}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let registry = Scripted::knowing(&all);
    let directory = Directory::new(registry.clone(), &Tasks::new());
    let view = directory.view("greeter");
    let long = || Instant::now() + Duration::from_secs(300);
    view.ready(long()).await.unwrap();
    let answer = || {
        let nodes = view.nodes();
        let now = view.millis(Instant::now());
        nodes.list.iter().for_each(|entry| entry.restore(now));
    };
    let until = async |count: usize| {
        while view.nodes().list.len() != count {
            tokio::task::yield_now().await;
        }
    };
    while registry.events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    // Those that have not answered go, those that have stay.
    all[..300]
        .iter()
        .for_each(|id| registry.tell(Action::Expire, &[id]));
    until(9_700).await;
    answer();
    all[300..600]
        .iter()
        .for_each(|id| registry.tell(Action::Expire, &[id]));
    registry.tell(Action::Create, &all[..1]);
    until(9_701).await;
    // All that a load does not name any more.
    registry.know(&[]);
    answer();
    view.refresh(long()).await.unwrap();
    assert_eq!(view.nodes().list.len(), 9_701);
    let took = began.elapsed();
    println!("{took:?}");
    // Some tenths of a second; with a look at each pair it is minutes.
    assert!(took < Duration::from_secs(15), "{took:?}");
}
