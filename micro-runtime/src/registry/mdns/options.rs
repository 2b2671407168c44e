//! Options.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::sockets::Group;

/// How [`Mdns`](super::Mdns) finds nodes and is found.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct MdnsOptions {
    /// What all names end with; `micro` as in Go Micro. Only those with the same find each other.
    pub domain: String,
    /// How long a lookup collects answers; 100 ms as in Go Micro.
    pub query_time: Duration,
    /// The folder of the [`Local`](crate::registry::Local) registry that stands beside: what is
    /// registered is registered there too, and what it knows is found. None without.
    pub folder: Option<PathBuf>,
    pub(super) group: Group,
    pub(super) ttl: u32,
}

impl Default for MdnsOptions {
    fn default() -> Self {
        Self {
            domain: "micro".to_owned(),
            query_time: Duration::from_millis(100),
            folder: None,
            group: Group::default(),
            ttl: 120,
        }
    }
}

impl MdnsOptions {
    /// The options with this domain.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    /// The options with this time for answers.
    pub fn query_time(mut self, time: Duration) -> Self {
        self.query_time = time;
        self
    }

    /// The options with the local registry of this folder beside.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// A group and a port of a test's own, which meets nobody else then.
    #[doc(hidden)]
    pub fn group(mut self, v4: Ipv4Addr, v6: Ipv6Addr, port: u16) -> Self {
        self.group = Group { v4, v6, port };
        self
    }

    /// For how many seconds what is told holds; 120 as in Go Micro. For tests that have not that long.
    #[doc(hidden)]
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }
}
