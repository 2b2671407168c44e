//! What was set from outside, laid over what code has set.

use std::collections::BTreeMap;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ID;
use super::options::Options;
use super::plugins::Setup;
use super::settings::Settings;
use crate::client::{HealthCheck, Outliers};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::transport::Tcp;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, Identity, ServerTls};

impl Options {
    /// The options with `settings` over them.
    ///
    /// # Errors
    /// 400 where a name is not known, or files of TLS are not usable.
    pub(super) fn with(mut self, settings: &Settings) -> Result<Self> {
        /// Sets what was given, and leaves the rest alone.
        fn set<T: Clone>(option: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                option.clone_from(given);
            }
        }
        set(&mut self.origins, &settings.allowed_origins);
        self.reflection = settings.reflection.or(self.reflection);
        set(&mut self.schema, &settings.schema);
        set(&mut self.check_schema, &settings.check_schema);
        let (age, grace) = (
            settings.server_connection_age,
            settings.server_connection_grace,
        );
        self.connection_age = age.or(self.connection_age);
        self.connection_grace = grace.or(self.connection_grace);
        set(&mut self.name, &settings.server_name);
        set(&mut self.version, &settings.server_version);
        set(&mut self.metadata, &settings.server_metadata);
        set(&mut self.server_protocols, &settings.server);
        set(&mut self.client_protocols, &settings.client);
        set(&mut self.register_ttl, &settings.register_ttl);
        set(&mut self.register_interval, &settings.register_interval);
        set(&mut self.registry_grace, &settings.registry_grace);
        set(&mut self.call.timeout, &settings.client_request_timeout);
        set(&mut self.call.retries, &settings.client_retries);
        set(&mut self.call.retry_budget, &settings.client_retry_budget);
        set(&mut self.pool_size, &settings.client_pool_size);
        set(&mut self.pool_ttl, &settings.client_pool_ttl);
        set(&mut self.selector, &settings.selector);
        self.set_checks(settings);
        set(&mut self.slow_start, &settings.client_slow_start);
        self.zone = settings.zone.clone().or(self.zone);
        self.id = settings.server_id.clone().or(self.id);
        self.address = settings.server_address.clone().or(self.address);
        self.advertise = settings.server_advertise.clone().or(self.advertise);
        self.admin = settings.admin_address.clone().or(self.admin);
        self.proxy = settings.proxy.clone().or(self.proxy);
        self.variables = settings.variables.clone();
        self.set_transport(settings)?;
        self.set_tls(settings)?;
        self.set_registry(settings)?;
        self.set_broker(settings)?;
        Ok(self)
    }

    fn set_checks(&mut self, settings: &Settings) {
        match settings.outliers {
            Some(false) => self.outliers = Outliers::off(),
            Some(true) if self.outliers.is_off() => self.outliers = Outliers::default(),
            _ => {}
        }
        if let Some(check) = &settings.health_check {
            // Naming what code has chosen changes nothing.
            let name = |check: &Option<HealthCheck>| check.as_ref().map(HealthCheck::name);
            if name(check) != name(&self.health_check) {
                self.health_check.clone_from(check);
            }
        }
        if let Some(mut check) = self.health_check.take() {
            if let Some(interval) = settings.health_check_interval {
                check = check.interval(interval);
            }
            if let Some(timeout) = settings.health_check_timeout {
                check = check.timeout(timeout);
            }
            self.health_check = Some(check);
        }
    }

    fn set_registry(&mut self, settings: &Settings) -> Result<()> {
        let addresses = settings.registry_address.as_deref().unwrap_or_default();
        self.registry_domain.clone_from(&settings.registry_domain);
        let own_place = addresses.is_empty() && self.registry_domain.is_none();
        let own = self
            .registry
            .as_ref()
            .map(|registry| registry.name().to_owned());
        let name = match (&settings.registry, &own) {
            (None, _) if own_place => return Ok(()),
            // As in Go Micro: naming what code has chosen changes nothing.
            (Some(name), Some(own)) if name == own && own_place => return Ok(()),
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => DEFAULT_REGISTRY.to_owned(),
        };
        self.registries.check(&name)?;
        self.chosen_registry = Some((name, addresses.to_vec()));
        Ok(())
    }

    /// Chooses, and does not make: a broker needs the registry.
    fn set_broker(&mut self, settings: &Settings) -> Result<()> {
        let addresses = settings.broker_address.as_deref().unwrap_or_default();
        let own = self.broker.as_ref().map(|broker| broker.name().to_owned());
        let name = match (&settings.broker, own) {
            (None, _) if addresses.is_empty() => return Ok(()),
            (Some(name), Some(own)) if *name == own && addresses.is_empty() => return Ok(()),
            (Some(name), _) => name.clone(),
            (None, own) => own.unwrap_or_else(|| self.default_broker().to_owned()),
        };
        self.brokers.find(&name)?;
        self.broker_choice = Some((name, addresses.to_vec()));
        Ok(())
    }

    pub(super) fn setup(&self, addresses: &[String]) -> Setup {
        Setup {
            addresses: addresses.to_vec(),
            domain: self.registry_domain.clone(),
            tasks: self.tasks.clone(),
            registry: None,
            variables: self.variables.clone(),
            #[cfg(feature = "tls")]
            client_tls: self.client_tls.clone(),
            #[cfg(feature = "tls")]
            server_tls: self.server_tls.clone(),
        }
    }

    /// The registry: that which settings choose, else that of code, else the default.
    pub(super) fn make_registry(&self) -> Result<Arc<dyn Registry>> {
        match (&self.chosen_registry, &self.registry) {
            (Some((name, addresses)), _) => self.registries.make(name, &self.setup(addresses)),
            (None, Some(registry)) => Ok(registry.clone()),
            (None, None) => self.registries.make(DEFAULT_REGISTRY, &self.setup(&[])),
        }
    }

    fn set_transport(&mut self, settings: &Settings) -> Result<()> {
        match settings.transport.as_deref() {
            None => {}
            Some(name) if name == self.transport.name() => {}
            Some("http") => self.transport = Arc::new(Tcp),
            Some("memory") => self.transport = Arc::new(self.memory.clone()),
            Some(name) => return Err(unknown("transport", name, "http, memory")),
        }
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn set_tls(&mut self, settings: &Settings) -> Result<()> {
        if let Some(identity) = identity(
            ("tls_cert", &settings.tls_cert),
            ("tls_key", &settings.tls_key),
        )? {
            self.server_tls = Some(ServerTls::new(identity));
        }
        if let Some(ca) = &settings.tls_client_ca {
            let tls = self.server_tls.take().ok_or_else(|| {
                let words = "--tls_client_ca needs TLS: give --tls_cert and --tls_key too";
                Error::bad_request(ID, words)
            })?;
            self.server_tls = Some(tls.require_client_ca_file(ca)?);
        }
        if let Some(ca) = &settings.tls_ca {
            self.client_tls = Some(ClientTls::new().ca_file(ca)?);
        }
        if let Some(sha256) = settings.tls_fingerprint {
            self.client_tls = Some(ClientTls::new().fingerprint(sha256));
        }
        if settings.tls_insecure == Some(true) {
            self.client_tls = Some(ClientTls::new().insecure());
        }
        if let Some(identity) = identity(
            ("tls_client_cert", &settings.tls_client_cert),
            ("tls_client_key", &settings.tls_client_key),
        )? {
            let tls = self.client_tls.take().unwrap_or_default();
            self.client_tls = Some(tls.identity(identity));
        }
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    fn set_tls(&mut self, settings: &Settings) -> Result<()> {
        let files = [
            &settings.tls_cert,
            &settings.tls_key,
            &settings.tls_client_ca,
            &settings.tls_ca,
            &settings.tls_client_cert,
            &settings.tls_client_key,
        ];
        let asked = files.into_iter().any(Option::is_some)
            || settings.tls_fingerprint.is_some()
            || settings.tls_insecure.is_some();
        if asked {
            return Err(Error::bad_request(
                ID,
                "TLS is asked for, and this program is built without micro-runtime's feature tls",
            ));
        }
        Ok(())
    }

    /// What code has set, by the names of settings: for `--explain-config`.
    pub(super) fn explained(&self) -> BTreeMap<&'static str, String> {
        let defaults = Self::new(String::new());
        let mut set: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut text = |name, value: &str, default: &str| {
            if value != default {
                set.insert(name, value.to_owned());
            }
        };
        text("server_name", &self.name, &defaults.name);
        text("server_version", &self.version, &defaults.version);
        text("server_id", self.id.as_deref().unwrap_or_default(), "");
        text(
            "server_address",
            self.address.as_deref().unwrap_or_default(),
            "",
        );
        text(
            "server_advertise",
            self.advertise.as_deref().unwrap_or_default(),
            "",
        );
        let metadata: Vec<_> = self
            .metadata
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        text("server_metadata", &metadata.join(","), "");
        text("allowed_origins", &self.origins.join(","), "");
        let time =
            |time: Option<Duration>| time.map(|time| format!("{time:?}")).unwrap_or_default();
        text("server_connection_age", &time(self.connection_age), "");
        text("server_connection_grace", &time(self.connection_grace), "");
        let reflection = self.reflection.map(|on| on.to_string());
        text("reflection", reflection.as_deref().unwrap_or_default(), "");
        let switch = |on: bool| on.to_string();
        text("schema", &switch(self.schema), &switch(defaults.schema));
        text(
            "check_schema",
            &switch(self.check_schema),
            &switch(defaults.check_schema),
        );
        text(
            "admin_address",
            self.admin.as_deref().unwrap_or_default(),
            "",
        );
        text(
            "registry",
            self.registry
                .as_ref()
                .map_or("", |registry| registry.name()),
            "",
        );
        text(
            "broker",
            self.broker.as_ref().map_or("", |broker| broker.name()),
            "",
        );
        text(
            "transport",
            self.transport.name(),
            defaults.transport.name(),
        );
        text("client", &self.client_protocols.join(","), "");
        text("server", &self.server_protocols.join(","), "");
        text("proxy", self.proxy.as_deref().unwrap_or_default(), "");
        let seconds = |time: Duration| time.as_secs().to_string();
        text(
            "register_ttl",
            &seconds(self.register_ttl),
            &seconds(defaults.register_ttl),
        );
        text(
            "register_interval",
            &seconds(self.register_interval),
            &seconds(defaults.register_interval),
        );
        let exact = |time: Duration| format!("{time:?}");
        text(
            "registry_grace",
            &exact(self.registry_grace),
            &exact(defaults.registry_grace),
        );
        text(
            "client_request_timeout",
            &exact(self.call.timeout),
            &exact(defaults.call.timeout),
        );
        text(
            "client_pool_ttl",
            &exact(self.pool_ttl),
            &exact(defaults.pool_ttl),
        );
        text(
            "client_retries",
            &self.call.retries.to_string(),
            &defaults.call.retries.to_string(),
        );
        let budget = |options: &Self| match options.call.retry_budget {
            Some(budget) => budget.percent.to_string(),
            None => "off".to_owned(),
        };
        text("client_retry_budget", &budget(self), &budget(&defaults));
        text(
            "client_pool_size",
            &self.pool_size.to_string(),
            &defaults.pool_size.to_string(),
        );
        let outliers = |options: &Self| (!options.outliers.is_off()).to_string();
        text("outliers", &outliers(self), &outliers(&defaults));
        if let Some(check) = &self.health_check {
            let [interval, timeout] = check.times();
            text("health_check", check.name(), "");
            text("health_check_interval", &exact(interval), "10s");
            text("health_check_timeout", &exact(timeout), "1s");
        }
        let selector = |options: &Self| options.selector.to_string();
        text("selector", &selector(self), &selector(&defaults));
        text(
            "client_slow_start",
            &exact(self.slow_start),
            &exact(defaults.slow_start),
        );
        text("zone", self.zone.as_deref().unwrap_or_default(), "");
        set
    }
}

/// The registry of a service that names none.
pub(super) const DEFAULT_REGISTRY: &str = if cfg!(feature = "mdns") {
    "mdns"
} else if cfg!(feature = "local") {
    "local"
} else {
    "memory"
};

/// A certificate and its key, which go together.
#[cfg(feature = "tls")]
fn identity(
    (certificate_flag, certificate): (&str, &Option<PathBuf>),
    (key_flag, key): (&str, &Option<PathBuf>),
) -> Result<Option<Identity>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Identity::from_files(certificate, key).map(Some),
        (None, None) => Ok(None),
        _ => Err(Error::bad_request(
            ID,
            format!("--{certificate_flag} and --{key_flag} belong together: give both"),
        )),
    }
}

fn unknown(kind: &str, name: &str, known: &str) -> Error {
    Error::bad_request(ID, format!("there is no {kind} {name}: known are {known}"))
}
