//! What the registry is told of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Service;
use super::options::Options;
use crate::broker::Broker;
use crate::call::Dispatch;
use crate::event::Subscribed;
use crate::registry::{self, Endpoint, Node, Reach, Registry};
use crate::schema::KEY;
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
        let mut protocols: Vec<_> = server.protocols().collect();
        // No client chooses it by itself; one that finds nothing else is to see why.
        if protocols.len() > 1 {
            protocols.retain(|name| *name != "web");
        }
        // What Go Micro's nodes tell about themselves; Go reads `protocol` to choose an envelope.
        let main = ["mucp", "grpc"]
            .into_iter()
            .find(|name| protocols.contains(name))
            .unwrap_or("mucp");
        let tells = [
            ("transport", options.transport.name()),
            ("broker", broker.name()),
            ("registry", registry.name()),
            ("server", main),
            ("protocol", main),
            ("protocols", &protocols.join(",")),
        ];
        node.metadata = tells
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(announcement) = self.announcement(options) {
            node.metadata.insert(KEY.to_owned(), announcement.text);
        }
        // Like Go Micro: what a person says about the node stays beside it, and cannot lie about it.
        for (key, value) in &options.metadata {
            node.metadata
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
        if let Some(zone) = &options.zone {
            let place = node.metadata.entry("zone".to_owned());
            place.or_insert_with(|| zone.clone());
        }
        let mut entry = registry::Service::new(&options.name, &options.version);
        entry.endpoints = endpoints(&self.services, &options.short_names);
        (entry.endpoints).extend(Subscribed::endpoints(&self.subscribers));
        entry.metadata = BTreeMap::new();
        entry.nodes = vec![node];
        entry
    }
}

/// The endpoints of all services, by name: the order in which Go Micro registers them. Of two services
/// with one short name, those of the one that does not own it are told with the package.
fn endpoints(services: &[Arc<dyn Dispatch>], owners: &[String]) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for service in services {
        let descriptor = service.descriptor();
        let owned_elsewhere = services.iter().any(|other| {
            let other = other.descriptor();
            other.name == descriptor.name
                && other.full_name != descriptor.full_name
                && owners.iter().any(|owner| owner == other.full_name)
        });
        for endpoint in descriptor.endpoints {
            let mut endpoint = Endpoint::from(endpoint);
            if owned_elsewhere && let Some((package, _)) = descriptor.full_name.rsplit_once('.') {
                endpoint.name = format!("{package}.{}", endpoint.name);
            }
            endpoints.push(endpoint);
        }
    }
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    endpoints
}
