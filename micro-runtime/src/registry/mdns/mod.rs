//! The registry of one network: multicast DNS, with Go Micro's names, and nothing to install.
//!
//! A service answers for itself: each node in a datagram of its own, to whoever asks the group on any
//! interface, loopback included. A lookup asks and collects answers for 100 ms. Who watches hears
//! announcements and goodbyes, asks again before what was told is too old, and forgets a node that is
//! silent for two minutes. The file registry stands beside it, so that services of one user on one
//! machine find each other where multicast does not work, and lose each other at once.
//!
//! Nothing is opened before the first use.

mod ask;
mod bucket;
mod engine;
mod host;
mod interfaces;
mod options;
mod own;
mod seen;
mod sockets;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod watcher;
mod zone;

pub use options::MdnsOptions;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use self::engine::Engine;
use super::dns_message as dns;
use super::table::{Table, key};
use super::{ID, Local, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// Knows the services of the machines that multicast reaches, and those of this user on this machine.
///
/// A clone is the same registry. When the last clone and watcher are dropped, it says goodbye for
/// what is still registered.
///
/// ```no_run
/// use micro_runtime::registry::{Mdns, MdnsOptions, Registry};
/// use micro_runtime::tasks::Tasks;
///
/// # async fn find() -> micro_runtime::Result<()> {
/// let registry = Mdns::new(&Tasks::new(), MdnsOptions::default())?;
/// for service in registry.get("greeter").await? {
///     println!("{} has {} nodes", service.version, service.nodes.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mdns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    /// Opened on first use; `None` where it is not wanted or cannot be.
    local: OnceLock<Option<Local>>,
}

impl Mdns {
    /// The registry with these options; opens nothing yet.
    ///
    /// # Errors
    /// 400 where the domain cannot be one.
    pub fn new(tasks: &Tasks, options: MdnsOptions) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            engine: Arc::new(Engine::new(tasks, options)?),
            local: OnceLock::new(),
        })))
    }
}

impl Inner {
    fn local(&self) -> Option<&Local> {
        let local = self.local.get_or_init(|| {
            let folder = self.engine.options.folder.as_ref()?;
            match Local::at(folder, &self.engine.tasks) {
                Ok(local) => Some(local),
                Err(error) => {
                    tracing::warn!(%error, "mDNS stands alone, without the local registry beside it");
                    None
                }
            }
        });
        local.as_ref()
    }

    /// What multicast tells of a name. A name that DNS has no room for has no nodes.
    async fn ask(&self, name: &str) -> Result<Vec<Service>> {
        let Ok(of) = self.engine.zone.service(name) else {
            return Ok(Vec::new());
        };
        self.engine.start();
        let _room = self.engine.lookups.acquire().await;
        let told = ask::nodes(&self.engine, name, &of).await?;
        Ok(told.into_iter().map(|told| told.service).collect())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

#[async_trait]
impl Registry for Mdns {
    fn name(&self) -> &str {
        "mdns"
    }

    /// The time to live is not used: as in Go Micro, what is told holds for two minutes and is told
    /// again to everybody who asks.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        let mut own = Vec::new();
        // All is refused or nothing.
        for node in &service.nodes {
            own.push((key(service, node), self.0.engine.own(service, node)?));
        }
        let works = self.0.engine.start();
        let registered = match self.0.local() {
            Some(local) => local.register(service, options).await,
            None if works => Ok(()),
            None => Err(Error::internal(
                ID,
                "mdns registry: multicast does not work here, and no local registry stands beside it",
            )),
        };
        for (key, own) in own {
            self.0.engine.register(key, own);
        }
        match registered {
            Err(error) if works => {
                tracing::debug!(%error, "registered by mDNS alone");
                Ok(())
            }
            registered => registered,
        }
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        for node in &service.nodes {
            self.0.engine.deregister(&key(service, node));
        }
        match self.0.local() {
            Some(local) => local.deregister(service).await,
            None => Ok(()),
        }
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        let asked = self.0.ask(name).await;
        // Looked at last: it knows at once who has ended.
        let here = match self.0.local() {
            Some(local) => Some(local.get(name).await),
            None => None,
        };
        let mut table = Table::default();
        let failed = match (asked, here) {
            (Ok(told), here) => {
                told.iter().for_each(|service| table.insert(service));
                // Of two that tell of one node, the file says all and was not under way.
                for service in here.into_iter().flatten().flatten() {
                    table.insert(&service);
                }
                None
            }
            (Err(_), Some(Ok(here))) => {
                here.iter().for_each(|service| table.insert(service));
                None
            }
            (Err(_), Some(Err(error))) if error.code() == 404 => Some(error),
            (Err(error), _) => Some(error),
        };
        match (table.get(name), failed) {
            (_, Some(error)) => Err(error),
            (found, None) if found.is_empty() => Err(not_found()),
            (found, None) => Ok(found),
        }
    }

    /// Names alone, for services that only multicast tells of.
    async fn list(&self) -> Result<Vec<Service>> {
        self.0.engine.start();
        let room = self.0.engine.lookups.acquire().await;
        let asked = ask::names(&self.0.engine).await;
        drop(room);
        let here = match self.0.local() {
            Some(local) => local.list().await,
            None => Err(not_found()),
        };
        let (names, here) = match (asked, here) {
            (Err(error), Err(_)) => return Err(error),
            (names, here) => (names.unwrap_or_default(), here.unwrap_or_default()),
        };
        let mut services = here;
        for name in names {
            if !services.iter().any(|service| service.name == name) {
                services.push(Service::new(name, ""));
            }
        }
        Ok(services)
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        let works = self.0.engine.start();
        let watcher = watcher::Merged::open(&self.0, name).await?;
        if !works && !watcher.has_local() {
            return Err(Error::internal(
                ID,
                "mdns registry: multicast does not work here, so that nothing can be watched",
            ));
        }
        Ok(Box::new(watcher))
    }
}

/// The services by name and node id: what a watcher's two sources know.
type Nodes = BTreeMap<super::table::Key, Service>;
