//! A service: a name, handlers, a client, and a life from start to stop.
//!
//! `Service::new` reads nothing from outside. [`init`](Service::init) reads arguments and environment
//! once. A later option wins over an earlier one, and what a person sets on the command line or in
//! the environment wins over code.

mod apply;
mod hooks;
mod options;
mod plugins;
mod running;
pub mod settings;
mod signals;

pub use plugins::Setup;
pub use running::Running;

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::broker::Broker;
use crate::call::{Backoff, Dispatch, Retry};
use crate::client::{Client, ClientOptions};
use crate::codec::{Codec, Codecs};
use crate::error::{Error, Result};
use crate::metadata::Text;
use crate::protocol::Protocol;
use crate::protocol::braid::Braid;
use crate::protocol::mucp::Mucp;

use crate::registry::Registry;
use crate::selector::Strategy;
use crate::server::Limits;
use crate::tasks::Tasks;
use crate::transport::Transport;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, ServerTls};
use crate::wrapper::Wrapper;

use hooks::{Hooks, Moment};
use options::Options;
use settings::{Parsed, Settings, Stop};

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
    services: Vec<Arc<dyn Dispatch>>,
    hooks: Hooks,
    /// Made once for the client and the server.
    registry: OnceLock<Arc<dyn Registry>>,
    client: OnceLock<Client>,
}

impl Service {
    /// A service called `name`, with the defaults of everything.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            options: Options::new(name.into()),
            settings: None,
            services: Vec::new(),
            hooks: Hooks::default(),
            registry: OnceLock::new(),
            client: OnceLock::new(),
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
        // What is wrong shows now and not when the service starts.
        let options = self.effective()?;
        self.named(&options, &options.client_protocols)?;
        self.named(&options, &options.server_protocols)?;
        Ok(self)
    }

    /// The options with what was set from outside over them.
    fn effective(&self) -> Result<Options> {
        match &self.settings {
            Some(settings) => self.options.clone().with(settings),
            None => Ok(self.options.clone()),
        }
    }

    /// Its version; `latest`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.options.version = version.into();
        self
    }

    /// What its node's id ends with, after the name and a dash; a UUID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.options.id = Some(id.into());
        self
    }

    /// One more pair of its node's metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.metadata.insert(key.into(), value.into());
        self
    }

    /// Where it listens, `host:port`; a free port on loopback.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.options.address = Some(address.into());
        self
    }

    /// The address that others are told, where it is not the one it listens on.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.options.advertise = Some(address.into());
        self
    }

    /// Where it is registered and finds others; the file registry of this machine.
    pub fn registry(mut self, registry: impl Registry) -> Self {
        self.options.registry = Some(Arc::new(registry));
        self
    }

    /// As [`registry`](Service::registry), with one that is shared.
    pub fn shared_registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.options.registry = Some(registry);
        self
    }

    /// One more registry that `--registry` can name: a driver's, or the program's own.
    pub fn plug_registry(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Setup) -> Result<Arc<dyn Registry>> + Send + Sync + 'static,
    ) -> Self {
        self.options.registries.add(name, make);
        self
    }

    /// One more broker that `--broker` can name: a driver's, or the program's own.
    pub fn plug_broker(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Setup) -> Result<Arc<dyn Broker>> + Send + Sync + 'static,
    ) -> Self {
        self.options.brokers.add(name, make);
        self
    }

    /// What bytes travel on; tcp.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.options.transport = Arc::new(transport);
        self
    }

    /// One more protocol, before the built-in ones in preference; one of the same name gives way.
    pub fn protocol(mut self, protocol: impl Protocol) -> Self {
        self.options.protocols.push(Arc::new(protocol));
        self
    }

    /// The protocols that the client may speak, by name, best first: `["mucp"]`.
    pub fn client_protocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.client_protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The protocols that the server answers, by name.
    pub fn server_protocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.server_protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// What a peer can make the server hold, and for how long.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// One more codec, for the client and the server; one of the same content type gives way.
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.options.user_codecs.push(Arc::new(codec));
        self
    }

    /// The content type of calls that name none; `application/protobuf`.
    pub fn content_type(mut self, content_type: impl Into<Text>) -> Self {
        self.options.content_type = content_type.into();
        self
    }

    /// One more wrapper around calls, inside those given before.
    pub fn wrap_call(mut self, wrapper: impl Wrapper) -> Self {
        self.options.call_wrappers.push(Arc::new(wrapper));
        self
    }

    /// One more wrapper around handlers, inside those given before.
    pub fn wrap_handler(mut self, wrapper: impl Wrapper) -> Self {
        self.options.handler_wrappers.push(Arc::new(wrapper));
        self
    }

    /// Passes this metadata key on to a handler's own calls though it would not by itself:
    /// `Authorization`, `Cookie`.
    pub fn forward(mut self, key: impl Into<String>) -> Self {
        self.options.forward.push(key.into());
        self
    }

    /// How the client chooses a node; at random.
    pub fn selector(mut self, strategy: impl Into<Strategy>) -> Self {
        self.options.selector = strategy.into();
        self
    }

    /// The client's limit of a whole call; 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.call.timeout = timeout;
        self
    }

    /// The client's limit of one try; 5 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.call.attempt_timeout = timeout;
        self
    }

    /// The client's limit of connecting; 5 s.
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.options.call.dial_timeout = timeout;
        self
    }

    /// The client's tries after the first; 5.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.call.retries = retries;
        self
    }

    /// Which failures the client tries again; those that are safe.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.call.retry = retry;
        self
    }

    /// How long the client waits before each try.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.call.backoff = backoff;
        self
    }

    /// Idle connections that the client keeps to a node; 100.
    pub fn pool_size(mut self, size: usize) -> Self {
        self.options.pool_size = size;
        self
    }

    /// How long the client uses a connection; 60 s.
    pub fn pool_ttl(mut self, ttl: Duration) -> Self {
        self.options.pool_ttl = ttl;
        self
    }

    /// How long its registration holds without being renewed; 60 s.
    pub fn register_ttl(mut self, ttl: Duration) -> Self {
        self.options.register_ttl = ttl;
        self
    }

    /// How often it is registered again; 30 s.
    pub fn register_interval(mut self, interval: Duration) -> Self {
        self.options.register_interval = interval;
        self
    }

    /// How long it serves on after it is deregistered, since others' caches lag; 1 s.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.options.linger = linger;
        self
    }

    /// How long a stop waits for calls that run; 10 s.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = drain;
        self
    }

    /// Serves no `Debug.Health` and `Debug.Stats`.
    pub fn without_debug(mut self) -> Self {
        self.options.debug = false;
        self
    }

    /// Spawns, and takes random numbers and wall time, from `tasks`: for simulations.
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.options.tasks = tasks;
        self
    }

    /// Listens with TLS, and only with TLS.
    #[cfg(feature = "tls")]
    pub fn server_tls(mut self, tls: ServerTls) -> Self {
        self.options.server_tls = Some(tls);
        self
    }

    /// Calls with TLS.
    #[cfg(feature = "tls")]
    pub fn client_tls(mut self, tls: ClientTls) -> Self {
        self.options.client_tls = Some(tls);
        self
    }

    /// Runs `hook` before the service listens; where it fails, the start does.
    pub fn before_start<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::BeforeStart, hook);
        self
    }

    /// Runs `hook` once the service is registered; where it fails, the service stops again.
    pub fn after_start<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::AfterStart, hook);
        self
    }

    /// Runs `hook` before the service is deregistered; a failure is told and stops nothing.
    pub fn before_stop<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::BeforeStop, hook);
        self
    }

    /// Runs `hook` when nothing is served any more; a failure is told and stops nothing.
    pub fn after_stop<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::AfterStop, hook);
        self
    }

    /// Serves one more service of a `.proto`.
    pub fn handle(mut self, service: impl Dispatch) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// The name; `--server_name` wins over the one given in code.
    pub fn name(&self) -> &str {
        let outside = self
            .settings
            .as_ref()
            .and_then(|settings| settings.server_name.as_deref());
        outside.unwrap_or(&self.options.name)
    }

    /// The client: made on first use of the options given until then.
    pub fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            // What can fail here is checked when an option is set or the service starts; a client
            // that cannot be made answers each call with the reason.
            self.make_client().unwrap_or_else(Client::broken)
        })
    }

    fn make_client(&self) -> Result<Client> {
        let options = self.effective()?;
        let protocols = self.named(&options, &options.client_protocols)?;
        let registry = self.registry_of(&options)?;
        let first = protocols.first().map(|protocol| protocol.name());
        let mucp = protocols.iter().any(|protocol| protocol.name() == "mucp");
        let mut client = ClientOptions::new(registry, options.transport.clone(), protocols);
        // A client that was told not to speak mucp does not, to nodes that say nothing either.
        if let Some(first) = first
            && !mucp
        {
            client.fallback = first;
        }
        client.tasks = options.tasks.clone();
        client.codecs = options.codecs(Codecs::client());
        client.content_type = options.content_type.clone();
        client.wrappers.clone_from(&options.call_wrappers);
        client.selector = options.selector.clone();
        client.call = options.call.clone();
        client.pool_size = options.pool_size;
        client.pool_ttl = options.pool_ttl;
        client.max_message = options.limits.message;
        client.forward.clone_from(&options.forward);
        client.proxy.clone_from(&options.proxy);
        #[cfg(feature = "tls")]
        client.tls.clone_from(&options.client_tls);
        Client::new(client)
    }

    /// The user's protocols and the built-in ones, best first.
    fn protocols(options: &Options) -> Vec<Arc<dyn Protocol>> {
        let mucp = Mucp {
            loopback_only: options.is_for_this_machine(),
            ..Mucp::default()
        };
        let built_in: [Arc<dyn Protocol>; 2] = [Arc::new(Braid), Arc::new(mucp)];
        let mut protocols: Vec<Arc<dyn Protocol>> = Vec::new();
        for protocol in options.protocols.iter().rev().cloned().chain(built_in) {
            if !protocols
                .iter()
                .any(|known| known.name() == protocol.name())
            {
                protocols.push(protocol);
            }
        }
        protocols
    }

    /// Those protocols that `names` has, in its order; all for an empty one.
    fn named(&self, options: &Options, names: &[String]) -> Result<Vec<Arc<dyn Protocol>>> {
        let all = Self::protocols(options);
        if names.is_empty() {
            return Ok(all);
        }
        let find = |name: &String| {
            all.iter()
                .find(|protocol| protocol.name() == name)
                .cloned()
                .ok_or_else(|| {
                    let known: Vec<_> = all.iter().map(|protocol| protocol.name()).collect();
                    Error::bad_request(
                        ID,
                        format!(
                            "there is no protocol {name}: known are {}",
                            known.join(", ")
                        ),
                    )
                })
        };
        names.iter().map(find).collect()
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
