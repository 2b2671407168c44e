//! Go Micro's data model of a registry, and its JSON.
//!
//! Reading accepts `null`, missing and unknown keys. Writing gives `null` where Go does, so that
//! both write the same values.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::method::{EndpointDescriptor, ValueDescriptor};

/// One version of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// What it is found by.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its version; empty where none was told.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// Of the service; Go Micro's servers leave it empty and use the node's.
    #[serde(deserialize_with = "or_default", serialize_with = "map_or_null")]
    pub metadata: BTreeMap<String, String>,
    /// What it answers and what it subscribes to.
    #[serde(deserialize_with = "or_default", serialize_with = "list_or_null")]
    pub endpoints: Vec<Endpoint>,
    /// Where it runs.
    #[serde(deserialize_with = "or_default", serialize_with = "list_or_null")]
    pub nodes: Vec<Node>,
}

impl Service {
    /// A service without endpoints and nodes.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            ..Self::default()
        }
    }

    /// The same service with `nodes` in place of its own.
    #[must_use]
    pub fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version.clone(),
            metadata: self.metadata.clone(),
            endpoints: self.endpoints.clone(),
            nodes,
        }
    }
}

/// A process that runs a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Unique among all nodes: the service's name, a dash, the server's id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// `host:port`, `[v6]:port`, or the name of a queue on transports that have queues.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// What it speaks (`protocol`, `transport`, …) and what its owner gave it.
    #[serde(deserialize_with = "or_default", serialize_with = "map_or_null")]
    pub metadata: BTreeMap<String, String>,
}

impl Node {
    /// A node without metadata.
    pub fn new(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            address: address.into(),
            metadata: BTreeMap::new(),
        }
    }
}

/// A method or a subscriber of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// `Say.Hello`; of a subscriber, the name of its function.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it takes.
    pub request: Option<Value>,
    /// What it answers; nothing of a subscriber.
    pub response: Option<Value>,
    /// `stream=true`, `topic=…` with `subscriber=true`, and what its owner gave it.
    #[serde(deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
}

/// A message or a field of one, for display.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Value {
    /// The field's name; of the root, the message's.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its Go type; empty where that has no name.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Its fields.
    #[serde(deserialize_with = "or_default", serialize_with = "list_or_null")]
    pub values: Vec<Value>,
}

impl From<&EndpointDescriptor> for Endpoint {
    fn from(endpoint: &EndpointDescriptor) -> Self {
        let value = |value: &ValueDescriptor| {
            let empty = value.name.is_empty() && value.kind.is_empty() && value.values.is_empty();
            (!empty).then(|| Value::from(value))
        };
        Self {
            name: endpoint.name.to_owned(),
            request: value(&endpoint.request),
            response: value(&endpoint.response),
            metadata: endpoint
                .metadata
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }
}

impl From<&ValueDescriptor> for Value {
    fn from(value: &ValueDescriptor) -> Self {
        Self {
            name: value.name.to_owned(),
            kind: value.kind.to_owned(),
            values: value.values.iter().map(Self::from).collect(),
        }
    }
}

pub(super) fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn map_or_null<S: Serializer>(
    map: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Some(map)
        .filter(|map| !map.is_empty())
        .serialize(serializer)
}

fn list_or_null<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    Some(list)
        .filter(|list| !list.is_empty())
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes_and_writes_its_nulls() {
        // Field order and values as go-micro v4 writes them.
        let text = r#"{"name":"greeter","version":"1.0.0","metadata":null,"endpoints":[{"request":{"name":"Event","type":"Event","values":[{"name":"id","type":"string","values":null}]},"response":null,"metadata":{},"name":"Say.Hello"}],"nodes":[{"metadata":{"protocol":"mucp"},"id":"greeter-1","address":"127.0.0.1:1"}]}"#;
        let service: Service = serde_json::from_str(text).expect("Go's JSON");
        assert_eq!(service.nodes[0].metadata["protocol"], "mucp");
        let request = service.endpoints[0].request.as_ref().expect("a request");
        assert_eq!(
            (&*request.values[0].name, &*request.values[0].kind),
            ("id", "string")
        );
        let ours: serde_json::Value = serde_json::to_value(&service).expect("JSON");
        let theirs: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(ours, theirs);
    }

    #[test]
    fn reads_nulls_missing_and_unknown_keys() {
        let service: Service =
            serde_json::from_str(r#"{"name":null,"nodes":[{"id":"a","port":3}],"x":[1]}"#)
                .expect("tolerant");
        assert_eq!(service.nodes, [Node::new("a", "")]);
        assert_eq!(service.name, "");
    }

    #[test]
    fn a_descriptor_becomes_an_endpoint() {
        static FIELDS: [ValueDescriptor; 1] = [ValueDescriptor::new("name", "string", &[])];
        let descriptor = EndpointDescriptor::new(
            "Say.Count",
            ValueDescriptor::new("Request", "Request", &FIELDS),
            ValueDescriptor::new("", "", &[]),
            &[("stream", "true")],
        );
        let endpoint = Endpoint::from(&descriptor);
        assert_eq!(endpoint.metadata["stream"], "true");
        assert_eq!(endpoint.response, None);
        assert_eq!(
            endpoint.request.expect("a request").values[0].kind,
            "string"
        );
    }
}
