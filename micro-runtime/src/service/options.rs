//! What a service is made of, before it starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ID;
use super::guarded::Function;
use super::plugins::{self, Table};
use super::settings::Variables;
use crate::broker::Broker;
use crate::client::{CallDefaults, HealthCheck, Outliers};
use crate::codec::{Codec, Codecs};
use crate::error::{Error, Result};
use crate::http1::read_origin;
use crate::metadata::Text;
use crate::protocol::Protocol;
use crate::registry::{GRACE, Reach, Registry};
use crate::router::Once;
use crate::selector::{Canary, Filter, Locality, SLOW_START, Strategy};
use crate::server::Limits;
use crate::tasks::Tasks;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, ServerTls};
use crate::transport::{Memory, Tcp, Transport, is_unix};
use crate::wrapper::Wrapper;

/// Everything that code or settings can choose. `None` means the default, which may depend on the rest.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) id: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) address: Option<String>,
    pub(super) advertise: Option<String>,
    pub(super) registry: Option<Arc<dyn Registry>>,
    /// The registry that settings choose, by name and with its addresses: made when it is needed.
    pub(super) chosen_registry: Option<(String, Vec<String>)>,
    pub(super) registry_domain: Option<String>,
    /// What can be chosen by name.
    pub(super) registries: Table<dyn Registry>,
    pub(super) brokers: Table<dyn Broker>,
    /// What drivers read of the environment.
    pub(super) variables: Variables,
    pub(super) broker: Option<Arc<dyn Broker>>,
    /// The name and addresses of a broker that settings chose, in place of code's.
    pub(super) broker_choice: Option<(String, Vec<String>)>,
    pub(super) transport: Arc<dyn Transport>,
    /// The network that `--transport=memory` means: one for the client and the server.
    pub(super) memory: Memory,
    /// In order of preference; empty for all that are built in.
    pub(super) protocols: Vec<Arc<dyn Protocol>>,
    /// Names of those that the client may speak, and of those that the server answers; empty for all.
    pub(super) client_protocols: Vec<String>,
    pub(super) server_protocols: Vec<String>,
    pub(super) limits: Limits,
    pub(super) user_codecs: Vec<Arc<dyn Codec>>,
    pub(super) content_type: Text,
    pub(super) call_wrappers: Vec<Arc<dyn Wrapper>>,
    pub(super) handler_wrappers: Vec<Arc<dyn Wrapper>>,
    pub(super) subscriber_wrappers: Vec<Arc<dyn Wrapper>>,
    pub(super) forward: Vec<String>,
    pub(super) selector: Strategy,
    pub(super) canary: Option<Canary>,
    pub(super) locality: Option<Locality>,
    pub(super) slow_start: Duration,
    /// Where it runs: its node's metadata and its calls' locality, where those do not say otherwise.
    pub(super) zone: Option<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) call: CallDefaults,
    pub(super) pool_size: usize,
    pub(super) pool_ttl: Duration,
    pub(super) register_ttl: Duration,
    pub(super) register_interval: Duration,
    pub(super) register_check: Option<Function<()>>,
    pub(super) registry_grace: Duration,
    pub(super) outliers: Outliers,
    pub(super) health_check: Option<HealthCheck>,
    /// Takes one call or event in all, and no other.
    pub(super) once: Option<Arc<Once>>,
    pub(super) linger: Duration,
    pub(super) drain: Duration,
    pub(super) debug: bool,
    /// Whether others are told what its services look like.
    pub(super) schema: bool,
    /// Whether its client minds what others tell so.
    pub(super) check_schema: bool,
    /// Whether `grpc.health.v1.Health` is served.
    pub(super) health: bool,
    /// Web origins whose pages may call.
    pub(super) origins: Vec<String>,
    /// How old callers' connections become, and how long calls go on then; for ever for `None`.
    pub(super) connection_age: Option<Duration>,
    pub(super) connection_grace: Option<Duration>,
    /// Whether reflection is served; `None` where only this machine can ask.
    pub(super) reflection: Option<bool>,
    /// Where the admin listener listens; `None` for none.
    pub(super) admin: Option<String>,
    /// Full names of services that own their short names.
    pub(super) short_names: Vec<String>,
    pub(super) tasks: Tasks,
    pub(super) proxy: Option<String>,
    #[cfg(feature = "tls")]
    pub(super) server_tls: Option<ServerTls>,
    #[cfg(feature = "tls")]
    pub(super) client_tls: Option<ClientTls>,
}

impl Options {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            version: "latest".to_owned(),
            id: None,
            metadata: BTreeMap::new(),
            address: None,
            advertise: None,
            registry: None,
            registry_domain: None,
            chosen_registry: None,
            registries: plugins::registries(),
            brokers: plugins::brokers(),
            variables: Variables::default(),
            broker: None,
            broker_choice: None,
            transport: Arc::new(Tcp),
            memory: Memory::new(),
            protocols: Vec::new(),
            client_protocols: Vec::new(),
            server_protocols: Vec::new(),
            limits: Limits::default(),
            user_codecs: Vec::new(),
            content_type: Text::from_static("application/protobuf"),
            call_wrappers: Vec::new(),
            handler_wrappers: Vec::new(),
            subscriber_wrappers: Vec::new(),
            forward: Vec::new(),
            selector: Strategy::default(),
            canary: None,
            locality: None,
            slow_start: SLOW_START,
            zone: None,
            filters: Vec::new(),
            call: CallDefaults::default(),
            pool_size: 100,
            pool_ttl: Duration::from_secs(60),
            register_ttl: Duration::from_secs(60),
            register_interval: Duration::from_secs(30),
            register_check: None,
            registry_grace: GRACE,
            outliers: Outliers::default(),
            health_check: None,
            once: None,
            linger: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            debug: true,
            schema: true,
            check_schema: true,
            health: true,
            origins: Vec::new(),
            connection_age: None,
            connection_grace: None,
            reflection: None,
            admin: None,
            short_names: Vec::new(),
            tasks: Tasks::new(),
            proxy: None,
            #[cfg(feature = "tls")]
            server_tls: None,
            #[cfg(feature = "tls")]
            client_tls: None,
        }
    }

    /// The address to listen on. Where none was named, any free port: of loopback where the
    /// registry tells this machine alone, else of every interface.
    pub(super) fn listen_address(&self, reach: Reach) -> &str {
        match (&self.address, reach) {
            (Some(address), _) => address,
            (None, Reach::Machine) => "127.0.0.1:0",
            (None, Reach::Network) => ":0",
        }
    }

    /// Whether only this machine can mean a service that listens on `address`: it is bound to
    /// loopback, and nobody is told another address. Web pages must then not reach it under a name
    /// of their own.
    pub(super) fn is_for_this_machine(&self, address: &str) -> bool {
        if is_unix(address) {
            return self.advertise.is_none();
        }
        let bound = address.parse::<SocketAddr>();
        bound.is_ok_and(|bound| bound.ip().to_canonical().is_loopback())
            && self.advertise.is_none()
            && self.transport.name() == Transport::name(&Tcp)
    }

    /// # Errors
    /// 400 where code has allowed an origin that is none.
    pub(super) fn check_origins(&self) -> Result<()> {
        match self
            .origins
            .iter()
            .find(|origin| read_origin(origin).is_none())
        {
            None => Ok(()),
            Some(wrong) => Err(Error::bad_request(
                ID,
                format!("{wrong:?} is no origin of web pages: one is https://example.org"),
            )),
        }
    }

    /// `base` with the user's codecs.
    pub(super) fn codecs(&self, base: Codecs) -> Codecs {
        self.user_codecs
            .iter()
            .cloned()
            .fold(base, Codecs::with_shared)
    }
}
