//! Changes of a name, by Consul's blocking queries.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::agent::{Replied, deadline};
use super::answer::{self, Health, Known};
use crate::error::{Error, Result};
use crate::registry::{Action, Event, ID, Watcher};
use crate::transport::Borrowed;

/// How long Consul is asked to wait for a change, and a random part more, so that a fleet's
/// questions spread. Consul adds a sixteenth.
const WAIT: (Duration, Duration) = (Duration::from_secs(50), Duration::from_secs(10));
/// The pause between two questions: many changes at once come in one answer.
const PAUSE: Duration = Duration::from_millis(50);
/// The same from question to question where an answer told nothing: such an agent does not wait.
const PAUSE_AFTER_NOTHING: Duration = Duration::from_secs(1);
/// The same, and a random part more, where too many questions wait at the agent already.
const LOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// How many questions of a registry wait at the agent. It allows two hundred connections from one
/// address, over which all fail, also the renewals that keep nodes registered.
pub(super) const WAITING: usize = 64;

/// Tells the changes of one name.
///
/// Consul numbers its states. A number that goes back while nodes are gone, or an agent that breaks
/// off, may mean that it has lost its memory: the watch then ends, and its owner asks anew.
pub(super) struct ConsulWatcher {
    registry: Arc<Inner>,
    name: String,
    /// The number of the state that is known.
    index: u64,
    known: BTreeMap<String, Known>,
    /// At most two for each node.
    ahead: VecDeque<Event>,
    /// The question that is under way: it goes on when a wait for it is given up.
    asking: Option<Borrowed<'static, Result<Replied>>>,
    /// The right to let a question wait; without it the state is looked at now and then.
    waits: Option<OwnedSemaphorePermit>,
    /// When the next may be asked.
    next: Instant,
}

impl ConsulWatcher {
    /// Begins at the present state, of which nothing is told.
    pub(super) async fn open(registry: &Arc<Inner>, name: &str) -> Result<Self> {
        let question = registry.lookup(name);
        let answer = registry.agents.ask(&question, deadline()).await?.good()?;
        let known = answer::nodes(answer.body(), name).map_err(|error| answer.nonsense(error))?;
        let index = answer
            .index()
            .ok_or_else(|| answer.nonsense("it has no X-Consul-Index above 0"))?;
        registry.set_seen(name, Some(index));
        Ok(Self {
            registry: registry.clone(),
            name: name.to_owned(),
            index,
            known,
            ahead: VecDeque::new(),
            asking: None,
            waits: None,
            next: Instant::now(),
        })
    }

    /// Asks for the state after the one that is known.
    fn ask(&mut self) -> Borrowed<'static, Result<Replied>> {
        let registry = self.registry.clone();
        if self.waits.is_none() {
            self.waits = registry.waiting.clone().try_acquire_owned().ok();
        }
        let mut question = registry.lookup(&self.name);
        if self.waits.is_some() {
            let wait = WAIT.0 + registry.tasks.up_to(WAIT.1);
            question = question
                .with("index", &self.index.to_string())
                .with("wait", &format!("{}ms", wait.as_millis()))
                .waiting(wait + wait / 16);
        } else {
            self.next += LOOK.0 + registry.tasks.up_to(LOOK.1);
        }
        let next = self.next;
        Box::pin(async move {
            sleep_until(next).await;
            registry.agents.ask(&question, deadline()).await?.good()
        })
    }

    /// Takes the state that was answered.
    fn take(&mut self, answer: &Replied) -> Result<()> {
        let nodes =
            answer::nodes(answer.body(), &self.name).map_err(|error| answer.nonsense(error))?;
        let index = answer.index().unwrap_or_default();
        // Going back alone is harmless: agents answer a question that waits from a view of their own,
        // whose number is that of the name's last change, and others with that of the whole table.
        let lost = || self.known.keys().any(|id| !nodes.contains_key(id));
        if index == 0 || (index < self.index && lost()) {
            return Err(Error::unavailable(
                ID,
                format!(
                    "Consul has lost its memory: state {index} of {} follows {}",
                    self.name, self.index
                ),
            ));
        }
        // The check of every one of several fails: the agents, and not the nodes, may be cut off.
        let well = |known: &Known| known.health == Health::Well;
        let sick = |known: &Known| known.health == Health::Critical;
        let sick = nodes.values().filter(|known| sick(known)).count();
        if sick > 1 && self.known.values().any(well) && !nodes.values().any(well) {
            return Err(Error::unavailable(
                ID,
                format!("Consul holds no node of {} for healthy any more", self.name),
            ));
        }
        let now = Instant::now();
        self.next = match index == self.index {
            true => (now + PAUSE).max(self.next + PAUSE_AFTER_NOTHING),
            false => now + PAUSE,
        };
        self.index = index;
        self.registry.set_seen(&self.name, Some(index));
        let before = std::mem::replace(&mut self.known, nodes);
        self.ahead.extend(changes(&before, &self.known));
        Ok(())
    }
}

/// What leads from `old` to `new`.
pub(super) fn changes(old: &BTreeMap<String, Known>, new: &BTreeMap<String, Known>) -> Vec<Event> {
    let mut changes = Vec::new();
    let mut tell = |action, known: &Known| changes.push(Event::new(action, known.service.clone()));
    // What is new comes first, so that a rolling change never leaves a moment without nodes.
    for (id, known) in new.iter().filter(|(_, known)| known.health == Health::Well) {
        match old.get(id) {
            Some(before) if before.health == Health::Well => {
                if before.service != known.service {
                    tell(Action::Update, known);
                }
            }
            _ => tell(Action::Create, known),
        }
    }
    for (id, before) in old {
        let action = match (before.health, new.get(id).map(|known| known.health)) {
            (Health::Well, Some(Health::Critical)) => Action::Expire,
            // Nobody has deregistered a node that was critical: Consul has forgotten it.
            (Health::Critical, None) => Action::Expire,
            (Health::Well | Health::Critical, Some(Health::Maintained)) => Action::Delete,
            (Health::Well, None) => Action::Delete,
            _ => continue,
        };
        tell(action, before);
    }
    changes
}

#[async_trait]
impl Watcher for ConsulWatcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                return Ok(event);
            }
            if self.asking.is_none() {
                self.asking = Some(self.ask());
            }
            let Some(asking) = &mut self.asking else {
                continue;
            };
            let answered = asking.await;
            self.asking = None;
            self.take(&answered?)?;
        }
    }
}

impl Drop for ConsulWatcher {
    fn drop(&mut self) {
        self.registry.set_seen(&self.name, None);
    }
}

impl fmt::Debug for ConsulWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulWatcher")
            .field("name", &self.name)
            .field("index", &self.index)
            .field("nodes", &self.known.len())
            .finish_non_exhaustive()
    }
}
