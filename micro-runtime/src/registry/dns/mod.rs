//! The registry that is the name service: somebody else writes into it, we ask.
//!
//! A service `greeter` is looked for as Go Micro's selector does: `_greeter._tcp.<domain>` as SRV
//! records and the addresses of their hosts. Where there are none and a port is known, `greeter.<domain>`
//! is looked for as a host (A, else AAAA). A name `host:port` is that host, whatever the domain.
//!
//! Answers hold for their time to live, at least 1 s and at most a minute; that a name is not there
//! holds 5 s at most. A watch asks again when that is over. A server that does not answer or fails is
//! no answer: then the last snapshot serves on.
//!
//! Consul is such a server, too, for those who do not speak its own protocol: its DNS port as the
//! server, `service.consul` as the domain, and `enable_truncate` in its `dns_config`, without which it
//! leaves out nodes that do not fit into a datagram and does not say so.
//!
//! Questions go to the system's servers by our own small client, so that times are kept: the system's
//! resolver does not tell them. They are asked in turn, by UDP and where need be by TCP; answers
//! count only from whom was asked and to what was asked.

mod exchange;
mod lookup;
mod options;
mod resolver;
mod servers;
#[cfg(test)]
mod tests;

pub use options::DnsOptions;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use self::lookup::{Found, Names, lookup};
use self::resolver::{Resolver, until};
use super::dns_message::Name;
use super::table::{Progress, Table};
use super::{Action, Event, ID, Node, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// How many seconds an answer holds at least and at most, and how many that there is none.
const HOLDS: (u64, u64) = (1, 60);
const ABSENT: (u64, u64) = (1, 5);
/// How many names are remembered. When there are more, all are asked for again.
const MAX_NAMES: usize = 16_384;

/// Knows the services that DNS knows.
///
/// Registering and deregistering is accepted and changes nothing: DNS is written by others. It cannot
/// list what there is, nor watch all names. A clone is the same registry.
///
/// ```no_run
/// use micro_runtime::registry::{Dns, DnsOptions, Registry};
/// use micro_runtime::tasks::Tasks;
///
/// # async fn example() -> micro_runtime::Result<()> {
/// let options = DnsOptions::default().domain("prod.example.org:8080")?;
/// let registry = Dns::new(options, &Tasks::new())?;
/// println!("{:?}", registry.get("greeter").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resolver: Resolver,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What was told of a name.
#[derive(Clone, Debug)]
struct Known {
    table: Arc<Table>,
    until: Instant,
    /// Whether what is missing in it is certainly gone.
    certain: bool,
}

impl Dns {
    /// A registry that asks as `options` say. Nothing is asked before the first use.
    ///
    /// # Errors
    /// 400 where the domain is no name.
    pub fn new(options: DnsOptions, tasks: &Tasks) -> Result<Self> {
        if !options.domain.is_empty() && Name::parse(&options.domain).is_err() {
            let domain = &options.domain;
            return Err(options::wrong(&format!("{domain:?} cannot be a domain")));
        }
        Ok(Self(Arc::new(Inner {
            resolver: Resolver::new(options, tasks),
            known: Mutex::default(),
        })))
    }
}

impl Inner {
    /// What is told of a name now, or was told and still holds.
    async fn known(self: Arc<Self>, name: String) -> Result<Known> {
        if let Some(known) = self.remembered(&name) {
            return Ok(known);
        }
        let options = self.resolver.options();
        let names = Names::of(&name, &options.domain, options.port).map_err(|_| {
            Error::not_found(ID, format!("service not found: {name:?} is no name in DNS"))
        })?;
        let found = lookup(&self.resolver, &names).await?;
        let known = self.told(&name, &found);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_NAMES {
            all.clear();
        }
        all.insert(name, known.clone());
        Ok(known)
    }

    fn remembered(&self, name: &str) -> Option<Known> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(name)?;
        (known.until > Instant::now()).then(|| known.clone())
    }

    fn told(&self, name: &str, found: &Found) -> Known {
        let mut service = Service::new(name, "");
        service.nodes.extend(found.places.iter().map(|place| Node {
            metadata: self.resolver.options().metadata.clone(),
            ..Node::new(format!("{name}-{place}"), place.to_string())
        }));
        let mut table = Table::default();
        table.insert(&service);
        let empty = found.places.is_empty();
        Known {
            table: Arc::new(table),
            until: until(found.ttl, if empty { ABSENT } else { HOLDS }),
            certain: !empty && !found.partial,
        }
    }
}

#[async_trait]
impl Registry for Dns {
    fn name(&self) -> &str {
        "dns"
    }

    /// Changes nothing, and is no error: DNS is written by others.
    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        Ok(())
    }

    async fn deregister(&self, _: &Service) -> Result<()> {
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        match self.0.clone().known(name.to_owned()).await?.table.get(name) {
            found if found.is_empty() => Err(not_found()),
            found => Ok(found),
        }
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Err(Error::not_implemented(
            ID,
            "dns registry: DNS does not tell which services there are",
        ))
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        let Some(name) = name else {
            return Err(Error::not_implemented(
                ID,
                "dns registry: only one name at a time can be watched",
            ));
        };
        let known = self.0.clone().known(name.to_owned()).await?;
        Ok(Box::new(DnsWatcher {
            progress: Progress::new(Some(name), known.table.clone()),
            name: name.to_owned(),
            registry: self.0.clone(),
            known,
            asking: None,
        }))
    }
}

type Asking = Pin<Box<dyn Future<Output = Result<Known>> + Send>>;

/// Asks again when an answer no longer holds.
struct DnsWatcher {
    registry: Arc<Inner>,
    name: String,
    progress: Progress,
    known: Known,
    /// Kept here, so that a wait that is given up does not begin anew.
    asking: Option<Asking>,
}

impl fmt::Debug for DnsWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsWatcher")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Watcher for DnsWatcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(mut event) = self.progress.ahead() {
                // That nothing is left at all may be a server that has just come up, and nobody has
                // taken the nodes out one by one.
                if event.action == Action::Delete && !self.known.certain {
                    event.action = Action::Expire;
                }
                return Ok(event);
            }
            tokio::time::sleep_until(self.known.until).await;
            let asking = self
                .asking
                .get_or_insert_with(|| Box::pin(self.registry.clone().known(self.name.clone())));
            let known = asking.await;
            self.asking = None;
            self.known = known?;
            self.progress.advance(self.known.table.clone());
        }
    }
}

fn failure(what: impl fmt::Display) -> Error {
    Error::internal(ID, format!("dns registry: {what}"))
}
