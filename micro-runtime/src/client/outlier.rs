//! Which nodes are left alone for how calls to them went, and how many at most.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::why::Cause;
use crate::registry::{Found, NodeEntry, Nodes, Term};
use crate::tasks::Tasks;

/// When a client leaves a node alone that others do better than. Change fields of the default.
///
/// What is a node's fault: a connection that was lost or brought what is no answer, and a try without
/// an answer in its time. A few such failures **in a row** are enough; calls that fail together with
/// their connection count as one. An answer is an answer: a handler's 500 speaks for the node as much
/// as a reply does, since the next node would most likely say the same. In between are refusals (429,
/// 503), what a node says of those behind it (502, 504), and calls whose own time was shorter than a
/// try's: they count only **against the others**, where a node does worse than they do.
///
/// A node that is silent is found out sooner: a try that waits long, while the node has answered
/// nobody else, has the node asked whether it answers at all (its Debug.Health, where any answer
/// will do), and calls go elsewhere meanwhile.
///
/// A node is left alone for [`first`](Self::first), each further time for twice as long, up to
/// [`longest`](Self::longest). After that one call tries it, or it is asked by itself; the others follow
/// when it has answered. One that cannot be reached, or answers no question, costs no call and is asked
/// again after five seconds at most, whatever `longest` says. Never more than [`share`](Self::share) of the nodes are left alone for how calls
/// went. Nodes that cannot be connected to at all are always skipped, unless all are such.
///
/// ```
/// use micro_runtime::Service;
/// use micro_runtime::client::Outliers;
///
/// let mut outliers = Outliers::default();
/// outliers.in_a_row = 3;
/// let service = Service::new("greeter").outliers(outliers);
/// let without = Service::new("greeter").outliers(Outliers::off());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outliers {
    /// How many failures in a row are enough; 0 for never. 5.
    pub in_a_row: u32,
    /// The largest share of a service's nodes that is left alone for how calls went, from 0 to 1: of two
    /// nodes or more always one, and never all; 0 for none, where silent nodes are not looked for either.
    /// 0.5.
    pub share: f64,
    /// How long a node is left alone for the first time, less up to a fifth at random. 1 s.
    pub first: Duration,
    /// How long at most. 30 s.
    pub longest: Duration,
    /// How many standard deviations below the others' average share of successes is too low; 0 for
    /// never. 1.9, as Envoy's.
    pub deviations: f64,
    /// How far below it must be in any case, since few calls differ by chance. 0.2.
    pub margin: f64,
    /// How many answers of a node that has failures among them, of about five seconds, can be compared.
    /// 50.
    pub volume: u32,
    /// How many nodes, itself included, can be compared: those with so many answers, and those that have
    /// answered of late and did not fail, however often. 3; less than 2 is 2.
    pub hosts: usize,
    /// How long a try may wait until its node, which has answered nobody meanwhile, is asked whether it
    /// answers at all; `None` for never. 200 ms.
    pub patience: Option<Duration>,
    /// How long a node may take to answer that. 1 s.
    pub answer_within: Duration,
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            in_a_row: 5,
            share: 0.5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            deviations: 1.9,
            margin: 0.2,
            volume: 50,
            hosts: 3,
            patience: Some(Duration::from_millis(200)),
            answer_within: Duration::from_secs(1),
        }
    }
}

impl Outliers {
    /// Leaves no node alone but those that cannot be connected to, and those for which
    /// [health checks](super::HealthCheck) say so.
    pub fn off() -> Self {
        Self {
            in_a_row: 0,
            deviations: 0.0,
            share: 0.0,
            patience: None,
            ..Self::default()
        }
    }

    /// Whether calls are to tell nothing.
    pub(crate) fn is_off(&self) -> bool {
        self.share <= 0.0
    }

    /// For how long a node is left alone, as chance has it.
    pub(super) fn term(&self, tasks: &Tasks) -> Term {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Term {
            first: millis(self.first).max(1),
            longest: millis(self.longest).min(LONGEST),
            less: tasks.number() % 205,
        }
    }

    /// How many of `total` nodes may be out.
    fn most(&self, total: usize) -> usize {
        if self.is_off() || total < 2 {
            return 0;
        }
        // A share is of nodes that can be counted, so that nothing is lost on the way.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "numbers of nodes, and a share between 0 and 1"
        )]
        let most = (total as f64 * self.share.clamp(0.0, 1.0)) as usize;
        most.clamp(1, total - 1)
    }

    /// Whether a node with so many good and bad answers does worse than the others of `nodes`.
    pub(super) fn is_worse(
        &self,
        nodes: &Nodes,
        entry: &NodeEntry,
        (good, bad): (u32, u32),
        now: u64,
    ) -> bool {
        if self.deviations <= 0.0 || good + bad == 0 {
            return false;
        }
        // A sample will do: the average of 10,000 nodes is that of some hundred.
        let step = nodes.list.len().div_ceil(SAMPLE).max(1);
        let rates = nodes
            .list
            .iter()
            .step_by(step)
            .filter(|other| !other.is_same(entry))
            .filter_map(|other| other.success_rate(now, self.volume));
        let rate = f64::from(good) / f64::from(good + bad);
        let others: Vec<f64> = rates.collect();
        others.len() + 1 >= self.hosts.max(2) && self.is_low(rate, &others)
    }

    fn is_low(&self, rate: f64, others: &[f64]) -> bool {
        let count = others.iter().fold(0.0, |count, _| count + 1.0);
        let mean = others.iter().sum::<f64>() / count;
        let square = |rate: &f64| (rate - mean) * (rate - mean);
        let deviation = (others.iter().map(square).sum::<f64>() / count).sqrt();
        rate < mean - (self.deviations * deviation).max(self.margin)
    }
}

/// How many other nodes are looked at.
const SAMPLE: usize = 256;
/// A year, so that times can be added.
const LONGEST: u64 = 365 * 24 * 60 * 60 * 1000;
/// How stale the count of those that are out may be where counting takes long: those that came back
/// are seen so late, those that went are counted as they go.
const STALE: u64 = 100;
/// So many nodes are counted anew each time.
const FEW: usize = 64;

/// How many nodes of one list are out: asked before one more is.
#[derive(Debug, Default)]
pub(super) struct Share(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    at: u64,
    total: usize,
    out: usize,
}

impl Share {
    /// Lets `leave` leave `entry` alone where one more of `nodes` may be; gives whether it has. Of calls
    /// that ask at once one comes after the other.
    pub(super) fn take(
        &self,
        nodes: &Nodes,
        entry: &NodeEntry,
        (now, outliers): (u64, &Outliers),
        leave: impl FnOnce() -> bool,
    ) -> bool {
        let total = nodes.list.len();
        let most = outliers.most(total);
        if most == 0 {
            return false;
        }
        let longest = u64::try_from(outliers.longest.as_millis()).unwrap_or(LONGEST);
        let is_out = |entry: &NodeEntry| entry.is_out(now, longest);
        // That it is one more would be counted twice.
        if is_out(entry) {
            return leave();
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = total > FEW && counted.total == total && now < counted.at + STALE;
        if !fresh {
            let out = nodes.list.iter().filter(|entry| is_out(entry)).count();
            *counted = Counted {
                at: now,
                total,
                out,
            };
        }
        let left = counted.out < most && leave();
        counted.out += usize::from(left);
        left
    }
}

/// Whom a failure concerns: the others of its node, and how many of them are out.
pub(super) struct Peers<'a> {
    pub(super) nodes: &'a Nodes,
    pub(super) share: &'a Share,
}

impl Peers<'_> {
    /// Leaves `entry` alone because of how calls to it went, where that leaves enough others.
    pub(super) fn eject(
        &self,
        entry: &NodeEntry,
        (cause, found): (Cause, Found),
        (now, outliers): (u64, &Outliers),
        tasks: &Tasks,
    ) -> bool {
        let term = outliers.term(tasks);
        let leave = || entry.eject_for(cause, found, term, now);
        self.share.take(self.nodes, entry, (now, outliers), leave)
    }
}

#[cfg(test)]
mod tests;
