//! Active checks: nodes are asked from time to time whether they are well.

use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::asking::{Question, check};
use super::attempts::Attempts;
use super::destination::{Destination, State};
use super::outlier::Outliers;
use crate::error::why::Cause;
use crate::error::{Error, id};
use crate::registry::{NodeEntry, Nodes, View};
use crate::tasks::{after, later};

/// How long nodes that are to be checked may take to become known: after that the next call begins
/// anew.
const LOAD: Duration = Duration::from_secs(60);

/// Asks each node of the services that a client calls, from time to time, whether it is well.
///
/// A node that [says no](Self::fails) a few times, or says nothing, is left alone until it has said
/// [yes](Self::passes) again. That stands beside what calls tell, and is for services with few calls, or
/// with nodes that know before their callers do that they are not well. One task for each service that is
/// called, which ends when nobody calls it any more; the questions are spread over the
/// [interval](Self::interval). As for what calls tell, never more than
/// [a share](super::Outliers::share) of the nodes is left alone, but for those that cannot be reached:
/// where [outliers are off](super::Outliers::off), half of them.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::Service;
/// use micro_runtime::client::HealthCheck;
///
/// let service = Service::new("caller")
///     .health_check(HealthCheck::grpc().interval(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct HealthCheck {
    question: Question,
    interval: Duration,
    timeout: Duration,
    fails: u32,
    passes: u32,
    at_once: usize,
}

impl HealthCheck {
    /// Asks gRPC's `grpc.health.v1.Health/Check`, over whatever protocol the node speaks: anything but
    /// SERVING is no. A node that does not have it is well.
    pub fn grpc() -> Self {
        Self::new(Question::Grpc)
    }

    /// Asks Go Micro's `Debug.Health`, which all its services answer.
    pub fn debug() -> Self {
        Self::new(Question::Debug)
    }

    fn new(question: Question) -> Self {
        Self {
            question,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            fails: 3,
            passes: 2,
            at_once: 16,
        }
    }

    /// How often each node is asked, and up to a tenth later; 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How long it may take to answer; 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// After how many bad answers in a row it is left alone; 3.
    pub fn fails(mut self, fails: u32) -> Self {
        self.fails = fails.max(1);
        self
    }

    /// After how many good answers in a row it is back; 2.
    pub fn passes(mut self, passes: u32) -> Self {
        self.passes = passes.max(1);
        self
    }

    /// How many nodes of a service are asked at once; 16.
    pub fn at_once(mut self, nodes: usize) -> Self {
        self.at_once = nodes.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// What is asked, as settings name it.
    pub fn name(&self) -> &'static str {
        match self.question {
            Question::Debug => "debug",
            Question::Grpc => "grpc",
        }
    }

    /// How often a node is asked, and how long it may take to answer.
    pub(crate) fn times(&self) -> [Duration; 2] {
        [self.interval, self.timeout]
    }

    /// How long a bad answer holds where no other comes.
    fn holds(&self) -> u64 {
        let holds = (self.interval * 2).saturating_add(self.timeout);
        u64::try_from(holds.as_millis()).unwrap_or(u64::MAX / 4)
    }
}

impl FromStr for HealthCheck {
    type Err = Error;

    /// Reads `grpc` and `debug`.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "grpc" => Ok(Self::grpc()),
            "debug" => Ok(Self::debug()),
            _ => Err(Error::bad_request(
                id::CLIENT,
                format!("there is no health check {name}: known are grpc and debug"),
            )),
        }
    }
}

/// The checks of one client.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) check: HealthCheck,
    /// Checks keep no client alive.
    pub(super) client: Weak<Attempts>,
}

impl Active {
    /// Checks the nodes of `to` from now on, unless somebody does.
    pub(super) fn begin(&self, attempts: &Attempts, to: &Destination) {
        if to.state.checked.swap(true, Ordering::AcqRel) {
            return;
        }
        let rounds = Rounds {
            check: self.check.clone(),
            client: self.client.clone(),
            view: Arc::downgrade(&to.view),
            _checked: Checked(to.state.clone()),
        };
        attempts.tasks.spawn(rounds.run());
    }
}

/// That a service is being checked, for as long as it is.
struct Checked(Arc<State>);

impl Drop for Checked {
    fn drop(&mut self) {
        self.0.checked.store(false, Ordering::Release);
    }
}

struct Rounds {
    check: HealthCheck,
    client: Weak<Attempts>,
    view: Weak<View>,
    _checked: Checked,
}

impl Rounds {
    async fn run(self) {
        if let Some(view) = self.view.upgrade() {
            view.loaded(after(LOAD)).await;
        }
        let places = Arc::new(Semaphore::new(self.check.at_once));
        // Clients that start together do not ask together.
        let mut pause = self.jitter(self.check.interval);
        loop {
            sleep(pause).await;
            let Some(nodes) = self.nodes() else {
                return;
            };
            let began = Instant::now();
            let count = u32::try_from(nodes.list.len()).unwrap_or(u32::MAX).max(1);
            for (number, entry) in (0..count).zip(&nodes.list) {
                sleep_until(later(began, self.check.interval / count * number)).await;
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                let (Some(client), Some(view)) = (self.client.upgrade(), self.view.upgrade())
                else {
                    return;
                };
                let to = Destination::new(view);
                let (entry, check) = (entry.clone(), self.check.clone());
                let tasks = client.tasks.clone();
                tasks.spawn(async move {
                    look(&client, &to, &entry, &check).await;
                    drop(place);
                });
            }
            let left = self.check.interval.saturating_sub(began.elapsed());
            pause = left + self.jitter(self.check.interval / 10);
        }
    }

    /// The nodes to check; `None` where nobody calls them any more.
    fn nodes(&self) -> Option<Arc<Nodes>> {
        self.client.upgrade()?;
        let view = self.view.upgrade()?;
        view.is_ready().then(|| view.peek())
    }

    fn jitter(&self, limit: Duration) -> Duration {
        let client = self.client.upgrade();
        client.map_or(limit, |client| client.tasks.up_to(limit))
    }
}

/// Asks one node, and draws the consequences.
async fn look(client: &Attempts, to: &Destination, entry: &NodeEntry, asked: &HealthCheck) {
    let Ok(channel) = client.channels.to(entry) else {
        return;
    };
    let answer = check(&**channel, asked.question, to.view.name(), asked.timeout).await;
    let now = client.directory.millis(Instant::now());
    let failed = match answer {
        Ok(()) => None,
        // Nothing was learned.
        Err(Cause::Own | Cause::GivenUp) => return,
        Err(cause) => Some(cause),
    };
    tracing::debug!(node = entry.id(), ?failed, "checked");
    if !entry.checked(failed.is_none(), (asked.fails, asked.passes), now) {
        return;
    }
    let keep_out = || {
        entry.keep_out(failed, now.saturating_add(asked.holds()), now);
        true
    };
    if failed == Some(Cause::Unreachable) {
        keep_out();
        return;
    }
    // What calls tell may be off, and checks are not.
    let outliers = match client.outliers.is_off() {
        true => &Outliers::default(),
        false => &*client.outliers,
    };
    let share = &to.state.share;
    share.take(&to.view.peek(), entry, (now, outliers), keep_out);
}
