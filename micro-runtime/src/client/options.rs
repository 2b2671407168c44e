//! What a client is made of.

use std::sync::Arc;
use std::time::Duration;

use super::RetryBudget;
use super::active::HealthCheck;
use super::outlier::Outliers;
use crate::broker::Broker;
use crate::call::{Backoff, CallOptions, Hedge, Retry};
use crate::codec::Codecs;
use crate::metadata::Text;
use crate::protocol::Protocol;
use crate::registry::{GRACE, Registry};
use crate::selector::{Canary, Filter, Locality, SLOW_START, Strategy};
use crate::tasks::Tasks;
use crate::transport::Transport;
#[cfg(feature = "tls")]
use crate::transport::tls::ClientTls;
use crate::wrapper::Wrapper;

/// Options of a [`Client`](super::Client). Change fields of [`ClientOptions::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Where nodes are found.
    pub registry: Arc<dyn Registry>,
    /// How they are reached.
    pub transport: Arc<dyn Transport>,
    /// What is spoken to them: the first that a node knows. A node that tells nothing, and an address
    /// given by hand, is spoken to in the one named [`fallback`](ClientOptions::fallback).
    pub protocols: Vec<Arc<dyn Protocol>>,
    /// The name of the protocol for nodes that do not say what they speak. `mucp`.
    pub fallback: &'static str,
    /// Who spawns.
    pub tasks: Tasks,
    /// Codecs by content type.
    pub codecs: Codecs,
    /// The content type of calls that name none. `application/protobuf`.
    pub content_type: Text,
    /// Wrappers around every call, the first outermost.
    pub wrappers: Vec<Arc<dyn Wrapper>>,
    /// How a node is chosen.
    pub selector: Strategy,
    /// Which nodes calls may go to at all, before the calls' own filters.
    pub filters: Vec<Filter>,
    /// A share of the calls for a few nodes. None.
    pub canary: Option<Canary>,
    /// Which nodes are near. All are.
    pub locality: Option<Locality>,
    /// How long it takes until a node that comes, or comes back, gets its full share of calls. 10 s.
    pub slow_start: Duration,
    /// What calls take where they say nothing themselves.
    pub call: CallDefaults,
    /// Asks nodes from time to time whether they are well; not where `None`.
    pub health_check: Option<HealthCheck>,
    /// When nodes are left alone for how calls to them go.
    pub outliers: Outliers,
    /// Whether typed clients leave out nodes that would not understand them, as far as nodes tell what
    /// their services look like. They do.
    pub check_schema: bool,
    /// How long a node that the registry no longer names is kept while it answers. 150 s.
    pub registry_grace: Duration,
    /// Idle connections kept to each node. Go Micro's pool size, 100.
    pub pool_size: usize,
    /// How long a connection is used. Go Micro's pool TTL, 60 s.
    pub pool_ttl: Duration,
    /// The largest message accepted, in bytes. 64 MiB.
    pub max_message: usize,
    /// Metadata keys that a handler's own calls pass on though they would not by themselves:
    /// `Authorization`, `Cookie`.
    pub forward: Vec<String>,
    /// What carries events; `None` where none are published.
    pub broker: Option<Arc<dyn Broker>>,
    /// A service that all calls go through, whatever name they are for; Go Micro's `MICRO_PROXY`.
    pub proxy: Option<String>,
    /// Protects connections; plaintext where `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<ClientTls>,
}

impl ClientOptions {
    /// Defaults with this registry, transport and these protocols.
    pub fn new(
        registry: Arc<dyn Registry>,
        transport: Arc<dyn Transport>,
        protocols: Vec<Arc<dyn Protocol>>,
    ) -> Self {
        Self {
            registry,
            transport,
            protocols,
            fallback: "mucp",
            tasks: Tasks::new(),
            codecs: Codecs::client(),
            content_type: Text::from_static("application/protobuf"),
            wrappers: Vec::new(),
            selector: Strategy::default(),
            filters: Vec::new(),
            canary: None,
            locality: None,
            slow_start: SLOW_START,
            call: CallDefaults::default(),
            health_check: None,
            outliers: Outliers::default(),
            check_schema: true,
            registry_grace: GRACE,
            pool_size: 100,
            pool_ttl: Duration::from_secs(60),
            max_message: 64 << 20,
            forward: Vec::new(),
            broker: None,
            proxy: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// What calls take where they say nothing themselves: go-micro v4's defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallDefaults {
    /// The whole call. 30 s.
    pub timeout: Duration,
    /// One try. 5 s.
    pub attempt_timeout: Duration,
    /// Connecting. 5 s.
    pub dial_timeout: Duration,
    /// A stream's whole life. None.
    pub stream_timeout: Option<Duration>,
    /// A stream's longest silence. None.
    pub idle_timeout: Option<Duration>,
    /// Tries after the first. 5.
    pub retries: u32,
    /// Which failures are tried again.
    pub retry: Retry,
    /// How long to wait before each try.
    pub backoff: Backoff,
    /// How many tries beyond their first all calls to one service may make together; `None` for any
    /// number. One for every five calls.
    pub retry_budget: Option<RetryBudget>,
    /// After how long calls of idempotent methods also go to another node. Never.
    pub hedge: Option<Hedge>,
}

impl Default for CallDefaults {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(5),
            dial_timeout: Duration::from_secs(5),
            stream_timeout: None,
            idle_timeout: None,
            retries: 5,
            retry: Retry::default(),
            backoff: Backoff::default(),
            retry_budget: Some(RetryBudget::default()),
            hedge: None,
        }
    }
}

impl CallDefaults {
    /// The timeout of a call with `options`.
    pub(super) fn timeout(&self, options: &CallOptions) -> Duration {
        options.timeout.unwrap_or(self.timeout)
    }

    pub(super) fn retry<'a>(&'a self, options: &'a CallOptions) -> &'a Retry {
        options.retry.as_ref().unwrap_or(&self.retry)
    }
}
