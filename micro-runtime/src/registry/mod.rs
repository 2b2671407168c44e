//! Where services say that they are there, and where others find them by name.
//!
//! The data is Go Micro's: a [`Service`] is one version of a name with its nodes and endpoints. A
//! registry only knows what is registered; it does no balancing (see [`selector`](crate::selector))
//! and no caching (see [`Directory`]).
//!
//! ```
//! use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> micro_runtime::Result<()> {
//! let registry = Memory::new();
//! let mut greeter = Service::new("greeter", "1.0.0");
//! greeter.nodes.push(Node::new("greeter-1", "127.0.0.1:4000"));
//! registry.register(&greeter, RegisterOptions::default()).await?;
//! assert_eq!(registry.get("greeter").await?, [greeter]);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "consul")]
pub mod consul;
mod dns;
#[cfg_attr(
    not(feature = "mdns"),
    expect(dead_code, reason = "multicast DNS looks at messages more closely")
)]
mod dns_message;
mod fixed;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "mdns")]
mod mdns;
mod memory;
mod model;
#[cfg(any(feature = "consul", feature = "mdns"))]
mod packed;
mod snapshot;
mod table;

#[cfg(feature = "consul")]
pub use consul::Consul;
pub use dns::{Dns, DnsOptions};
pub use fixed::Static;
#[cfg(feature = "local")]
pub use local::Local;
#[cfg(feature = "mdns")]
pub use mdns::{Mdns, MdnsOptions};
pub use memory::Memory;
pub use model::{Endpoint, Node, Service, Value};
pub(crate) use snapshot::{Counted, Found, Term, Verdict, Weight, mix};
pub use snapshot::{Directory, GRACE, NodeEntry, Nodes, NodesGuard, Standing, Underway, View};

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, Result};

/// Knows which services there are.
///
/// A [`Service`] is kept node by node: registering a node id again replaces that node, and other
/// nodes of the same name and version stay. Every method may be called at any time from any task.
#[async_trait]
pub trait Registry: Debug + Send + Sync + 'static {
    /// The name that it is chosen by, and that nodes tell in their metadata: `memory`, `consul`.
    fn name(&self) -> &str;

    /// How far its word carries; it decides where a service listens that names no address.
    fn reach(&self) -> Reach {
        Reach::Network
    }

    /// Makes the service's nodes known, or keeps them known: services call it again and again.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses. The nodes may be known all the same.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()>;

    /// Forgets the service's nodes; nodes that are not known are no error. Name, version and node
    /// ids count, the rest may be empty.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    async fn deregister(&self, service: &Service) -> Result<()>;

    /// The services of this name with their nodes, one for each version.
    ///
    /// # Errors
    /// [`not_found`] where nothing has this name; some registries give an empty list instead, so
    /// callers take both for the same. Any other error means that nothing is known.
    async fn get(&self, name: &str) -> Result<Vec<Service>>;

    /// All services; many registries give names alone, without nodes and endpoints.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    async fn list(&self) -> Result<Vec<Service>>;

    /// Tells changes from now on, of one name or of all. Dropping the watcher ends the watch.
    ///
    /// # Errors
    /// When the registry cannot be reached, or cannot watch all names at once.
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>>;
}

/// Tells what changes in a registry.
#[async_trait]
pub trait Watcher: Debug + Send + 'static {
    /// Waits for the next change. Cancel safe.
    ///
    /// Steps between two states may be left out, and a change may be told twice; the state that the
    /// changes lead to is never lost.
    ///
    /// # Errors
    /// The watch has ended and changes may have been missed: watch again, then ask again.
    async fn next(&mut self) -> Result<Event>;
}

/// A change in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened to the nodes.
    pub action: Action,
    /// The service with those of its nodes that it happened to, and no others.
    pub service: Service,
}

impl Event {
    /// `action` on the nodes of `service`.
    pub fn new(action: Action, service: Service) -> Self {
        Self { action, service }
    }
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// Its address, its metadata or its service's endpoints are others now.
    Update,
    /// It is gone: it was deregistered. Without nodes: the whole version is gone.
    Delete,
    /// The registry no longer vouches for it: its TTL ran out or its check fails, and nobody has
    /// deregistered it. A node that still answers calls is kept for a while.
    Expire,
}

/// How far a registry's word carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It knows and is known by processes of this machine alone.
    Machine,
    /// Other machines read it.
    Network,
}

/// How a service is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterOptions {
    /// How long the nodes stay known without being registered again; for ever where `None`.
    pub ttl: Option<Duration>,
}

impl RegisterOptions {
    /// Known for `ttl` only; zero means for ever, as in Go Micro.
    pub fn with_ttl(ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl).filter(|ttl| !ttl.is_zero()),
        }
    }
}

/// The id of the errors that registries make themselves.
pub(crate) const ID: &str = "go.micro.registry";

/// Whether a registry may name Unix sockets. One that other machines write to may not: it would choose
/// among this machine's files.
pub(crate) fn may_name_sockets(registry: &dyn Registry) -> bool {
    registry.reach() == Reach::Machine || registry.name() == "static"
}

/// What [`Registry::get`] answers about a name that nothing has: 404, in Go Micro's words.
pub fn not_found() -> Error {
    Error::not_found(ID, "service not found")
}
