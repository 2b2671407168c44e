//! What the server is told.

use std::sync::Arc;
use std::time::Duration;

use super::super::Service;
use crate::call::Dispatch;
use crate::codec::Codec;
use crate::http1::read_origin;
use crate::protocol::Protocol;
use crate::server::Limits;
use crate::tasks::Tasks;
use crate::transport::Transport;
#[cfg(feature = "tls")]
use crate::transport::tls::ServerTls;
use crate::wrapper::Wrapper;

impl Service {
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

    /// Where it listens: `host:port`, or `unix:/path` where its registry tells this machine alone. By
    /// default a free port: of loopback where its registry tells this machine alone, as memory and
    /// local do, else of every interface.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.options.address = Some(address.into());
        self
    }

    /// The address that others are told, where it is not the one it listens on: `host:port`, or a
    /// host alone with the port it listens on. For a service that listens on every interface others
    /// are told the first private address of this machine, else the first public one.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.options.advertise = Some(address.into());
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

    /// Serves one more service of a `.proto`.
    pub fn handle(mut self, service: impl Dispatch) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// One more wrapper around handlers, inside those given before.
    pub fn wrap_handler(mut self, wrapper: impl Wrapper) -> Self {
        self.options.handler_wrappers.push(Arc::new(wrapper));
        self
    }

    /// Whether the node's metadata tells hashes of its services' descriptors, so that callers see whether
    /// it understands them, and `Debug.Schema` the descriptors. It does by default.
    pub fn schema(mut self, on: bool) -> Self {
        self.options.schema = on;
        self
    }

    /// Serves no `Debug.Health`, `Debug.Stats` and `Debug.Schema`, so that no schema is told either.
    pub fn without_debug(mut self) -> Self {
        self.options.debug = false;
        self
    }

    /// Serves no `grpc.health.v1.Health`.
    pub fn without_health(mut self) -> Self {
        self.options.health = false;
        self
    }

    /// Web origins whose pages may call, `https://example.org`, over gRPC-Web, Connect and JSON; `*`
    /// for any. By default none may.
    ///
    /// What is no origin stops the start.
    pub fn allowed_origins<O: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        let read = |origin: O| {
            let origin = origin.into();
            read_origin(&origin).unwrap_or(origin)
        };
        self.options.origins = origins.into_iter().map(read).collect();
        self
    }

    /// Whether gRPC's reflection is served, which tells everybody all that is served. By default
    /// where only this machine can ask: on loopback.
    pub fn reflection(mut self, on: bool) -> Self {
        self.options.reflection = Some(on);
        self
    }

    /// Opens the admin listener, which tells people and probes how the service stands (see
    /// [the guide](crate::guides::admin)): `host:port`, or a port alone. Without a host it is reached from this
    /// machine alone; who can reach it sees everything, and nobody has to prove who he is. None by
    /// default.
    pub fn admin_address(mut self, address: impl Into<String>) -> Self {
        self.options.admin = Some(address.into());
        self
    }

    /// After how long callers of gRPC and braid are to make a new connection, give or take a tenth, so
    /// that they find nodes that came later; calls that run go on. Never by default.
    pub fn connection_age(mut self, age: Duration) -> Self {
        self.options.connection_age = Some(age);
        self
    }

    /// How long calls of gRPC go on on a connection of that age before it is closed; until they end
    /// by default.
    pub fn connection_grace(mut self, grace: Duration) -> Self {
        self.options.connection_grace = Some(grace);
        self
    }

    /// The service that callers mean who name no package, by its full name `a.b.Say`, where another
    /// one of the same short name `Say` is served too. Go Micro's callers name none.
    pub fn short_name_of(mut self, full_name: impl Into<String>) -> Self {
        self.options.short_names.push(full_name.into());
        self
    }

    /// Listens with TLS, and only with TLS.
    #[cfg(feature = "tls")]
    pub fn server_tls(mut self, tls: ServerTls) -> Self {
        self.options.server_tls = Some(tls);
        self
    }

    /// Spawns, and takes random numbers and wall time, from `tasks`: for simulations.
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.options.tasks = tasks;
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
}
