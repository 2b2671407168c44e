//! Options.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::ID;
use crate::error::{Error, Result};

/// How [`Dns`](super::Dns) asks, and what it makes of answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct DnsOptions {
    /// What follows the services' names; `local` as in Go Micro's selector.
    pub domain: String,
    /// The port of services that have no SRV records but addresses; without it they are not looked
    /// for.
    pub port: Option<u16>,
    /// Who is asked, in this order; those of the file below where there are none.
    pub servers: Vec<SocketAddr>,
    /// The file with the system's name servers, `/etc/resolv.conf`. It is read again when it changes.
    pub resolv_conf: PathBuf,
    /// How long one server is waited for; 2 s.
    pub timeout: Duration,
    /// How often each is asked before it is given up; 2.
    pub attempts: u32,
    /// What nodes are said to have as metadata, since DNS does not tell: that they speak `mucp`.
    pub metadata: BTreeMap<String, String>,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            domain: "local".to_owned(),
            port: None,
            servers: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            timeout: Duration::from_secs(2),
            attempts: 2,
            metadata: BTreeMap::from([("protocol".to_owned(), "mucp".to_owned())]),
        }
    }
}

impl DnsOptions {
    /// The options with this domain. `example.org:8080` also names the port of services that have
    /// addresses and no SRV records.
    ///
    /// # Errors
    /// 400 where what follows the colon is no port.
    pub fn domain(mut self, domain: &str) -> Result<Self> {
        let (name, port) = match domain.rsplit_once(':') {
            Some((name, port)) => (name, Some(parsed_port(port)?)),
            None => (domain, None),
        };
        self.domain = name.trim_matches('.').to_owned();
        self.port = port.or(self.port);
        Ok(self)
    }

    /// The options with these servers, as `--registry_address` has them: `10.0.0.53`,
    /// `10.0.0.53:5353`, `[fd00::53]:53`.
    ///
    /// # Errors
    /// 400 where one is no address. A name would have to be looked up first.
    pub fn servers<T: AsRef<str>>(mut self, servers: &[T]) -> Result<Self> {
        for server in servers {
            self.servers.push(parsed_server(server.as_ref())?);
        }
        Ok(self)
    }
}

/// Where name servers listen.
pub(super) const PORT: u16 = 53;

fn parsed_server(text: &str) -> Result<SocketAddr> {
    let text = text.trim();
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let parsed = text.parse().or_else(|_| alone());
    parsed.map_err(|_| wrong(&format!("{text:?} is not the IP address of a name server")))
}

pub(super) fn parsed_port(text: &str) -> Result<u16> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| wrong(&format!("{text:?} is no port")))
}

pub(super) fn wrong(what: &str) -> Error {
    Error::bad_request(ID, format!("dns registry: {what}"))
}
