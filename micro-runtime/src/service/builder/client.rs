//! What the client is told.

use std::sync::Arc;
use std::time::Duration;

use super::super::Service;
use crate::call::{Backoff, Hedge, Retry};
use crate::client::{HealthCheck, Outliers, RetryBudget};
use crate::metadata::Text;
use crate::selector::{Canary, Filter, Locality, Strategy};
#[cfg(feature = "tls")]
use crate::transport::tls::ClientTls;
use crate::wrapper::Wrapper;

impl Service {
    /// The protocols that the client may speak, by name, best first: `["mucp"]`. `connect` and
    /// `grpc-web` are for servers that are not ours: given alone, all nodes are called so.
    pub fn client_protocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.client_protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Calls with TLS.
    #[cfg(feature = "tls")]
    pub fn client_tls(mut self, tls: ClientTls) -> Self {
        self.options.client_tls = Some(tls);
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

    /// Passes this metadata key on to a handler's own calls though it would not by itself:
    /// `Authorization`, `Cookie`.
    pub fn forward(mut self, key: impl Into<String>) -> Self {
        self.options.forward.push(key.into());
        self
    }

    /// How the client chooses a node; by [`Strategy::PowerOfTwo`].
    pub fn selector(mut self, strategy: impl Into<Strategy>) -> Self {
        self.options.selector = strategy.into();
        self
    }

    /// Whether typed clients leave out nodes that would not understand them, as far as nodes tell what
    /// their services look like ([`schema`](crate::schema)). They do by default.
    pub fn check_schema(mut self, on: bool) -> Self {
        self.options.check_schema = on;
        self
    }

    /// The client calls only nodes that `filter` lets pass, whatever a call's own filters say. Several
    /// work one after the other.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.options.filters.push(filter.into());
        self
    }

    /// The client asks nodes from time to time whether they are well; it does not by itself.
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.options.health_check = Some(check);
        self
    }

    /// A share of the client's calls, from 0 to 1, goes to the nodes that `filter` lets pass, and the
    /// others to the other nodes: `.canary(Filter::version("2.0.0"), 0.05)`.
    pub fn canary(mut self, filter: impl Into<Filter>, share: f64) -> Self {
        self.options.canary = Some(Canary::new(filter, share));
        self
    }

    /// Where the service runs: its node's metadata tells it under `zone`, and its client's calls go to
    /// nodes of the same zone while those are well.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.options.zone = Some(zone.into());
        self
    }

    /// Which nodes are near for the client; those of its [zone](Service::zone) otherwise.
    pub fn locality(mut self, locality: Locality) -> Self {
        self.options.locality = Some(locality);
        self
    }

    /// How long it takes until a node that comes, or comes back, gets its full share of the client's
    /// calls; 10 s, and zero for none.
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.options.slow_start = time;
        self
    }

    /// When the client leaves nodes alone for how calls to them go; [`Outliers::off`] for never.
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.options.outliers = outliers;
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

    /// How many tries beyond their first all calls of the client to one service may make together: one
    /// for every five calls. `None` for any number.
    pub fn retry_budget(mut self, budget: impl Into<Option<RetryBudget>>) -> Self {
        self.options.call.retry_budget = budget.into();
        self
    }

    /// After how long the client's unary calls of idempotent methods also go to another node; never.
    /// `.hedge(…)` on a call says it for that call alone.
    pub fn hedge(mut self, hedge: impl Into<Hedge>) -> Self {
        self.options.call.hedge = Some(hedge.into());
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
}
