//! Where the service is registered, finds others, and passes events.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::super::guarded::Function;
use super::super::{Service, Setup};
use crate::broker::Broker;
use crate::error::Result;
use crate::registry::Registry;

impl Service {
    /// Where it is registered and finds others; multicast DNS, with the file registry of this machine
    /// beside it.
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

    /// How long its registration holds without being renewed; 60 s.
    pub fn register_ttl(mut self, ttl: Duration) -> Self {
        self.options.register_ttl = ttl;
        self
    }

    /// How often it is registered again; 30 s. It must be shorter than the TTL; zero is never.
    pub fn register_interval(mut self, interval: Duration) -> Self {
        self.options.register_interval = interval;
        self
    }

    /// Asks `check` before the service is registered and at each interval whether it is well.
    ///
    /// Where it fails, the service is deregistered, once; where it succeeds again, registered, once.
    /// A service whose check fails at its start serves all the same, and is registered once it
    /// succeeds. A check has failed that panics, or does not answer within 10 s or half an interval,
    /// whichever is shorter. With an interval of zero it is asked before the first registration alone.
    pub fn register_check<F, R>(mut self, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.options.register_check = Some(Function::new(move |()| check()));
        self
    }

    /// How long the client keeps a node that the registry no longer names while it answers; 150 s.
    ///
    /// A registry that was restarted empty, or that cannot reach the nodes, then empties no working
    /// fleet. Zero follows the registry's word at once. A node that deregisters is gone at once.
    pub fn registry_grace(mut self, grace: Duration) -> Self {
        self.options.registry_grace = grace;
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
}
