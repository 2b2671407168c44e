//! Which nodes would understand a typed client's calls.
//!
//! Nodes tell hashes of their services in their metadata. Those with the client's own hash pass, and
//! so do those that tell none; of every other hash the descriptors are fetched once, from one of its
//! nodes ([`fetch`]), and compared method by method. A node is left out of calls that it would not
//! understand, always, and of all calls while that is not known, as long as others can take them.

mod fetch;
mod judge;
mod ruling;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::attempts::Attempts;
use crate::error::why::Reason;
use crate::error::{Error, id};
use crate::method::{Method, ServiceDescriptor};
use crate::registry::{NodeEntry, Nodes, NodesGuard, View};
use crate::schema::{Hash, KEY, Schema, announced};

pub(crate) use told::{Fits, SchemaTold};

use fetch::Fetch;
use judge::Judgement;
use ruling::{Ruling, Standing};

/// How long a call waits at most until it is known whether a node would understand it.
const WAIT: Duration = Duration::from_secs(1);
/// How long a node's descriptors are not asked for again where they could not be had.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Of how many hashes it is known at most how they compare. Those beyond pass.
const MAX_HASHES: usize = 64;
/// How many nodes of one hash are asked before it passes.
const MAX_ASKED: usize = 3;

/// The checks of those typed clients that call one name.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<Vec<Checked>>);

/// The check of clients of one service; `None` where its own descriptors cannot be read.
#[derive(Debug)]
struct Checked(&'static ServiceDescriptor, Option<Arc<Check>>);

impl Checks {
    /// The check of a client of this service, the same one for all; `None` where its own descriptors
    /// cannot be read.
    pub(super) fn of(&self, descriptor: &'static ServiceDescriptor) -> Option<Arc<Check>> {
        let find = |all: &[Checked]| {
            let known = all.iter().find(|one| std::ptr::eq(one.0, descriptor));
            known.map(|one| one.1.clone())
        };
        if let Some(check) = find(&self.lock()) {
            return check;
        }
        // Not under the lock: descriptors may be long.
        let made = Check::new(descriptor);
        let mut all = self.lock();
        find(&all).unwrap_or_else(|| {
            let number = all.len() as u64 + 1;
            let made = made.map(|check| Arc::new(Check { number, ..check }));
            all.push(Checked(descriptor, made.clone()));
            made
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Checked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one service's schemas at the nodes of one name.
pub(super) struct Check {
    descriptor: &'static ServiceDescriptor,
    /// Its number among those of its name, from 1.
    number: u64,
    own: Hash,
    verdicts: Mutex<BTreeMap<Hash, Verdict>>,
    /// Changes with the verdicts.
    generation: AtomicU64,
    /// Wakes calls that wait for a verdict.
    told: Notify,
    /// What follows for the snapshot that was used last.
    ruling: ArcSwapOption<Ruling>,
}

/// What is known of one hash.
#[derive(Clone, Debug)]
enum Verdict {
    /// Its descriptors are being fetched for the first time.
    Fetching,
    Judged(Arc<Judgement>),
    /// Its descriptors could not be had: nothing is held against it.
    Unknowable {
        since: Instant,
        again: bool,
    },
}

impl Check {
    fn new(descriptor: &'static ServiceDescriptor) -> Option<Self> {
        let schema = Schema::read(descriptor.file_descriptor_set).ok()?;
        Some(Self {
            own: schema.hash(descriptor.full_name)?,
            descriptor,
            number: 1,
            verdicts: Mutex::default(),
            generation: AtomicU64::new(0),
            told: Notify::new(),
            ruling: ArcSwapOption::empty(),
        })
    }

    /// This check, as of what is known now: a number that no other one of its name has.
    fn stamp(&self) -> u64 {
        self.number << 32 | self.generation.load(Ordering::Acquire) & u64::from(u32::MAX)
    }

    /// Whether all of these nodes are known to understand everything: most often they are.
    pub(super) fn is_passed_by(&self, nodes: &Nodes) -> bool {
        nodes.has_passed(self.stamp())
    }

    /// The place of `method` among those of the service; `None` for one that was named by hand.
    fn index_of(&self, method: &Method) -> Option<usize> {
        let index = usize::from(method.index);
        let own = self.descriptor.methods.get(index)?;
        std::ptr::eq(own, method).then_some(index)
    }

    /// The hash that a node tells, where it is not ours.
    fn other_hash(&self, entry: &NodeEntry) -> Option<Hash> {
        let metadata = entry.metadata(KEY)?;
        announced(metadata, self.descriptor.full_name).filter(|hash| *hash != self.own)
    }

    /// Why `entry` gets no calls of `method`; `None` where it may.
    pub(super) fn reason(&self, entry: &NodeEntry, method: &Method) -> Option<Reason> {
        let index = self.index_of(method)?;
        let hash = self.other_hash(entry)?;
        let verdicts = self.lock();
        match verdicts.get(&hash) {
            Some(Verdict::Judged(judgement)) => {
                let difference = judgement.against(index)?;
                Some(Reason::Schema(difference.to_owned()))
            }
            Some(Verdict::Unknowable { .. }) => None,
            None if is_full(&verdicts) => None,
            Some(Verdict::Fetching) | None => Some(Reason::SchemaAsked),
        }
    }

    /// Notes what has come of fetching the descriptors behind `hash`.
    fn tell(&self, hash: Hash, judgement: Option<Judgement>) {
        let verdict = match judgement {
            Some(judgement) => Verdict::Judged(Arc::new(judgement)),
            None => Verdict::Unknowable {
                since: Instant::now(),
                again: false,
            },
        };
        self.lock().insert(hash, verdict);
        self.generation.fetch_add(1, Ordering::Release);
        self.told.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Hash, Verdict>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("service", &self.descriptor.full_name)
            .field("hash", &self.own)
            .finish_non_exhaustive()
    }
}

/// Which nodes may take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those that are known to understand it.
    Known,
    /// Those, and those of which nothing is known.
    Unknown,
}

impl Attempts {
    /// What follows for the nodes of a snapshot. Where that is known, without lock and allocation;
    /// else what has to be fetched is.
    pub(super) fn rule(
        &self,
        check: &Arc<Check>,
        nodes: &NodesGuard,
    ) -> Guard<Option<Arc<Ruling>>> {
        let stamp = check.stamp();
        let kept = check.ruling.load();
        if let Some(ruling) = &*kept
            && ruling.is_of(nodes, stamp)
        {
            return kept;
        }
        let standings = self.standings(check, nodes);
        let made = Arc::new(Ruling::new(
            nodes,
            stamp,
            check.descriptor.methods.len(),
            standings,
        ));
        if !made.is_mixed() {
            nodes.pass(stamp);
        }
        check.ruling.store(Some(made.clone()));
        Guard::from_inner(Some(made))
    }

    /// How each node stands; begins to fetch what is not known.
    fn standings(&self, check: &Arc<Check>, nodes: &Nodes) -> Vec<Standing> {
        let now = Instant::now();
        let mut fetches: BTreeMap<Hash, Vec<&Arc<NodeEntry>>> = BTreeMap::new();
        let mut verdicts = check.lock();
        make_room(&mut verdicts, check, nodes);
        let mut standings = Vec::with_capacity(nodes.list.len());
        for entry in &nodes.list {
            let Some(hash) = check.other_hash(entry) else {
                standings.push(Standing::Passes);
                continue;
            };
            let full = is_full(&verdicts);
            standings.push(match verdicts.get_mut(&hash) {
                Some(Verdict::Judged(judgement)) => match judgement.is_clean() {
                    true => Standing::Passes,
                    false => Standing::Judged(judgement.clone()),
                },
                Some(Verdict::Unknowable { since, again }) => {
                    if !*again && now.saturating_duration_since(*since) >= ASK_AGAIN {
                        *again = true;
                        fetches.insert(hash, Vec::new());
                    }
                    Standing::Passes
                }
                Some(Verdict::Fetching) => Standing::Unknown,
                None if full => Standing::Passes,
                None => {
                    verdicts.insert(hash, Verdict::Fetching);
                    fetches.insert(hash, Vec::new());
                    Standing::Unknown
                }
            });
            if let Some(nodes) = fetches.get_mut(&hash) {
                nodes.push(entry);
            }
        }
        drop(verdicts);
        for (hash, mut nodes) in fetches {
            let millis = self.directory.millis(now);
            nodes.sort_by_key(|entry| entry.is_ejected(millis));
            let channels = nodes
                .iter()
                .filter_map(|entry| self.channels.to(entry).ok());
            let channels = channels.take(MAX_ASKED).cloned().collect();
            let fetch = Fetch::new(check, hash, channels);
            self.tasks.spawn(fetch.run(nodes_name(&nodes)));
        }
        standings
    }

    /// Waits until it is known of all nodes of a snapshot whether they understand `method`, for a
    /// while that leaves a call until `deadline` time enough.
    pub(super) async fn settle(
        &self,
        check: &Arc<Check>,
        view: &View,
        method: &Method,
        deadline: Instant,
    ) {
        if check.index_of(method).is_none() {
            return;
        }
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let until = now + WAIT.min(left / 2);
        loop {
            let told = check.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let unknown = self
                .rule(check, &view.nodes())
                .as_ref()
                .is_some_and(|one| one.is_open());
            if !unknown || timeout_at(until, told).await.is_err() {
                return;
            }
        }
    }
}

/// Whether no further hash is looked into: nodes that tell another one pass.
fn is_full(verdicts: &BTreeMap<Hash, Verdict>) -> bool {
    verdicts.len() >= MAX_HASHES
}

/// Forgets what no node of a snapshot tells, where there is much.
fn make_room(verdicts: &mut BTreeMap<Hash, Verdict>, check: &Check, nodes: &Nodes) {
    if !is_full(verdicts) {
        return;
    }
    let told: Vec<_> = nodes
        .list
        .iter()
        .filter_map(|entry| check.other_hash(entry))
        .collect();
    verdicts.retain(|hash, verdict| {
        matches!(
            verdict,
            Verdict::Fetching | Verdict::Unknowable { again: true, .. }
        ) || told.contains(hash)
    });
}

impl Ruling {
    /// The nodes for a call of `method`: `all`, or those of them that understand it.
    pub(super) fn nodes<'a>(&'a self, check: &Check, all: &'a Nodes, method: &Method) -> &'a Nodes {
        match check.index_of(method) {
            Some(index) => self.known(all, index).unwrap_or(all),
            None => all,
        }
    }

    /// The same, with those of which nothing is known; `None` where these are all.
    pub(super) fn unless_barred(
        &self,
        check: &Check,
        all: &Nodes,
        method: &Method,
    ) -> Option<Nodes> {
        self.filtered(all, check.index_of(method)?, Rule::Unknown)
    }
}

/// Why a call of `method` cannot be made where no node of `nodes` would understand it.
#[cold]
pub(super) fn none_understands(check: &Check, nodes: &Nodes, method: &Method) -> Error {
    let first = nodes
        .list
        .iter()
        .find_map(|entry| match check.reason(entry, method)? {
            Reason::Schema(difference) => Some(format!(" ({}: {difference})", entry.id())),
            _ => None,
        });
    const FAILED_PRECONDITION: i32 = 9;
    let detail = format!(
        "error selecting {} node: none understands {}{}",
        nodes.name,
        method.endpoint,
        first.unwrap_or_default()
    );
    let error = Error::internal(id::CLIENT, detail).with_grpc_code(FAILED_PRECONDITION);
    error.unprocessed()
}

fn nodes_name(nodes: &[&Arc<NodeEntry>]) -> String {
    let first = nodes.first();
    first.map_or_else(String::new, |entry| entry.service.name.clone())
}
