//! A constant load of calls, each of which is counted: how tests learn what a fault costs.
//!
//! The load is an open loop: a call begins when its time has come, whether those before it are
//! answered or not, so that a service that stands still is asked all the same.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use micro_runtime::error::why::Why;
use micro_runtime::{Result, Service};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::fleet::Ran;
use crate::proto::greeter::{GreeterClient, HelloRequest};

mod tries;

/// What is called, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name under which greeters are registered.
    pub name: String,
    /// What the keys of its calls begin with, so that handlers can tell them from others'.
    pub label: String,
    /// Calls in a second.
    pub rate: u32,
    /// Settings of the client, as flags: `--registry=consul`.
    pub flags: Vec<String>,
    /// What is called in turn.
    pub kinds: Vec<Kind>,
    /// Settings of the client, in code.
    pub settings: fn(Service) -> Service,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The one protocol of its client.
    pub protocol: &'static str,
    /// Whether it may be sent again though it may have run.
    pub idempotent: bool,
}

impl Kind {
    /// Over each protocol, what may run once and what may run again.
    pub const ALL: [Self; 4] = [
        Self::new("mucp", false),
        Self::new("braid", false),
        Self::new("mucp", true),
        Self::new("braid", true),
    ];
    /// Over Go Micro's protocol alone.
    pub const MUCP: [Self; 2] = [Self::new("mucp", false), Self::new("mucp", true)];

    /// Over each of `protocols`, what may run once and what may run again.
    pub fn each(protocols: &[&'static str]) -> Vec<Self> {
        let kinds = |protocol: &&'static str| [false, true].map(|again| Self::new(protocol, again));
        protocols.iter().flat_map(kinds).collect()
    }

    const fn new(protocol: &'static str, idempotent: bool) -> Self {
        Self {
            protocol,
            idempotent,
        }
    }
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What the handler was told.
    pub key: String,
    /// How it was made.
    pub kind: Kind,
    /// When it was to begin, and did.
    pub due: Instant,
    /// When it began.
    pub begun: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What was decided on its way, if it failed.
    pub why: Option<Arc<Why>>,
}

impl Ended {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.begun)
    }

    /// The id of the node that was asked last, of a call that failed.
    pub fn last_node(&self) -> Option<&str> {
        let last = self.why.as_ref()?.attempts().last()?;
        Some(&last.node)
    }
}

/// A try that failed and was followed by another.
#[derive(Clone, Debug)]
pub struct Try {
    /// When it had failed.
    pub at: Instant,
    /// The node that was asked.
    pub node: String,
    /// What it failed with.
    pub error: String,
}

/// A load that runs; ended when it is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    ended: Mutex<Vec<Ended>>,
    tries: Arc<Mutex<Vec<Try>>>,
}

impl Load {
    /// Starts it, on a thread of its own.
    pub fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let noting = tries::Noting::new(its.tries.clone());
            tracing::subscriber::with_default(noting, || runtime.block_on(run(plan, &its)));
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// How many calls have ended, and how many of them have failed, until now.
    pub fn counts(&self) -> (usize, usize) {
        let ended = lock(&self.shared.ended);
        let failed = ended.iter().filter(|call| call.error.is_some()).count();
        (ended.len(), failed)
    }

    /// Waits until `calls` more have ended than until now: it is under way.
    ///
    /// # Panics
    /// Where none ends for a minute.
    pub fn wait_for(&self, calls: usize) {
        let (mut ended, mut since) = (self.counts().0, Instant::now());
        let wanted = ended + calls;
        while ended < wanted {
            thread::sleep(Duration::from_millis(20));
            let now = self.counts().0;
            if now > ended {
                (ended, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < STILL, "the load stands still");
        }
    }

    /// Begins no more calls, waits for those that run, and tells what became of all.
    ///
    /// # Panics
    /// Where the load itself did.
    pub fn stop(mut self) -> Report {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load does not panic");
        }
        let calls = std::mem::take(&mut *lock(&self.shared.ended));
        let tries = std::mem::take(&mut *lock(&self.shared.tries));
        Report { calls, tries }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }
}

/// How long no call may end: twice as long as one may take.
const STILL: Duration = Duration::from_secs(60);

/// The latest that a call may begin after its time: else the load was no constant one.
pub const LAG: Duration = Duration::from_secs(2);

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every call that began, in the order in which they ended.
    pub calls: Vec<Ended>,
    /// Every try that another followed.
    pub tries: Vec<Try>,
}

impl Report {
    /// The calls that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Ended> {
        self.calls.iter().filter(|call| call.error.is_some())
    }

    /// How long after its time a call began at most: the load was no constant one if that is long.
    pub fn lag(&self) -> Duration {
        let lag = |call: &Ended| call.begun.saturating_duration_since(call.due);
        self.calls.iter().map(lag).max().unwrap_or_default()
    }

    /// The time that the slowest answered call took.
    pub fn slowest(&self) -> Duration {
        let answered = self.calls.iter().filter(|call| call.error.is_none());
        answered.map(Ended::took).max().unwrap_or_default()
    }

    /// Calls whose handlers did not run as often as their answers say: each with the nodes where they
    /// ran. An answered one runs once, one that failed at most once; one that may be sent again, more.
    pub fn miscounted(&self, ran: &Ran) -> Vec<(String, Vec<usize>)> {
        let wrong = |call: &Ended| {
            let ran = ran.of(&call.key);
            let most = if call.kind.idempotent { usize::MAX } else { 1 };
            let least = usize::from(call.error.is_none());
            (!(least..=most).contains(&ran.len())).then(|| (call.key.clone(), ran.to_vec()))
        };
        self.calls.iter().filter_map(wrong).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed().count();
        write!(
            f,
            "{} calls sent, {} answered, {failed} lost, {} sent again; slowest answer {:?}, latest start {:?}",
            self.calls.len(),
            self.calls.len() - failed,
            self.tries.len(),
            self.slowest(),
            self.lag(),
        )?;
        for call in self.failed().take(5) {
            let error = call.error.as_deref().unwrap_or_default();
            write!(
                f,
                "\n  {} {:?} after {:?}: {error}",
                call.key,
                call.kind,
                call.took()
            )?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(plan: Plan, shared: &Arc<Shared>) {
    let clients: Vec<_> = plan
        .kinds
        .iter()
        .map(|kind| {
            (
                *kind,
                client(&plan, kind.protocol).expect("flags that are known"),
            )
        })
        .collect();
    let period = Duration::from_secs(1) / plan.rate.max(1);
    let mut due = tokio::time::Instant::now();
    let mut running = JoinSet::new();
    let mut number = 0_usize;
    while !shared.stopping.load(Ordering::Relaxed) {
        sleep_until(due).await;
        let Some((kind, greeter)) = clients.get(number % clients.len()) else {
            break;
        };
        let key = format!("{}-{number}", plan.label);
        running.spawn(one(
            key,
            *kind,
            greeter.clone(),
            due.into_std(),
            shared.clone(),
        ));
        while running.try_join_next().is_some() {}
        number += 1;
        due += period;
    }
    running.join_all().await;
}

fn client(plan: &Plan, protocol: &str) -> Result<GreeterClient> {
    let flags = std::iter::once("load").chain(plan.flags.iter().map(String::as_str));
    let nothing: [(String, String); 0] = [];
    let service = (plan.settings)(Service::new("load"))
        .client_protocols([protocol])
        .init_from(flags, nothing)?;
    Ok(GreeterClient::new(plan.name.clone(), service.client()))
}

async fn one(key: String, kind: Kind, greeter: GreeterClient, due: Instant, shared: Arc<Shared>) {
    let begun = Instant::now();
    let mut call = greeter.hello(HelloRequest { name: key.clone() });
    if kind.idempotent {
        call = call.idempotent();
    }
    let wanted = format!("Hello {key}");
    let (error, why) = match call.await {
        Ok(reply) if reply.msg == wanted => (None, None),
        Ok(reply) => (Some(format!("the answer is {:?}", reply.msg)), None),
        Err(error) => (Some(error.to_wire()), error.why().cloned().map(Arc::new)),
    };
    let ended = Ended {
        key,
        kind,
        due,
        begun,
        ended: Instant::now(),
        error,
        why,
    };
    lock(&shared.ended).push(ended);
}
