//! What a person sets from outside: flags over environment over a file over code over defaults.
//!
//! The only part of this crate that reads arguments and environment. Each setting has one name, Go
//! Micro's where it has one: `server_address` is the flag `--server_address` and the variable
//! `MICRO_SERVER_ADDRESS`. `MICRO_SERVER_ADDRESS_FILE` names a file that holds the value, for
//! secrets; what is read from a file is not shown. What is not set, or set to nothing, stays `None`
//! and never overrides what code says.
//!
//! `--config FILE`, or `MICRO_CONFIG`, names a file of settings in JSON or TOML. Its keys are the same
//! names; those with a common beginning may stand in a table of that name:
//! ```toml
//! register_ttl = 30
//!
//! [server]
//! address = ":8080"
//! metadata = { region = "eu" }
//! ```
//!
//! Flags need the feature `cli`; without it only the environment counts.

mod file;
#[cfg(feature = "cli")]
mod flags;
mod folder;
mod origin;
mod outside;
mod table;
mod value;
mod variables;

#[cfg(test)]
mod tests;

pub use folder::{local_folder, local_folder_of};
pub(super) use origin::{Origins, lines};
pub use origin::{Parsed, Source, Stop};
pub use variables::Variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{HealthCheck, RetryBudget};
use crate::selector::Strategy;

/// What was set from outside; `None` where nothing was.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The file of settings; what it says is in the others.
    pub config: Option<PathBuf>,
    /// The name that the service is found by.
    pub server_name: Option<String>,
    /// The service's version.
    pub server_version: Option<String>,
    /// What the node's id ends with.
    pub server_id: Option<String>,
    /// Where the server listens, `host:port` or `unix:/path`.
    pub server_address: Option<String>,
    /// The address that others are told.
    pub server_advertise: Option<String>,
    /// The node's metadata, in place of that which code gave.
    pub server_metadata: Option<BTreeMap<String, String>>,
    /// The protocols that the server answers, by name; empty for all.
    pub server: Option<Vec<String>>,
    /// Web origins whose pages may call.
    pub allowed_origins: Option<Vec<String>>,
    /// After how long callers make a new connection.
    pub server_connection_age: Option<Duration>,
    /// How long calls go on then on the old one.
    pub server_connection_grace: Option<Duration>,
    /// Whether gRPC's reflection is served.
    pub reflection: Option<bool>,
    /// Whether nodes tell what their services look like.
    pub schema: Option<bool>,
    /// Where the admin listener listens.
    pub admin_address: Option<String>,
    /// How long a registration holds without being renewed.
    pub register_ttl: Option<Duration>,
    /// How often the service is registered again.
    pub register_interval: Option<Duration>,
    /// The registry, by name.
    pub registry: Option<String>,
    /// Where the registry is; of the local one, its folder.
    pub registry_address: Option<Vec<String>>,
    /// What names of services end with, in registries that have such.
    pub registry_domain: Option<String>,
    /// What carries events.
    pub broker: Option<String>,
    /// Where the broker is, or where it listens.
    pub broker_address: Option<Vec<String>>,
    /// How long a node that the registry no longer names is kept while it answers.
    pub registry_grace: Option<Duration>,
    /// What bytes travel on, by name.
    pub transport: Option<String>,
    /// The protocols that the client may speak, best first; empty for all.
    pub client: Option<Vec<String>>,
    /// The client's limit of a whole call.
    pub client_request_timeout: Option<Duration>,
    /// The client's tries after the first.
    pub client_retries: Option<u32>,
    /// How many tries beyond their first all calls to one service may make; `Some(None)` for any number.
    pub client_retry_budget: Option<Option<RetryBudget>>,
    /// Idle connections that the client keeps to a node.
    pub client_pool_size: Option<usize>,
    /// How long the client uses a connection.
    pub client_pool_ttl: Option<Duration>,
    /// Whether the client leaves out nodes whose services look otherwise.
    pub check_schema: Option<bool>,
    /// How the client chooses a node.
    pub selector: Option<Strategy>,
    /// Whether the client leaves nodes alone for how calls to them go.
    pub outliers: Option<bool>,
    /// What the client asks nodes from time to time; nothing for `Some(None)`.
    pub health_check: Option<Option<HealthCheck>>,
    /// How often.
    pub health_check_interval: Option<Duration>,
    /// How long they may take to answer.
    pub health_check_timeout: Option<Duration>,
    /// How long it takes until a new node gets its full share of the client's calls.
    pub client_slow_start: Option<Duration>,
    /// Where the service runs.
    pub zone: Option<String>,
    /// The service that all calls go to, whatever name they call.
    pub proxy: Option<String>,
    /// The server's certificates, in PEM.
    pub tls_cert: Option<PathBuf>,
    /// The key of the server's certificate, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Whose clients the server lets in: certificates in PEM.
    pub tls_client_ca: Option<PathBuf>,
    /// Whom the client trusts: certificates in PEM.
    pub tls_ca: Option<PathBuf>,
    /// What the client shows: certificates in PEM.
    pub tls_client_cert: Option<PathBuf>,
    /// The key of the client's certificate, in PEM.
    pub tls_client_key: Option<PathBuf>,
    /// The SHA-256 of the one certificate that the client trusts.
    pub tls_fingerprint: Option<[u8; 32]>,
    /// Whether the client trusts everybody.
    pub tls_insecure: Option<bool>,
    /// Variables of drivers: `CONSUL_HTTP_TOKEN` and the like.
    pub variables: Variables,
}

/// What the command line says of settings.
#[derive(Debug, Default)]
struct Flags {
    /// Values by name.
    values: BTreeMap<&'static str, String>,
    /// Whether an explanation is asked for.
    explain: bool,
    /// Variables that arguments of the program's own read.
    variables: Vec<OsString>,
}

impl Settings {
    /// Reads settings from arguments, the first of which is the program's name, and from the
    /// environment. Looks at nothing else but files that variables `MICRO_…_FILE` name.
    ///
    /// ```
    /// use micro_runtime::service::settings::Settings;
    ///
    /// let args = ["greeter", "--server_address", ":8080"];
    /// let parsed = Settings::parse(args, [("MICRO_CLIENT_RETRIES", "2")]).unwrap();
    /// assert_eq!(parsed.settings.server_address.as_deref(), Some(":8080"));
    /// assert_eq!(parsed.settings.client_retries, Some(2));
    /// assert_eq!(parsed.settings.server_name, None);
    /// ```
    ///
    /// # Errors
    /// A [`Stop`] with what the person is to read: help, or what is wrong.
    pub fn parse<A, E, K, V>(args: A, env: E) -> Result<Parsed, Stop>
    where
        A: IntoIterator<Item: Into<OsString>>,
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let env = outside::environment(env);
        #[cfg(feature = "cli")]
        let (flags, _) = flags::parse::<flags::NoArgs>(args)?;
        #[cfg(not(feature = "cli"))]
        let flags = {
            drop(args.into_iter());
            Flags::default()
        };
        Parsed::of(&flags, &env)
    }

    /// As [`parse`](Settings::parse), with arguments of the program's own: `T` derives `clap::Args`.
    ///
    /// # Errors
    /// As [`parse`](Settings::parse).
    #[cfg(feature = "cli")]
    pub fn parse_with<T, A, E, K, V>(args: A, env: E) -> Result<(Parsed, T), Stop>
    where
        T: clap::Args,
        A: IntoIterator<Item: Into<OsString>>,
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let env = outside::environment(env);
        let (flags, own) = flags::parse::<T>(args)?;
        Ok((Parsed::of(&flags, &env)?, own))
    }

    /// Reads the settings of this process.
    ///
    /// # Errors
    /// As [`parse`](Settings::parse).
    pub fn of_process() -> Result<Parsed, Stop> {
        Self::parse(std::env::args_os(), std::env::vars_os())
    }

    /// Reads the settings of this process, with arguments of the program's own.
    ///
    /// # Errors
    /// As [`parse`](Settings::parse).
    #[cfg(feature = "cli")]
    pub fn of_process_with<T: clap::Args>() -> Result<(Parsed, T), Stop> {
        Self::parse_with(std::env::args_os(), std::env::vars_os())
    }
}
