//! What can be chosen by name: the built-in ones and those that the program brings.

use std::fmt;
use std::sync::Arc;

use super::ID;
use super::settings::Variables;
use crate::broker::{self, Broker, HttpOptions};
use crate::error::{Error, Result};
use crate::registry::{self, Registry};
use crate::tasks::Tasks;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, ServerTls};

/// What a registry or a broker is made with when it is chosen by name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// Where it is, as `--registry_address` or `--broker_address` says; empty for its own default.
    pub addresses: Vec<String>,
    /// What names of services end with, as `--registry_domain` says, for registries that have such.
    pub domain: Option<String>,
    /// Who spawns, and where time and randomness come from.
    pub tasks: Tasks,
    /// The service's registry, for a broker; `None` for a registry.
    pub registry: Option<Arc<dyn Registry>>,
    /// Variables of drivers that are set: `CONSUL_HTTP_TOKEN` and the like.
    pub variables: Variables,
    /// Whom the service's client trusts; `None` for no TLS.
    #[cfg(feature = "tls")]
    pub client_tls: Option<ClientTls>,
    /// What the service's listener shows; `None` for no TLS.
    #[cfg(feature = "tls")]
    pub server_tls: Option<ServerTls>,
}

impl Setup {
    /// The first address.
    pub fn address(&self) -> Option<&str> {
        self.addresses.first().map(String::as_str)
    }
}

type Make<T> = Arc<dyn Fn(&Setup) -> Result<Arc<T>> + Send + Sync>;

/// Ways to make something, by name; a later one of the same name wins.
pub(super) struct Table<T: ?Sized> {
    kind: &'static str,
    entries: Vec<(String, Make<T>)>,
}

impl<T: ?Sized> Table<T> {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            entries: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        make: impl Fn(&Setup) -> Result<Arc<T>> + Send + Sync + 'static,
    ) {
        let name = name.into();
        self.entries.retain(|(known, _)| *known != name);
        self.entries.push((name, Arc::new(make)));
    }

    /// Whether something has this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == name)
    }

    /// Makes the one called `name`.
    ///
    /// # Errors
    /// 400 where nothing has this name, with the names that are known; else what making it gives.
    pub(super) fn make(&self, name: &str, setup: &Setup) -> Result<Arc<T>> {
        self.find(name)?(setup)
    }

    /// Whether something has this name.
    ///
    /// # Errors
    /// As [`make`](Self::make), where nothing has.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        self.find(name).map(drop)
    }

    /// The way to make the one called `name`.
    ///
    /// # Errors
    /// 400 where nothing has this name, with the names that are known.
    pub(super) fn find(&self, name: &str) -> Result<&Make<T>> {
        let Some((_, make)) = self.entries.iter().find(|(known, _)| known == name) else {
            let mut known: Vec<_> = self.entries.iter().map(|(name, _)| &**name).collect();
            known.sort_unstable();
            let known = known.join(", ");
            let kind = self.kind;
            return Err(Error::bad_request(
                ID,
                match missing_feature(name) {
                    Some(feature) => format!(
                        "the {kind} {name} needs micro-runtime's feature {feature}, which this program is built without; known are {known}"
                    ),
                    None => format!("there is no {kind} {name}: known are {known}"),
                },
            ));
        };
        Ok(make)
    }
}

impl<T: ?Sized> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            entries: self.entries.clone(),
        }
    }
}

impl<T: ?Sized> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The registries that are built in.
pub(super) fn registries() -> Table<dyn Registry> {
    let mut table: Table<dyn Registry> = Table::new("registry");
    table.add("memory", |_| Ok(Arc::new(registry::Memory::new())));
    #[cfg(feature = "consul")]
    table.add("consul", |setup| {
        Ok(Arc::new(super::consul::registry(setup)?))
    });
    #[cfg(feature = "local")]
    table.add("local", |setup| {
        let folder = setup
            .address()
            .map_or_else(super::settings::local_folder, Into::into);
        Ok(Arc::new(registry::Local::at(folder, &setup.tasks)?))
    });
    #[cfg(feature = "mdns")]
    table.add("mdns", |setup| {
        if !setup.addresses.is_empty() {
            tracing::warn!("mDNS has no address: --registry_address is not used");
        }
        let mut options = registry::MdnsOptions::default().folder(super::settings::local_folder());
        if let Some(domain) = &setup.domain {
            options = options.domain(domain);
        }
        Ok(Arc::new(registry::Mdns::new(&setup.tasks, options)?))
    });
    table.add("dns", |setup| {
        let mut options = registry::DnsOptions::default().servers(&setup.addresses)?;
        if let Some(domain) = &setup.domain {
            options = options.domain(domain)?;
        }
        Ok(Arc::new(registry::Dns::new(options, &setup.tasks)?))
    });
    table.add("static", |setup| {
        let addresses = &setup.addresses;
        Ok(Arc::new(registry::Static::parse(addresses, &setup.tasks)?))
    });
    table
}

/// The brokers that are built in.
pub(super) fn brokers() -> Table<dyn Broker> {
    let mut table: Table<dyn Broker> = Table::new("broker");
    table.add("http", |setup| {
        let Some(registry) = setup.registry.clone() else {
            let words = "the broker http needs a registry, in which its subscribers are found";
            return Err(Error::bad_request(ID, words));
        };
        let options = HttpOptions {
            address: setup.address().map(str::to_owned),
            #[cfg(feature = "tls")]
            client_tls: setup.client_tls.clone(),
            #[cfg(feature = "tls")]
            server_tls: setup.server_tls.clone(),
            ..HttpOptions::default()
        };
        Ok(Arc::new(broker::Http::with(
            registry,
            &setup.tasks,
            options,
        )?))
    });
    table.add("memory", |_| Ok(Arc::new(broker::Memory::new())));
    table
}

/// The feature that would bring `name`, where it is switched off.
fn missing_feature(name: &str) -> Option<&'static str> {
    match name {
        "consul" if cfg!(not(feature = "consul")) => Some("consul"),
        "local" if cfg!(not(feature = "local")) => Some("local"),
        "mdns" if cfg!(not(feature = "mdns")) => Some("mdns"),
        _ => None,
    }
}
