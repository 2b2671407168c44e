//! What a Consul registry is made with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::registry::ID;
#[cfg(feature = "tls")]
use crate::transport::tls::ClientTls;
use crate::transport::{Tcp, Transport};

/// Where Consul is when nobody says.
const DEFAULT: &str = "127.0.0.1:8500";
/// The port of an address that has none.
const PORT: u16 = 8500;

/// How Consul is reached, what it is shown, and how nodes are checked.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::registry::{Consul, consul::Options};
/// use micro_runtime::tasks::Tasks;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_runtime::Result<()> {
/// let options = Options::new()
///     .address("10.0.0.1")
///     .token("secret")
///     .tcp_check(Duration::from_secs(10));
/// let registry = Consul::with(options, &Tasks::new())?;
/// assert_eq!(registry.addresses().collect::<Vec<_>>(), ["10.0.0.1:8500"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(super) addresses: Vec<String>,
    pub(super) token: Option<String>,
    /// User and password.
    pub(super) auth: Option<(String, String)>,
    pub(super) namespace: Option<String>,
    pub(super) datacenter: Option<String>,
    pub(super) stale: bool,
    pub(super) connect: bool,
    pub(super) check: Check,
    pub(super) transport: Arc<dyn Transport>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientTls>,
}

/// How Consul learns whether a node is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// We say so, again and again: the TTL that the node is registered with.
    Ttl,
    /// Consul dials the node's address.
    Tcp { interval: Duration },
    /// Consul asks the node's host on this port for this path.
    Http {
        port: u16,
        path: String,
        interval: Duration,
        timeout: Duration,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            token: None,
            auth: None,
            namespace: None,
            datacenter: None,
            stale: true,
            connect: false,
            check: Check::Ttl,
            transport: Arc::new(Tcp),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Options {
    /// The agent at `127.0.0.1:8500`, without a token, with checks by TTL.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more agent: `host:port`, `host`, or with `http://` or `https://` before it. The first
    /// that answers is used until it no longer does.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// The ACL token that is shown to Consul.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into()).filter(|token| !token.is_empty());
        self
    }

    /// User and password for a proxy before Consul (HTTP basic authentication).
    pub fn auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some((user.into(), password.into()));
        self
    }

    /// The namespace of Consul Enterprise.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into()).filter(|name| !name.is_empty());
        self
    }

    /// The datacenter to look in; the agent's own where it is not said.
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = Some(datacenter.into()).filter(|name| !name.is_empty());
        self
    }

    /// Whether any of Consul's servers may answer lookups, or the leader alone; on, as in Go Micro.
    pub fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    /// Whether nodes are part of Consul's service mesh (Connect native), and are looked up in it.
    pub fn connect(mut self, connect: bool) -> Self {
        self.connect = connect;
        self
    }

    /// Consul dials the nodes that are registered here every `interval`, in place of a TTL.
    pub fn tcp_check(mut self, interval: Duration) -> Self {
        self.check = Check::Tcp { interval };
        self
    }

    /// Consul asks the hosts of the nodes that are registered here, on `port`, for `path` every
    /// `interval`, in place of a TTL; an answer must come within `timeout`.
    pub fn http_check(
        mut self,
        port: u16,
        path: impl Into<String>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        self.check = Check::Http {
            port,
            path: path.into(),
            interval,
            timeout,
        };
        self
    }

    /// TLS to all agents whose address does not begin with `http://`, and whom it trusts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What agents are dialled through; TCP where it is not said.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    /// The agents, at least one.
    pub(super) fn places(&self) -> Result<Vec<Place>> {
        if self.addresses.is_empty() {
            return Ok(vec![self.place(DEFAULT)?]);
        }
        let addresses = self.addresses.iter();
        addresses.map(|address| self.place(address)).collect()
    }

    fn place(&self, address: &str) -> Result<Place> {
        let wrong = |what: &str| Err(Error::bad_request(ID, format!("consul registry: {what}")));
        let (secure, rest) = match address.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => {
                return wrong(&format!(
                    "an address begins with http:// or https://, not with {scheme}://"
                ));
            }
            None => (self.has_tls(), address),
        };
        // What it holds is not shown: it is a password.
        if rest.contains('@') {
            return wrong(
                "user and password have no place in an address: give them as auth (CONSUL_HTTP_AUTH)",
            );
        }
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return wrong(&format!("{address:?} is no address like 127.0.0.1:8500"));
        }
        if secure && !self.has_tls() {
            return wrong(&if cfg!(feature = "tls") {
                format!("{address} needs to know whom to trust: name a CA (CONSUL_CACERT)")
            } else {
                format!(
                    "{address} needs micro-runtime's feature tls, which this program is built without"
                )
            });
        }
        Ok(Place {
            address: with_port(host),
            secure,
        })
    }

    #[cfg(feature = "tls")]
    fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn has_tls(&self) -> bool {
        false
    }
}

impl fmt::Debug for Options {
    /// Without token and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("addresses", &self.addresses.len())
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("auth", &self.auth.as_ref().map(|_| "(hidden)"))
            .field("namespace", &self.namespace)
            .field("datacenter", &self.datacenter)
            .field("stale", &self.stale)
            .field("connect", &self.connect)
            .field("check", &self.check)
            .finish_non_exhaustive()
    }
}

/// An agent's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port`.
    pub(super) address: String,
    /// Whether it answers TLS.
    pub(super) secure: bool,
}

/// `host` with Consul's port where it has none.
fn with_port(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{host}]:{PORT}");
    }
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after_brackets.split_once(':') {
        Some((_, port)) if !port.is_empty() => host.to_owned(),
        Some(_) => format!("{host}{PORT}"),
        None => format!("{host}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Result<Place> {
        let mut places = Options::new().address(address).places()?;
        Ok(places.remove(0))
    }

    #[test]
    fn an_address_without_a_port_gets_consuls() {
        for (given, dialled) in [
            ("10.0.0.1", "10.0.0.1:8500"),
            ("10.0.0.1:18500", "10.0.0.1:18500"),
            ("10.0.0.1:", "10.0.0.1:8500"),
            ("consul.local", "consul.local:8500"),
            ("http://consul.local/", "consul.local:8500"),
            ("http://consul.local:80", "consul.local:80"),
            ("::1", "[::1]:8500"),
            ("[::1]", "[::1]:8500"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(place(given).unwrap().address, dialled, "{given}");
        }
        assert_eq!(Options::new().places().unwrap()[0].address, DEFAULT);
    }

    #[test]
    fn an_address_that_cannot_be_dialled_is_refused_in_words() {
        for (given, words) in [
            ("unix:///run/consul", "unix://"),
            ("", "no address"),
            ("http://", "no address"),
            ("10.0.0.1/v1", "no address"),
            (
                "https://10.0.0.1",
                if cfg!(feature = "tls") {
                    "CONSUL_CACERT"
                } else {
                    "feature tls"
                },
            ),
            ("http://u:secret@10.0.0.1", "CONSUL_HTTP_AUTH"),
        ] {
            let error = place(given).unwrap_err().to_string();
            assert!(error.contains(words), "{given}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = Options::new().token("hush").auth("user", "hush");
        let shown = format!("{options:?}");
        assert!(
            shown.contains("(hidden)") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
