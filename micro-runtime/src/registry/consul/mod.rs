//! Consul as the registry, in the form that Go Micro's plugin gives it.
//!
//! A node is a service instance of the agent that is asked; what it tells stands in tags. By default
//! it has a check by TTL: registering it again only says that it passes, until the agent no longer
//! knows it or the node has changed. Lookups take every node without a critical check.
//!
//! ```no_run
//! use micro_runtime::registry::Consul;
//! use micro_runtime::tasks::Tasks;
//!
//! # fn main() -> micro_runtime::Result<()> {
//! let registry = Consul::new(["127.0.0.1:8500"], &Tasks::new())?;
//! # Ok(())
//! # }
//! ```
//!
//! A watch is a question that waits at the agent, on a connection of its own. Of more than 64 watches
//! the rest look every ten to fifteen seconds: an agent has room for so many connections only.

mod agent;
mod answer;
mod options;
mod registration;
mod tags;
#[cfg(test)]
mod tests;
mod watch;

pub use options::Options;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::agent::{Agents, Question, deadline};
use self::answer::{Health, Known};
use self::options::Check;
use super::table::by_version;
use super::{ID, Node, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// Knows the services of a Consul cluster.
///
/// A clone is the same registry.
#[derive(Clone, Debug)]
pub struct Consul(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agents: Agents,
    options: Options,
    tasks: Tasks,
    /// What agents were told, by node id: the nodes of this process.
    told: Mutex<BTreeMap<String, Told>>,
    /// The newest state that watches of a name have seen: what is older must not follow it.
    seen: Mutex<BTreeMap<String, u64>>,
    /// The rights to let a question wait at the agent.
    waiting: Arc<Semaphore>,
}

/// What agents were told of a node.
#[derive(Clone, Debug, Default)]
struct Told {
    body: Bytes,
    /// The numbers of the agents that know it: more than one where the first did not answer.
    agents: BTreeSet<usize>,
}

impl Consul {
    /// The registry behind the first agent of `addresses` that answers; behind the one at
    /// `127.0.0.1:8500` where there is none. It is not asked yet.
    ///
    /// # Errors
    /// 400 where an address cannot be used.
    pub fn new(addresses: impl IntoIterator<Item: Into<String>>, tasks: &Tasks) -> Result<Self> {
        let options = Options::new();
        let options = addresses.into_iter().fold(options, Options::address);
        Self::with(options, tasks)
    }

    /// The registry that `options` describe. It is not asked yet.
    ///
    /// # Errors
    /// 400 where an address or TLS cannot be used.
    pub fn with(options: Options, tasks: &Tasks) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            agents: Agents::new(&options)?,
            options,
            tasks: tasks.clone(),
            told: Mutex::default(),
            seen: Mutex::default(),
            waiting: Arc::new(Semaphore::new(watch::WAITING)),
        })))
    }

    /// The agents' addresses, `host:port`.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.0.agents.addresses()
    }
}

impl Inner {
    async fn register(
        &self,
        service: &Service,
        node: &Node,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<()> {
        let Options { check, connect, .. } = &self.options;
        let body = registration::body(service, node, ttl, check, *connect);
        let passes = *check == Check::Ttl && ttl.is_some_and(|ttl| !ttl.is_zero());
        let before = self.told().get(&node.id).cloned().unwrap_or_default();
        if before.body == body && self.still_known(node, passes, deadline).await? {
            return Ok(());
        }
        // What is not answered may be done all the same: what was told is not known until the end.
        let mut agents = before.agents;
        self.note(node, Bytes::new(), &agents);
        let question = Question::put("/v1/agent/service/register", "").body(body.clone());
        agents.insert(self.agents.ask(&question, deadline).await?.good()?.number);
        self.note(node, Bytes::new(), &agents);
        if passes {
            self.agents.ask(&pass(node), deadline).await?.good()?;
        }
        self.note(node, body, &agents);
        Ok(())
    }

    fn note(&self, node: &Node, body: Bytes, agents: &BTreeSet<usize>) {
        let agents = agents.clone();
        self.told().insert(node.id.clone(), Told { body, agents });
    }

    /// Tells the agent that the node passes, or asks whether it knows the node, which is then all
    /// that there is to do.
    async fn still_known(&self, node: &Node, passes: bool, deadline: Instant) -> Result<bool> {
        let question = match passes {
            true => pass(node),
            // Registering again would set back a check of Consul's own.
            false => Question::get("/v1/agent/service/", &node.id),
        };
        Ok(self.agents.ask(&question, deadline).await?.is_good())
    }

    async fn deregister(&self, node: &Node, deadline: Instant) -> Result<()> {
        let told = self.told().get(&node.id).cloned().unwrap_or_default();
        let question = Question::put("/v1/agent/service/deregister/", &node.id);
        let answer = self.agents.ask(&question, deadline).await?;
        let unknown = answer.status() == 404
            // Before 1.11.
            || answer.status() == 500 && answer.body().starts_with(b"Unknown service");
        let number = answer.number;
        if !unknown {
            answer.good()?;
        }
        for other in told.agents.into_iter().filter(|other| *other != number) {
            // It may be gone for good; then its cluster forgets the node by itself.
            let _ = self.agents.ask_one(other, &question, deadline).await;
        }
        // Not before: who tries again after an error is to reach all of them.
        self.told().remove(&node.id);
        Ok(())
    }

    fn lookup(&self, name: &str) -> Question {
        let kind = if self.options.connect {
            "connect"
        } else {
            "service"
        };
        Question::get(&format!("/v1/health/{kind}/"), name)
    }

    async fn nodes(&self, name: &str) -> Result<BTreeMap<String, Known>> {
        let deadline = deadline();
        let question = self.lookup(name);
        if self.options.stale {
            let question = question.clone().with("stale", "");
            let answer = self.agents.ask(&question, deadline).await?.good()?;
            if answer.index() >= self.seen(name) {
                return answer::nodes(answer.body(), name).map_err(|error| answer.nonsense(error));
            }
        }
        // A watch has told a newer state: only the leader's answer may follow that.
        let answer = self.agents.ask(&question, deadline).await?.good()?;
        answer::nodes(answer.body(), name).map_err(|error| answer.nonsense(error))
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state of `name` that a watch has seen.
    fn seen(&self, name: &str) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).copied()
    }

    fn set_seen(&self, name: &str, index: Option<u64>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match index {
            Some(index) => seen.insert(name.to_owned(), index),
            None => seen.remove(name),
        };
    }
}

#[async_trait]
impl Registry for Consul {
    fn name(&self) -> &str {
        "consul"
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let deadline = deadline();
        for node in &service.nodes {
            self.0
                .register(service, node, options.ttl, deadline)
                .await?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        let deadline = deadline();
        for node in &service.nodes {
            self.0.deregister(node, deadline).await?;
        }
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        let nodes = self.0.nodes(name).await?;
        let well = nodes.values().filter(|known| known.health == Health::Well);
        match by_version(well.map(|known| &known.service)) {
            found if found.is_empty() => Err(not_found()),
            found => Ok(found),
        }
    }

    /// Names alone, also of what is not Go Micro's.
    async fn list(&self) -> Result<Vec<Service>> {
        let mut question = Question::get("/v1/catalog/services", "");
        if self.0.options.stale {
            question = question.with("stale", "");
        }
        let answer = self.0.agents.ask(&question, deadline()).await?.good()?;
        let names: BTreeMap<String, serde::de::IgnoredAny> =
            serde_json::from_slice(answer.body()).map_err(|error| answer.nonsense(error))?;
        Ok(names
            .into_keys()
            .map(|name| Service::new(name, ""))
            .collect())
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        let Some(name) = name else {
            return Err(Error::not_implemented(
                ID,
                "consul registry: one name is watched at a time, as Consul tells changes of one",
            ));
        };
        Ok(Box::new(watch::ConsulWatcher::open(&self.0, name).await?))
    }
}

fn pass(node: &Node) -> Question {
    let check = format!("service:{}", node.id);
    Question::put("/v1/agent/check/pass/", &check).with("note", "")
}
