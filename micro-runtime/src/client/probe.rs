//! Finds out when a node that is left alone is back, so that no call has to: a host that is gone
//! swallows what is sent to it, and would cost a call seconds each time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::asking::{ask, dials};
use super::channels::Channels;
use super::destination::Destination;
use super::outlier::{Outliers, Peers};
use crate::error::why::Cause;
use crate::registry::{Found, NodeEntry};
use crate::tasks::Tasks;
use crate::transport::Transport;

/// How often a node is tried, which takes three minutes and more: after that a call tries it, should
/// there be one. Registries have forgotten it by then as a rule.
const TRIES: u32 = 40;
/// How long connecting may take: the default limit of calls.
const LIMIT: Duration = Duration::from_secs(5);
/// How long before its time the node is tried, so that no call comes before.
const LEAD: Duration = Duration::from_millis(100);
/// How much longer than it may take calls wait for the end of a try.
const SLACK: Duration = Duration::from_secs(1);

/// How long trying a node takes at most, and some slack, in milliseconds.
pub(super) fn takes(outliers: &Outliers) -> u64 {
    let within = outliers.answer_within;
    let takes = LIMIT
        .max(within)
        .saturating_add(within)
        .saturating_add(SLACK);
    u64::try_from(takes.as_millis()).unwrap_or(u64::MAX)
}

/// What trying a node takes.
pub(super) struct Probe {
    pub(super) entry: Weak<NodeEntry>,
    pub(super) clock: Clock,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tasks: Tasks,
    pub(super) outliers: Arc<Outliers>,
    /// The name that the node is asked by.
    pub(super) service: Arc<str>,
}

/// The directory's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    at: u64,
}

impl Clock {
    /// That on which it is `now`.
    pub(super) fn at(now: u64) -> Self {
        Self {
            began: Instant::now(),
            at: now,
        }
    }

    fn now(self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.saturating_add(since)
    }
}

impl Probe {
    /// Tries a node that has just been ejected, whenever it was left alone long enough, until it
    /// answers, is forgotten, or was tried often.
    pub(super) fn begin(self) {
        if self.entry.strong_count() > 0 {
            let tasks = self.tasks.clone();
            tasks.spawn(async move { self.until_back().await });
        }
    }

    /// Asks once a node that was [suspected](NodeEntry::suspect), and ejects it where it does not
    /// answer; of `to`, unless its address was given by hand.
    pub(super) fn check(self, entry: Arc<NodeEntry>, to: Option<Destination>) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let (failed, silent) = self.fails_to_answer(&entry).await;
            let now = self.clock.now();
            let ejected = match failed {
                None => false,
                Some(Cause::Unreachable) => entry.eject(now),
                Some(cause) => to
                    .as_ref()
                    .is_some_and(|to| self.eject(to, &entry, cause, now)),
            };
            entry.acquit(failed.is_none().then_some(now));
            // It may be that somebody else has ejected it meanwhile.
            if failed.is_some() && entry.is_failing() && others_are_there(to.as_ref(), &entry, now)
            {
                entry.tell(silent, now);
            }
            if ejected {
                // Whoever is not wanted any more need not wait for this.
                drop((entry, to));
                self.until_back().await;
            }
        });
    }

    fn eject(&self, to: &Destination, entry: &NodeEntry, cause: Cause, now: u64) -> bool {
        let peers = Peers {
            nodes: &to.view.nodes(),
            share: &to.state.share,
        };
        let why = (cause, Found::Asking);
        peers.eject(entry, why, (now, &self.outliers), &self.tasks)
    }

    /// Whether it answers within a time in which others do, and if not, why; and whether it is silent
    /// over the connections that there are: one that drains takes no new one, and answers.
    async fn fails_to_answer(&self, entry: &NodeEntry) -> (Option<Cause>, bool) {
        let within = self.outliers.answer_within;
        if self.outliers.is_off() {
            let reached = dials(entry, &*self.transport, LIMIT).await;
            return ((!reached).then_some(Cause::Unreachable), false);
        }
        let Err(cause) = self.ask(entry).await else {
            return (None, false);
        };
        // Without an answer over what is there, another connection tells.
        let failed = match (cause, dials(entry, &*self.transport, within).await) {
            (_, false) => Some(Cause::Unreachable),
            (Cause::Own | Cause::Unreachable, true) => None,
            (cause, true) => Some(cause),
        };
        (failed, cause == Cause::Silent)
    }

    async fn ask(&self, entry: &NodeEntry) -> Result<(), Cause> {
        match Channels::kept(entry) {
            Some(channel) => {
                let within = self.outliers.answer_within;
                ask(entry, &*channel, &self.service, within).await
            }
            None => Err(Cause::Own),
        }
    }

    async fn until_back(&self) {
        for _ in 0..TRIES {
            let Some(until) = self.entry.upgrade().and_then(|entry| entry.ejected_until()) else {
                return;
            };
            let pause = Duration::from_millis(until.saturating_sub(self.clock.now()));
            sleep(pause.saturating_sub(LEAD)).await;
            let Some(entry) = self.entry.upgrade() else {
                return;
            };
            // It has answered meanwhile, or another try has ejected it anew and begun another task.
            if entry.ejected_until() != Some(until) {
                return;
            }
            let began = self.clock.now();
            entry.begin_probe(began, takes(&self.outliers));
            let failed = self.is_away(&entry).await;
            let term = self.outliers.term(&self.tasks);
            if !entry.end_probe(until, (began, self.clock.now()), failed, term) {
                return;
            }
        }
    }

    /// Why it is still to be left alone.
    async fn is_away(&self, entry: &NodeEntry) -> Option<Cause> {
        if !dials(entry, &*self.transport, LIMIT).await {
            return Some(Cause::Unreachable);
        }
        if self.outliers.is_off() {
            return None;
        }
        match self.ask(entry).await {
            // That a channel waits before it connects again is nothing against the node.
            Ok(()) | Err(Cause::Own | Cause::Unreachable) => None,
            Err(cause) => Some(cause),
        }
    }
}

/// Whether calls that leave `entry` have somewhere to go.
fn others_are_there(to: Option<&Destination>, entry: &NodeEntry, now: u64) -> bool {
    let is_there = |other: &Arc<NodeEntry>| !other.is_same(entry) && !other.is_ejected(now);
    to.is_some_and(|to| to.view.nodes().list.iter().any(is_there))
}
