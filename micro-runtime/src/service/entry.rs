//! What the registry is told of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Service;
use super::options::Options;
use crate::broker::Broker;
use crate::call::Dispatch;
use crate::event::Subscribed;
use crate::registry::{self, Endpoint, Node, Reach, Registry};
use crate::server::Server;
use crate::transport::advertised;

impl Service {
    /// What the registry is told.
    pub(super) fn entry(
        &self,
        options: &Options,
        server: &Server,
        address: &str,
        registry: &dyn Registry,
        broker: &dyn Broker,
    ) -> registry::Service {
        let id = options.id.clone().unwrap_or_else(|| options.tasks.uuid());
        let mut node = Node::new(
            format!("{}-{id}", options.name),
            advertised(
                address,
                options.advertise.as_deref(),
                registry.reach() == Reach::Network,
            ),
        );
        let protocols: Vec<_> = server.protocols().collect();
        // What Go Micro's nodes tell about themselves; Go reads `protocol` to choose an envelope.
        let tells = [
            ("transport", options.transport.name()),
            ("broker", broker.name()),
            ("registry", registry.name()),
            ("server", "mucp"),
            ("protocol", "mucp"),
            ("protocols", &protocols.join(",")),
        ];
        node.metadata = tells
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        // Like Go Micro: what a person says about the node stays beside it, and cannot lie about it.
        for (key, value) in &options.metadata {
            node.metadata
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
        let mut entry = registry::Service::new(&options.name, &options.version);
        entry.endpoints = endpoints(&self.services);
        (entry.endpoints).extend(Subscribed::endpoints(&self.subscribers));
        entry.metadata = BTreeMap::new();
        entry.nodes = vec![node];
        entry
    }
}

/// The endpoints of all services, by name: the order in which Go Micro registers them.
fn endpoints(services: &[Arc<dyn Dispatch>]) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = services
        .iter()
        .flat_map(|service| service.descriptor().endpoints)
        .map(Endpoint::from)
        .collect();
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    endpoints
}
