//! Many nodes, and calls that take their time without a network.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_runtime::registry::{
    Directory, Memory, Node, NodeEntry, RegisterOptions, Registry, Service, Underway, View,
};
use micro_runtime::selector::{Affinity, Pick, SelectOptions, Strategy, select};
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

pub(crate) const NODES: usize = 10_000;

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    crate::seeds::told(Tasks::new().below(1 << 40) as u64)
}

pub(crate) struct Fleet {
    pub(crate) registry: Memory,
    pub(crate) view: Arc<View>,
    pub(crate) client: SelectOptions,
}

impl Fleet {
    /// Nodes `node-00000` and so on, with what `change` gives them.
    pub(crate) async fn new(
        count: usize,
        strategy: Strategy,
        change: impl Fn(usize, &mut Node),
    ) -> Self {
        let registry = Memory::new();
        let mut service = Service::new("greeter", "1");
        service.nodes = (0..count)
            .map(|at| {
                let mut node = node(&format!("node-{at:05}"));
                change(at, &mut node);
                node
            })
            .collect();
        let options = RegisterOptions::default();
        registry.register(&service, options).await.unwrap();
        let tasks = Tasks::seeded(seed(), SystemTime::UNIX_EPOCH);
        let view = Directory::new(Arc::new(registry.clone()), &tasks).view("greeter");
        let deadline = Instant::now() + Duration::from_secs(60);
        view.ready(deadline).await.unwrap();
        assert_eq!(view.nodes().list.len(), count);
        let mut client = SelectOptions::default();
        client.strategy = Some(strategy);
        Self {
            registry,
            view,
            client,
        }
    }

    pub(crate) fn pick(&self, key: Option<&str>, now: u64) -> Arc<NodeEntry> {
        let mut call = SelectOptions::default();
        call.key = key.map(|key| key.to_owned().into());
        select(&self.view.nodes(), &call, &self.client, Pick::at(now)).unwrap()
    }

    /// Chooses `times` times, and counts by node.
    pub(crate) fn counts(&self, times: usize, now: u64) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            let entry = self.pick(None, now);
            *counts.entry(entry.id().to_owned()).or_default() += 1;
        }
        counts
    }

    /// The share of `times` choices that went to nodes that `are` so.
    pub(crate) fn share(&self, times: usize, now: u64, are: impl Fn(&NodeEntry) -> bool) -> f64 {
        let picks = (0..times).map(|_| self.pick(None, now));
        picks.filter(|entry| are(entry)).count() as f64 / times as f64
    }

    /// Makes `calls` calls that do not end, each with its key, and tells how many the busiest node
    /// has.
    pub(crate) fn hold(&self, keys: impl Iterator<Item = String>) -> (Vec<Underway>, u32) {
        let held = keys.map(|key| self.pick(Some(&key), 0).begin()).collect();
        let nodes = self.view.nodes();
        let most = nodes.list.iter().map(|entry| entry.in_flight()).max();
        (held, most.unwrap())
    }

    pub(crate) async fn comes(&self, node: Node) {
        let id = node.id.clone();
        let service = Service::new("greeter", "1").with_nodes(vec![node]);
        let options = RegisterOptions::default();
        self.registry.register(&service, options).await.unwrap();
        self.until(&id, true).await;
    }

    pub(crate) async fn goes(&self, id: &str) {
        let service = Service::new("greeter", "1").with_nodes(vec![node(id)]);
        self.registry.deregister(&service).await.unwrap();
        self.until(id, false).await;
    }

    async fn until(&self, id: &str, there: bool) {
        let is_there = || self.view.nodes().list.iter().any(|entry| entry.id() == id);
        while is_there() != there {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn node(id: &str) -> Node {
    Node::new(id, format!("{id}:1"))
}

pub(crate) fn by_key() -> Affinity {
    Affinity::Key
}

/// Numbered keys.
pub(crate) fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|at| format!("user-{at}"))
}

/// How a node answers, and after how many milliseconds; a call without an end is given up then.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Well(u64),
    Error(u64),
    Never(u64),
}

/// Calls that come at an even pace and take their time on virtual time, told to the nodes as a client
/// does.
pub(crate) struct Load<'a, F> {
    fleet: &'a Fleet,
    answer: F,
    now: u64,
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    calls: Vec<Option<(Arc<NodeEntry>, Underway, u64)>>,
}

impl<'a, F: Fn(&NodeEntry, u64) -> Answer> Load<'a, F> {
    pub(crate) fn new(fleet: &'a Fleet, answer: F) -> Self {
        Self {
            fleet,
            answer,
            now: 1000,
            ends: BinaryHeap::new(),
            calls: Vec::new(),
        }
    }

    /// Makes `rate` calls each millisecond for `millis`, and gives how many of them went to nodes that
    /// `count`, and of how many.
    pub(crate) fn run(
        &mut self,
        millis: u64,
        rate: usize,
        count: impl Fn(&NodeEntry) -> bool,
    ) -> (usize, usize) {
        let (mut counted, mut all) = (0, 0);
        for _ in 0..millis {
            self.now += 1;
            self.end();
            for _ in 0..rate {
                let entry = self.fleet.pick(None, self.now);
                counted += usize::from(count(&entry));
                all += 1;
                let (Answer::Well(takes) | Answer::Error(takes) | Answer::Never(takes)) =
                    (self.answer)(&entry, self.now);
                self.ends
                    .push(Reverse((self.now + takes, self.calls.len())));
                let underway = entry.begin();
                self.calls.push(Some((entry, underway, self.now)));
            }
        }
        (counted, all)
    }

    fn end(&mut self) {
        while let Some(Reverse((at, _))) = self.ends.peek()
            && *at <= self.now
        {
            let Reverse((at, number)) = self.ends.pop().unwrap();
            let (entry, _underway, began) = self.calls[number].take().unwrap();
            let took = Duration::from_millis(at - began);
            match (self.answer)(&entry, began) {
                Answer::Well(_) if entry.wants_latency(began) => entry.tell_latency(took, at),
                Answer::Well(_) => {}
                Answer::Error(_) | Answer::Never(_) => entry.tell_failure(took, at),
            }
        }
    }
}
