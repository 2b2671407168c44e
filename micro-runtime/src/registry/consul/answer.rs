//! What Consul answers about nodes: the body of `GET /v1/health/service/<name>`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::registration::join;
use super::tags::Reader;
use crate::registry::model::or_default;
use crate::registry::{Node, Service};

/// A node as Consul knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The service with this node alone.
    pub(super) service: Service,
    pub(super) health: Health,
}

/// Whether a node is to be called; of several reasons the last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// No check is critical; a warning does not count.
    Well,
    /// A check is critical.
    Critical,
    /// A person has put it, or its machine, into maintenance.
    Maintained,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Wire {
    #[serde(deserialize_with = "or_default")]
    node: WireNode,
    #[serde(deserialize_with = "or_default")]
    service: WireService,
    #[serde(deserialize_with = "or_default")]
    checks: Vec<WireCheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WireNode {
    #[serde(deserialize_with = "or_default")]
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WireService {
    #[serde(rename = "ID", deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    service: String,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    address: String,
    #[serde(deserialize_with = "or_default")]
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WireCheck {
    #[serde(rename = "CheckID", deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    status: String,
}

/// The nodes called `name` by id; an entry that makes no sense is passed over.
///
/// # Errors
/// Where the body is no list.
pub(super) fn nodes(body: &[u8], name: &str) -> serde_json::Result<BTreeMap<String, Known>> {
    let entries: Vec<&RawValue> = serde_json::from_slice(body)?;
    let entries: Vec<Wire> = entries
        .iter()
        .filter_map(|entry| serde_json::from_str(entry.get()).ok())
        .collect();
    let mut reader = Reader::default();
    let mut nodes: BTreeMap<String, Known> = BTreeMap::new();
    for entry in &entries {
        let Some(known) = entry.known(name, &mut reader) else {
            continue;
        };
        // Two agents may know one node, and only one of them hears of it now.
        match nodes.get(&entry.service.id) {
            Some(other) if other.health <= known.health => {}
            _ => {
                nodes.insert(entry.service.id.clone(), known);
            }
        }
    }
    Ok(nodes)
}

impl Wire {
    fn known<'a>(&'a self, name: &str, reader: &mut Reader<'a>) -> Option<Known> {
        let wire = &self.service;
        // Consul finds names in either case.
        if wire.id.is_empty() || wire.service != name {
            return None;
        }
        let host = match &*wire.address {
            "" => &self.node.address,
            address => address,
        };
        let address = join(host, wire.port)?;
        let told = reader.read(wire.tags.iter().map(String::as_str));
        let mut service = Service::new(name, told.version);
        service.endpoints = told.endpoints;
        service.nodes = vec![Node {
            id: wire.id.clone(),
            address,
            metadata: told.metadata,
        }];
        let health = self.checks.iter().map(WireCheck::health).max();
        Some(Known {
            service,
            health: health.unwrap_or(Health::Well),
        })
    }
}

impl WireCheck {
    fn health(&self) -> Health {
        if self.status != "critical" {
            Health::Well
        } else if self.id == "_node_maintenance" || self.id.starts_with("_service_maintenance") {
            Health::Maintained
        } else {
            Health::Critical
        }
    }
}
