//! A fleet of scripted nodes, each in a mood, and calls to it at a steady rate.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use micro_runtime::client::ClientOptions;
use micro_runtime::registry::{NodeEntry, Registry, Standing};
use micro_runtime::selector::Strategy;
use micro_runtime::tasks::Tasks;
use micro_runtime::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::scripted::{ASKED, Answer, Setup, cut, refused};
pub use crate::seeds::{Told, seeds};

/// What a node does with calls; and with the question whether it answers, which all
/// from `Slow` on answer as if they were well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    Well,
    /// Nothing listens there.
    Refuses,
    /// Connections are lost before the answer.
    Loses,
    /// Connections are made, and nothing is ever said.
    Silent,
    /// Its handler takes longer than a try may.
    Slow,
    /// Its handler says 503 to every other call.
    Busy,
    /// Its handler says 500.
    Broken,
    /// Its connections are lost after 50 ms.
    Cuts,
    /// It answers, but says that it is not well where it is asked.
    Unwell,
    /// Its handler says 503 to every other call at once, and answers the rest after 300 ms.
    Strained,
    /// It takes what is sent, so that streams open, and never says a word.
    Mute,
    /// It stops: nobody connects to it any more, and what it has begun is answered after a second.
    Drains,
}

const MOODS: [Mood; 12] = [
    Mood::Well,
    Mood::Refuses,
    Mood::Loses,
    Mood::Silent,
    Mood::Slow,
    Mood::Busy,
    Mood::Broken,
    Mood::Cuts,
    Mood::Unwell,
    Mood::Strained,
    Mood::Mute,
    Mood::Drains,
];

/// How long a node that is well takes.
pub const LATENCY: Duration = Duration::from_millis(2);

pub struct Fleet {
    pub setup: Setup,
    pub entries: Vec<Arc<NodeEntry>>,
    pub registry: Arc<dyn Registry>,
    moods: Arc<[AtomicU8]>,
    began: Instant,
    /// When calls met nodes that were not well, and which: milliseconds since the beginning.
    pub met: Arc<Mutex<Vec<(u64, usize)>>>,
    /// The same of those that were asked how they are.
    pub questions: Arc<Mutex<Vec<(u64, usize)>>>,
}

impl Fleet {
    pub async fn new(count: usize, seed: u64) -> Self {
        Self::with(count, seed, |_| {}).await
    }

    /// As `new`, where `change` has changed the client.
    pub async fn with(count: usize, seed: u64, change: impl FnOnce(&mut ClientOptions)) -> Self {
        let moods: Arc<[AtomicU8]> = (0..count).map(|_| AtomicU8::new(0)).collect();
        let met: Arc<Mutex<Vec<(u64, usize)>>> = Arc::default();
        let questions: Arc<Mutex<Vec<(u64, usize)>>> = Arc::default();
        let began = Instant::now();
        let names: Vec<String> = (0..count).map(|number| format!("n{number:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let script = {
            let (moods, met, questions) = (moods.clone(), met.clone(), questions.clone());
            let at = move || u64::try_from(began.elapsed().as_millis()).unwrap();
            move |address: &str, number: usize| {
                let node: usize = address[1..].parse().unwrap();
                if number == ASKED {
                    questions.lock().unwrap().push((at(), node));
                }
                let mood = MOODS[usize::from(moods[node].load(Ordering::Relaxed))];
                if mood != Mood::Well && number < ASKED {
                    met.lock().unwrap().push((at(), node));
                }
                match mood {
                    Mood::Unwell if number == ASKED => {
                        Answer::Fail(Error::unavailable("greeter", "not now"))
                    }
                    Mood::Slow | Mood::Busy | Mood::Broken | Mood::Cuts | Mood::Strained
                        if number == ASKED =>
                    {
                        Answer::After(LATENCY)
                    }
                    Mood::Well | Mood::Unwell => Answer::After(LATENCY),
                    Mood::Drains if number < ASKED => Answer::After(Duration::from_secs(1)),
                    Mood::Refuses | Mood::Drains => Answer::Fail(refused()),
                    Mood::Loses => Answer::Fail(cut()),
                    Mood::Mute if number < ASKED => Answer::Open,
                    Mood::Silent | Mood::Mute => Answer::Never,
                    Mood::Slow => Answer::After(Duration::from_secs(2)),
                    Mood::Busy if number.is_multiple_of(2) => {
                        Answer::Fail(Error::unavailable("greeter", "busy"))
                    }
                    // Its first answer is under way when it fails first.
                    Mood::Strained if !number.is_multiple_of(2) => {
                        Answer::Fail(Error::unavailable("greeter", "busy"))
                    }
                    Mood::Busy => Answer::After(LATENCY),
                    Mood::Strained => Answer::After(Duration::from_millis(300)),
                    Mood::Broken => Answer::Fail(Error::internal("greeter", "broken")),
                    Mood::Cuts => Answer::FailAfter(Duration::from_millis(50), cut()),
                }
            }
        };
        let mut registry = None;
        let setup = Setup::with(&names, script, |options| {
            options.tasks = Tasks::seeded(seed, SystemTime::UNIX_EPOCH);
            options.selector = Strategy::Random;
            change(options);
            registry = Some(options.registry.clone());
        })
        .await;
        // The first call sees all nodes.
        let seen: Arc<Mutex<Vec<Arc<NodeEntry>>>> = Arc::default();
        let all = seen.clone();
        let look = move |nodes: &[Arc<NodeEntry>]| {
            *all.lock().unwrap() = nodes.to_vec();
            Some(0)
        };
        setup.call().strategy(look).await.unwrap();
        let entries = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(entries.len(), count);
        Self {
            setup,
            entries,
            registry: registry.unwrap(),
            moods,
            began,
            met,
            questions,
        }
    }

    pub fn set(&self, node: usize, mood: Mood) {
        self.moods[node].store(mood as u8, Ordering::Relaxed);
    }

    /// The time on the directory's clock.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub fn standing(&self, node: usize) -> Standing {
        self.entries[node].standing(self.now())
    }

    /// How many nodes get no calls now.
    pub fn out(&self) -> usize {
        let now = self.now();
        let out = self.entries.iter().filter(|entry| entry.is_ejected(now));
        out.count()
    }

    /// Calls that met nodes that were not well, from `from` on, in milliseconds.
    pub fn met_since(&self, from: u64) -> usize {
        let met = self.met.lock().unwrap();
        met.iter().filter(|(at, _)| *at >= from).count()
    }

    /// Calls for `time`, `rate` a second at even distances, each made by `call`; gives how many failed.
    /// `look` is called every 10 ms.
    pub async fn load<F>(
        &self,
        rate: u32,
        time: Duration,
        call: impl Fn(&Setup) -> F,
        mut look: impl FnMut(&Self),
    ) -> usize
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let start = Instant::now();
        let failed = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        let total = u32::try_from(u128::from(rate) * time.as_millis() / 1000).unwrap();
        let mut looked = start;
        for number in 0..total {
            let at = start + Duration::from_secs(1) / rate * number;
            if at > Instant::now() {
                sleep_until(at).await;
            }
            if looked.elapsed() >= Duration::from_millis(10) {
                looked = Instant::now();
                look(self);
            }
            let (call, failed) = (call(&self.setup), failed.clone());
            calls.spawn(async move {
                if call.await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            });
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
        failed.load(Ordering::Relaxed)
    }
}

/// A call as most are: it is not tried again where it may have run.
pub fn plain(setup: &Setup) -> impl Future<Output = Result<()>> + Send + use<> {
    let call = setup.call();
    async move { call.await.map(|_| ()) }
}

/// One that may be tried again, with short tries.
pub fn idempotent(setup: &Setup) -> impl Future<Output = Result<()>> + Send + use<> {
    let call = setup.call().idempotent().attempt_timeout(TRY);
    async move { call.await.map(|_| ()) }
}

/// How long a try takes at most.
pub const TRY: Duration = Duration::from_millis(200);
