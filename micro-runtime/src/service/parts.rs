//! What is made of the options: the client, the server, the registry, the protocols.

use std::sync::Arc;

use super::options::Options;
use super::{ID, Service};
use crate::call::Dispatch;
use crate::client::{CALLED_BY_NAME, Client, ClientOptions};
use crate::codec::Codecs;
use crate::error::{Error, Result};
use crate::event::Subscribers;
use crate::protocol::Protocol;
use crate::protocol::braid::Braid;
use crate::protocol::mucp::Mucp;
#[cfg(feature = "grpc")]
use crate::protocol::{Connect, Grpc, GrpcWeb, Web};
use crate::registry::Registry;
use crate::router::{CallCounters, Core, CoreOptions};
use crate::schema::Announcement;
use crate::selector::Locality;
use crate::server::{Server, debug_service, health_service, reflection_services};

impl Service {
    /// The client: made on first use of the options given until then.
    pub fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            // What can fail here is checked when an option is set or the service starts; a client
            // that cannot be made answers each call with the reason.
            self.make_client().unwrap_or_else(Client::broken)
        })
    }

    pub(super) fn make_client(&self) -> Result<Client> {
        let options = self.effective()?;
        let protocols = self.spoken(&options)?;
        let registry = self.registry_of(&options)?;
        let broker = self.broker_of(&options)?;
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
        client.broker = Some(broker);
        client.codecs = options.codecs(Codecs::client());
        client.content_type = options.content_type.clone();
        client.wrappers.clone_from(&options.call_wrappers);
        client.selector = options.selector.clone();
        client.filters = options.filters.clone();
        client.canary = options.canary.clone();
        let own_zone = || options.zone.clone().map(Locality::zone);
        client.locality = options.locality.clone().or_else(own_zone);
        client.slow_start = options.slow_start;
        client.call = options.call.clone();
        client.registry_grace = options.registry_grace;
        client.outliers = options.outliers.clone();
        client.health_check = options.health_check.clone();
        client.pool_size = options.pool_size;
        client.pool_ttl = options.pool_ttl;
        client.max_message = options.limits.message;
        client.check_schema = options.check_schema;
        client.forward.clone_from(&options.forward);
        client.proxy.clone_from(&options.proxy);
        #[cfg(feature = "tls")]
        client.tls.clone_from(&options.client_tls);
        Client::new(client)
    }

    /// The user's protocols and the built-in ones, best first.
    fn protocols(options: &Options, loopback_only: bool) -> Vec<Arc<dyn Protocol>> {
        let mucp = Mucp {
            loopback_only,
            origins: options.origins.clone(),
            ..Mucp::default()
        };
        let braid = Braid {
            max_age: options.connection_age,
            ..Braid::default()
        };
        let built_in: Vec<Arc<dyn Protocol>> = vec![
            Arc::new(braid),
            #[cfg(feature = "grpc")]
            Arc::new(Self::grpc(options, loopback_only)),
            Arc::new(mucp),
        ];
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

    /// What gRPC and the protocols of the web are served with.
    #[cfg(feature = "grpc")]
    fn grpc(options: &Options, loopback_only: bool) -> Grpc {
        let mut grpc = Grpc::for_listener(loopback_only, &options.origins);
        grpc.max_age = options.connection_age;
        grpc.max_age_grace = options.connection_grace;
        grpc
    }

    /// Those that the client may speak: of all, and of the web dialects, those that were named.
    pub(super) fn spoken(&self, options: &Options) -> Result<Vec<Arc<dyn Protocol>>> {
        let mut all = Self::protocols(options, false);
        // What only answers may be, too.
        all.retain(|protocol| protocol.name() != "web");
        #[cfg(feature = "grpc")]
        for web in [
            Arc::new(Connect::new()) as Arc<dyn Protocol>,
            Arc::new(GrpcWeb::new()),
        ] {
            if !all.iter().any(|known| known.name() == web.name()) {
                all.push(web);
            }
        }
        Self::named(all, &options.client_protocols)
    }

    /// Those that the server answers, of all those that were named. With `loopback_only` it refuses
    /// requests that do not name this machine as their host.
    pub(super) fn answered(
        &self,
        options: &Options,
        loopback_only: bool,
    ) -> Result<Vec<Arc<dyn Protocol>>> {
        let mut all = Self::protocols(options, loopback_only);
        #[cfg(feature = "grpc")]
        if !all.iter().any(|known| known.name() == "web") {
            all.push(Arc::new(Web::with(Self::grpc(options, loopback_only))));
        }
        // What only calls may be among those that a user has configured.
        all.retain(|protocol| !CALLED_BY_NAME.contains(&protocol.name()));
        Self::named(all, &options.server_protocols)
    }

    /// Those of `all` that `names` has, in its order; all for an empty one.
    fn named(all: Vec<Arc<dyn Protocol>>, names: &[String]) -> Result<Vec<Arc<dyn Protocol>>> {
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

    /// The server, with the handlers that were given, for a listener on `address`.
    pub(super) fn server(
        &self,
        options: &Options,
        address: &str,
        events: &Subscribers,
    ) -> Result<Server> {
        options.check_origins()?;
        let loopback_only = options.is_for_this_machine(address);
        let protocols = self.answered(options, loopback_only)?;
        let mut core = CoreOptions::default();
        core.name.clone_from(&options.name);
        core.limits = options.limits;
        core.once.clone_from(&options.once);
        core.events = events.direct();
        if options.admin.is_some() {
            core.counters = Arc::new(CallCounters::watched());
        }
        core.codecs = options.codecs(Codecs::server());
        // A group of its own: a stop waits for it and ends it.
        core.tasks = options.tasks.group();
        core.wrappers.clone_from(&options.handler_wrappers);
        let mut services = self.services.clone();
        if self.serves_debug(options) {
            let (counters, tasks) = (core.counters.clone(), options.tasks.clone());
            services.push(debug_service(counters, tasks, self.announcement(options)));
        }
        self.health
            .know(std::iter::once("").chain([&*options.name]));
        self.health
            .know(self.services.iter().map(|one| one.descriptor().full_name));
        if options.health {
            core.beside.push(health_service(self.health.clone()));
        }
        if options.reflection.unwrap_or(loopback_only) {
            let mut all = services.clone();
            all.extend_from_slice(&core.beside);
            let reflection = reflection_services(&all, &self.health);
            core.beside.extend(reflection);
        }
        core.short_names.clone_from(&options.short_names);
        let server = Server::new(Core::new(core, services)?, protocols)?;
        #[cfg(feature = "tls")]
        let server = match &options.server_tls {
            Some(tls) => server.with_tls(tls)?,
            None => server,
        };
        Ok(server)
    }

    /// Whether the runtime's own Debug service is served.
    fn serves_debug(&self, options: &Options) -> bool {
        let is_debug = |service: &Arc<dyn Dispatch>| service.descriptor().name == "Debug";
        options.debug && !self.services.iter().any(is_debug)
    }

    /// What others are told of the schemas of its services.
    pub(super) fn announcement(&self, options: &Options) -> Option<Announcement> {
        if !options.schema || !self.serves_debug(options) {
            return None;
        }
        Announcement::of(self.services.iter().map(|service| service.descriptor()))
    }

    /// The one registry of the service's server and client.
    pub(super) fn registry_of(&self, options: &Options) -> Result<Arc<dyn Registry>> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry.clone());
        }
        let registry = options.make_registry()?;
        Ok(self.registry.get_or_init(|| registry).clone())
    }
}
