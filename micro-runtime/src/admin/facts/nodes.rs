//! The nodes that the service calls, and its connections to them.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use super::{NAMES, Sources, ms};
use crate::client::{Client, Fits, PROTOCOL_KEY, PROTOCOLS_KEY, Place};
use crate::error::why::Cause;
use crate::registry::{NodeEntry, Standing};

/// How many nodes are told of one name.
const NODES: usize = 500;

/// What `/nodes` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Nodes {
    pub(in crate::admin) destinations: Vec<Destination>,
    /// Nodes at addresses that callers gave.
    pub(in crate::admin) given: Vec<Node>,
    pub(in crate::admin) left_out: usize,
}

/// A name that the service calls.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Destination {
    pub(in crate::admin) name: String,
    pub(in crate::admin) ready: bool,
    pub(in crate::admin) registered: bool,
    pub(in crate::admin) registry_error: Option<String>,
    pub(in crate::admin) nodes: Vec<Node>,
    pub(in crate::admin) left_out: usize,
}

/// A node, and whether calls go to it.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Node {
    pub(in crate::admin) id: String,
    pub(in crate::admin) address: String,
    pub(in crate::admin) version: String,
    pub(in crate::admin) protocols: Vec<String>,
    /// `in`, `ejected`, `on_trial`, `probed`, `unusable`.
    pub(in crate::admin) standing: &'static str,
    pub(in crate::admin) reason: Option<String>,
    pub(in crate::admin) cause: Option<&'static str>,
    pub(in crate::admin) ejected_for_ms: Option<f64>,
    pub(in crate::admin) ejected_times: Option<u32>,
    pub(in crate::admin) in_flight: u32,
    pub(in crate::admin) latency_ms: Option<f64>,
    pub(in crate::admin) share: f32,
    pub(in crate::admin) schemas: Vec<Schema>,
    pub(in crate::admin) metadata: BTreeMap<String, String>,
}

/// How a node's schema of one service stands to that of a typed client here.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Schema {
    pub(in crate::admin) service: &'static str,
    /// `same`, `compatible`, `differs`, `asked`, `unknown`.
    pub(in crate::admin) fits: &'static str,
    pub(in crate::admin) barred: Vec<Barred>,
}

/// A method that a node would not understand.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Barred {
    pub(in crate::admin) method: String,
    pub(in crate::admin) difference: String,
}

pub(in crate::admin) fn nodes(sources: &Sources) -> Nodes {
    let client = &sources.client;
    let now = Instant::now();
    let mut places = client.places();
    let left_out = places.len().saturating_sub(NAMES);
    places.truncate(NAMES);
    let given = client.given();
    Nodes {
        destinations: places
            .iter()
            .map(|place| destination(client, place, now))
            .collect(),
        given: given
            .iter()
            .take(NODES)
            .map(|entry| node(client, None, entry, now))
            .collect(),
        left_out: left_out + given.len().saturating_sub(NODES),
    }
}

fn destination(client: &Client, place: &Place, now: Instant) -> Destination {
    let all = &place.nodes.list;
    Destination {
        name: place.name.to_string(),
        ready: place.ready,
        registered: place.nodes.known,
        registry_error: place.error.as_ref().map(ToString::to_string),
        nodes: all
            .iter()
            .take(NODES)
            .map(|entry| node(client, Some(place), entry, now))
            .collect(),
        left_out: all.len().saturating_sub(NODES),
    }
}

fn node(client: &Client, place: Option<&Place>, entry: &NodeEntry, now: Instant) -> Node {
    let fare = client.fare(entry, now);
    let stands = fare.map_or(Standing::In, |fare| fare.standing);
    let trouble = Client::trouble(entry);
    let (standing, cause, left, times) = match stands {
        _ if trouble.is_some() => ("unusable", None, None, None),
        Standing::In => ("in", None, None, None),
        Standing::Ejected(left, cause, times) => {
            ("ejected", Some(cause), Some(ms(left)), Some(times))
        }
        Standing::OnTrial(cause) => ("on_trial", Some(cause), None, None),
        Standing::Probed => ("probed", None, None, None),
    };
    let spoken = entry
        .metadata(PROTOCOLS_KEY)
        .or_else(|| entry.metadata(PROTOCOL_KEY));
    let names = spoken.unwrap_or_default().split(',').map(str::trim);
    Node {
        id: entry.id().to_owned(),
        address: entry.address().to_owned(),
        version: entry.version().to_owned(),
        protocols: names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        standing,
        reason: match trouble {
            Some(trouble) => Some(trouble.detail().to_owned()),
            None => (stands != Standing::In).then(|| stands.to_string()),
        },
        cause: cause.map(Cause::name),
        ejected_for_ms: left,
        ejected_times: times,
        in_flight: fare.map_or(0, |fare| fare.in_flight),
        latency_ms: fare.and_then(|fare| fare.latency).map(ms),
        share: fare.map_or(1.0, |fare| fare.share),
        schemas: place.map(|place| schemas(place, entry)).unwrap_or_default(),
        metadata: entry.node.metadata.clone().into_iter().collect(),
    }
}

fn schemas(place: &Place, entry: &NodeEntry) -> Vec<Schema> {
    let told = place.schemas(entry).into_iter();
    told.map(|told| Schema {
        service: told.service,
        fits: match told.fits {
            Fits::Same => "same",
            Fits::Compatible => "compatible",
            Fits::Differs => "differs",
            Fits::Asked => "asked",
            Fits::Unknown => "unknown",
        },
        barred: told
            .barred
            .into_iter()
            .map(|(method, difference)| Barred { method, difference })
            .collect(),
    })
    .collect()
}

/// What `/pools` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Pools {
    pub(in crate::admin) pools: Vec<Pool>,
}

/// The connections to one node.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Pool {
    pub(in crate::admin) name: String,
    pub(in crate::admin) node: String,
    pub(in crate::admin) address: String,
    pub(in crate::admin) protocol: &'static str,
    pub(in crate::admin) open: usize,
    pub(in crate::admin) idle: Option<usize>,
}

pub(in crate::admin) fn pools(sources: &Sources) -> Pools {
    let client = &sources.client;
    let pool = |name: &str, entry: &NodeEntry| {
        let connections = Client::connections(entry)?;
        Some(Pool {
            name: name.to_owned(),
            node: entry.id().to_owned(),
            address: entry.address().to_owned(),
            protocol: connections.protocol,
            open: connections.open,
            idle: connections.idle,
        })
    };
    let mut pools = Vec::new();
    for place in client.places().iter().take(NAMES) {
        let entries = place.nodes.list.iter();
        pools.extend(
            entries
                .filter_map(|entry| pool(&place.name, entry))
                .take(NODES),
        );
    }
    let given = client.given();
    let given = given.iter().filter_map(|entry| pool("", entry));
    pools.extend(given.take(NODES));
    Pools { pools }
}
