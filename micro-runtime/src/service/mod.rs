//! A service: a name, handlers, a client, and a life from start to stop.
//!
//! `Service::new` reads nothing from outside. [`init`](Service::init) reads arguments and environment
//! once. A later option wins over an earlier one, and what a person sets on the command line or in
//! the environment wins over code.

mod admin;
mod apply;
mod builder;
#[cfg(feature = "consul")]
mod consul;
mod entry;
mod events;
mod guarded;
mod heartbeat;
mod hooks;
mod once;
mod options;
mod parts;
mod periodic;
mod plugins;
mod running;
pub mod settings;
mod signals;

pub use plugins::Setup;
pub use running::Running;

use std::ffi::OsString;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::broker::Broker;
use crate::call::Dispatch;
use crate::client::Client;
use crate::error::Result;
use crate::event::Subscribed;
use crate::registry::Registry;
use crate::server::Health;

use hooks::Hooks;
use options::Options;
use periodic::Job;
use settings::{Origins, Parsed, Settings, Stop};

/// The id of errors that a service makes about itself.
const ID: &str = "go.micro.service";

/// A service that has not started; options chain.
///
/// ```no_run
/// # use micro_runtime::{Result, Service};
/// # async fn example(handlers: impl micro_runtime::call::Dispatch) -> Result<()> {
/// Service::new("go.micro.srv.greeter").version("1.2.0").init()?.handle(handlers).run().await
/// # }
/// ```
#[must_use = "a service does nothing until it runs"]
pub struct Service {
    options: Options,
    /// What was set from outside; it is laid over the options when they are used, so that it wins
    /// over those set later too.
    settings: Option<Settings>,
    /// Where they came from.
    origins: Origins,
    services: Vec<Arc<dyn Dispatch>>,
    periodic: Vec<Job>,
    subscribers: Vec<Subscribed>,
    hooks: Hooks,
    /// Made once for the client and the server.
    registry: OnceLock<Arc<dyn Registry>>,
    broker: OnceLock<Arc<dyn Broker>>,
    client: OnceLock<Client>,
    health: Health,
}

impl Service {
    /// A service called `name`, with the defaults of everything.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            options: Options::new(name.into()),
            settings: None,
            origins: Origins::new(),
            services: Vec::new(),
            periodic: Vec::new(),
            subscribers: Vec::new(),
            hooks: Hooks::default(),
            registry: OnceLock::new(),
            broker: OnceLock::new(),
            client: OnceLock::new(),
            health: Health::default(),
        }
    }

    /// Reads flags and environment, which win over what code sets, before and after.
    ///
    /// Ends the process after `--help` and `--explain-config`, and where a setting is wrong, with a
    /// text that says what is right.
    ///
    /// # Errors
    /// 400 where a registry, a transport or a protocol is not known, or files of TLS are not usable.
    pub fn init(self) -> Result<Self> {
        match Settings::of_process() {
            Ok(parsed) => self.take_or_exit(parsed),
            Err(stop) => stop.exit(),
        }
    }

    /// As [`init`](Service::init), with arguments of the program's own, a type that derives
    /// `clap::Args`: flags of both stand in one `--help`.
    ///
    /// # Errors
    /// As [`init`](Service::init).
    #[cfg(feature = "cli")]
    pub fn init_with<T: clap::Args>(self) -> Result<(Self, T)> {
        match Settings::of_process_with::<T>() {
            Ok((parsed, own)) => Ok((self.take_or_exit(parsed)?, own)),
            Err(stop) => stop.exit(),
        }
    }

    /// As [`init`](Service::init), with these arguments, the first of which is the program's name,
    /// and this environment; never ends the process.
    ///
    /// # Errors
    /// As [`init`](Service::init), and where a setting is wrong or help is asked for: the text.
    pub fn init_from<A, E, K, V>(self, args: A, env: E) -> Result<Self>
    where
        A: IntoIterator<Item: Into<OsString>>,
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.take(Settings::parse(args, env)?)
    }

    fn take_or_exit(self, parsed: Parsed) -> Result<Self> {
        if parsed.explain {
            parsed.warnings.iter().for_each(|warning| tell(warning));
            self.explanation(&parsed).exit();
        }
        self.take(parsed)
    }

    /// What `--explain-config` prints.
    fn explanation(&self, parsed: &Parsed) -> Stop {
        Stop::new(0, parsed.explanation(&self.options.explained()))
    }

    fn take(mut self, parsed: Parsed) -> Result<Self> {
        for warning in &parsed.warnings {
            tell(warning);
        }
        if parsed.explain {
            return Err(self.explanation(&parsed).into());
        }
        self.settings = Some(parsed.settings);
        self.origins = parsed.origins;
        // What is wrong shows now and not when the service starts.
        let options = self.effective()?;
        self.spoken(&options)?;
        self.answered(&options, false)?;
        Ok(self)
    }

    /// The options with what was set from outside over them.
    fn effective(&self) -> Result<Options> {
        match &self.settings {
            Some(settings) => self.options.clone().with(settings),
            None => Ok(self.options.clone()),
        }
    }

    /// The name; `--server_name` wins over the one given in code.
    pub fn name(&self) -> &str {
        let outside = self
            .settings
            .as_ref()
            .and_then(|settings| settings.server_name.as_deref());
        outside.unwrap_or(&self.options.name)
    }

    /// What health checks are told, for code to set: by this handle also while the service runs.
    pub fn health(&self) -> &Health {
        &self.health
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self
            .services
            .iter()
            .map(|service| service.descriptor().full_name)
            .collect();
        f.debug_struct("Service")
            .field("name", &self.options.name)
            .field("services", &services)
            .field("subscribers", &self.subscribers)
            .finish_non_exhaustive()
    }
}

/// Says something once, to the log or, where there is none, to the person.
fn tell(text: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{text}");
    } else {
        eprintln!("warning: {text}");
    }
}
