//! Channels to nodes: which protocol, over which transport, kept with the node.

use std::sync::Arc;

use super::ClientOptions;
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::metadata::Text;
use crate::protocol::{Channel, Destination, Environment, Protocol};
use crate::registry::NodeEntry;
use crate::transport::Transport;
use crate::transport::clash::PlainDial;
#[cfg(feature = "tls")]
use crate::transport::tls::TlsDial;

/// The metadata key in which our nodes name all protocols that they speak, best first.
pub(crate) const PROTOCOLS_KEY: &str = "protocols";
/// Go Micro's key for the one protocol of a node.
pub(crate) const PROTOCOL_KEY: &str = "protocol";

/// Protocols that our nodes answer and do not name, since they have better ones. A client speaks
/// them where a node names one, or where it was given no others.
pub(crate) const CALLED_BY_NAME: [&str; 2] = ["connect", "grpc-web"];

/// Makes the channels of one client.
#[derive(Debug)]
pub(super) struct Channels {
    /// In the client's order of preference; the environment differs in what TLS offers.
    protocols: Vec<(Arc<dyn Protocol>, Environment)>,
    fallback: &'static str,
    /// Whether nodes are not asked what they speak.
    forced: bool,
}

/// What a node's entry keeps.
struct Kept {
    channel: Result<Arc<dyn Channel>>,
    id: Text,
    address: Text,
}

impl Channels {
    pub(super) fn new(options: &ClientOptions) -> Result<Self> {
        let mut protocols = Vec::with_capacity(options.protocols.len());
        for protocol in &options.protocols {
            let environment = Environment {
                transport: transport(options, &**protocol)?,
                tasks: options.tasks.clone(),
                pool_size: options.pool_size,
                pool_ttl: options.pool_ttl,
                max_message: options.max_message,
            };
            protocols.push((protocol.clone(), environment));
        }
        let by_name =
            |(protocol, _): &(Arc<dyn Protocol>, _)| CALLED_BY_NAME.contains(&protocol.name());
        Ok(Self {
            forced: protocols.iter().all(by_name),
            protocols,
            fallback: options.fallback,
        })
    }

    /// The channel to a node, made on first use and kept with it.
    pub(super) fn to<'a>(&self, entry: &'a NodeEntry) -> Result<&'a Arc<dyn Channel>> {
        match self.keep(entry) {
            Some(Kept {
                channel: Ok(channel),
                ..
            }) => Ok(channel),
            Some(Kept {
                channel: Err(error),
                ..
            }) => Err(error.clone()),
            None => Err(Error::internal(
                id::CLIENT,
                "the node's channel belongs to another client",
            )),
        }
    }

    /// The channel to a node, where there is one.
    pub(super) fn kept(entry: &NodeEntry) -> Option<Arc<dyn Channel>> {
        match entry.kept() {
            Some(Kept {
                channel: Ok(channel),
                ..
            }) => Some(channel.clone()),
            _ => None,
        }
    }

    /// Why a node cannot be called: it speaks nothing that this client does.
    pub(super) fn trouble(entry: &NodeEntry) -> Option<&Error> {
        let kept: &Kept = entry.kept()?;
        kept.channel.as_ref().err()
    }

    /// How connections to a node are made.
    pub(super) fn transport(&self, entry: &NodeEntry) -> Result<&Arc<dyn Transport>> {
        let (_, environment) = self.choose(entry)?;
        Ok(&environment.transport)
    }

    /// The id and the address of a node, to be shared.
    pub(super) fn names(&self, entry: &NodeEntry) -> (Text, Text) {
        match self.keep(entry) {
            Some(kept) => (kept.id.clone(), kept.address.clone()),
            None => names(entry),
        }
    }

    fn keep<'a>(&self, entry: &'a NodeEntry) -> Option<&'a Kept> {
        entry.slot(|| {
            let (id, address) = names(entry);
            Kept {
                channel: self.open(entry, &id, &address),
                id,
                address,
            }
        })
    }

    fn open(&self, entry: &NodeEntry, id: &Text, address: &Text) -> Result<Arc<dyn Channel>> {
        let (protocol, environment) = self.choose(entry)?;
        let destination = Destination {
            address: address.clone(),
            id: id.clone(),
            legacy: entry.metadata(PROTOCOL_KEY).is_none()
                && entry.metadata(PROTOCOLS_KEY).is_none(),
        };
        Ok(protocol.channel(destination, environment))
    }

    /// The first of our protocols that the node speaks.
    fn choose(&self, entry: &NodeEntry) -> Result<&(Arc<dyn Protocol>, Environment)> {
        let spoken = entry
            .metadata(PROTOCOLS_KEY)
            .or_else(|| entry.metadata(PROTOCOL_KEY))
            .filter(|_| !entry.is_by_hand())
            .unwrap_or(self.fallback);
        let speaks = |name: &str| spoken.split(',').any(|known| known.trim() == name);
        self.protocols
            .iter()
            .find(|(protocol, _)| speaks(protocol.name()))
            .or_else(|| self.protocols.first().filter(|_| self.forced))
            .ok_or_else(|| {
                let ours: Vec<_> = self
                    .protocols
                    .iter()
                    .map(|(protocol, _)| protocol.name())
                    .collect();
                Error::internal(
                    id::CLIENT,
                    format!(
                        "node {} speaks {spoken}, and this client only {}",
                        entry.id(),
                        ours.join(", ")
                    ),
                )
                .unprocessed()
                .caused_by(Cause::Own)
            })
    }
}

fn names(entry: &NodeEntry) -> (Text, Text) {
    let text = |of: &str| Text::from(of.to_owned());
    (text(entry.id()), text(entry.address()))
}

#[cfg(feature = "tls")]
fn transport(options: &ClientOptions, protocol: &dyn Protocol) -> Result<Arc<dyn Transport>> {
    Ok(match &options.tls {
        None => Arc::new(PlainDial::new(options.transport.clone())),
        Some(tls) => Arc::new(TlsDial::new(
            options.transport.clone(),
            tls,
            &protocol.client_alpn(),
        )?),
    })
}

#[cfg(not(feature = "tls"))]
fn transport(options: &ClientOptions, _protocol: &dyn Protocol) -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(PlainDial::new(options.transport.clone())))
}
