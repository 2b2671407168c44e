//! What a message tells about nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::dns::{Data, Name, Record};
use super::text;
use crate::registry::{Node, Service};

/// What is known of an instance, maybe not all.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    port: u16,
    target: Option<Name>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    text: Option<Vec<u8>>,
    ttl: Option<u32>,
}

/// A node as it was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its service, with this node alone.
    pub(super) service: Service,
    /// For how many seconds it holds.
    pub(super) ttl: u32,
    /// About what it takes to keep it.
    pub(super) size: usize,
}

/// The instances that `records` of one message are about; an address belongs to the places before
/// it, since all nodes of a machine have the same host name.
pub(super) fn instances<'a>(
    records: impl Iterator<Item = &'a Record>,
) -> BTreeMap<&'a Name, Instance> {
    let mut found: BTreeMap<&Name, Instance> = BTreeMap::new();
    for record in records.filter(|record| record.is_internet()) {
        match &record.data {
            Data::Srv { port, target, .. } => {
                let instance = found.entry(&record.name).or_default();
                instance.port = *port;
                instance.target = Some(target.clone());
                instance.holds_for(record.ttl);
            }
            Data::Txt(text) => {
                let instance = found.entry(&record.name).or_default();
                instance.text = Some(text.clone());
                instance.holds_for(record.ttl);
            }
            Data::A(address) => {
                for instance in found.values_mut().filter(|one| one.is_at(&record.name)) {
                    instance.v4.get_or_insert(*address);
                }
            }
            Data::Aaaa(address) => {
                for instance in found.values_mut().filter(|one| one.is_at(&record.name)) {
                    instance.v6.get_or_insert(*address);
                }
            }
            _ => {}
        }
    }
    found
}

impl Instance {
    fn holds_for(&mut self, ttl: u32) {
        self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
    }

    fn is_at(&self, host: &Name) -> bool {
        self.target.as_ref() == Some(host)
    }

    /// Whether it says that the node is gone.
    pub(super) fn is_goodbye(&self) -> bool {
        self.ttl == Some(0)
    }

    /// Whether all that a node needs was told.
    pub(super) fn is_complete(&self) -> bool {
        self.text.is_some() && self.port != 0 && (self.v4.is_some() || self.v6.is_some())
    }

    /// Adds what another message told of the same instance.
    pub(super) fn merge(&mut self, other: Self) {
        if other.port != 0 {
            (self.port, self.target) = (other.port, other.target);
        }
        self.v4 = other.v4.or(self.v4);
        self.v6 = other.v6.or(self.v6);
        self.text = other.text.or(self.text.take());
        if let Some(ttl) = other.ttl {
            self.holds_for(ttl);
        }
    }

    /// The node called `name`, told by `source`; `None` where something is missing or wrong, or
    /// where it is no node of a service.
    pub(super) fn node(
        &self,
        name: &Name,
        source: &SocketAddr,
        end: impl FnOnce(&str) -> Option<Name>,
    ) -> Option<Told> {
        let address = self.address(source)?;
        let text = text::read(self.text.as_deref()?)?;
        let end = end(&text.service.name)?;
        let mut node = Node::new(name.before(&end)?.text()?, address);
        node.metadata = text.metadata;
        let size = text.size + node.id.len() + node.address.len();
        Some(Told {
            service: text.service.with_nodes(vec![node]),
            ttl: self.ttl?,
            size,
        })
    }

    /// IPv4 if there is a choice, as in Go Micro.
    fn address(&self, source: &SocketAddr) -> Option<String> {
        let address = match (self.v4, self.v6) {
            (Some(v4), _) => IpAddr::V4(v4),
            (None, Some(v6)) => IpAddr::V6(v6),
            (None, None) => return None,
        };
        if self.port == 0 || address.is_unspecified() || address.is_multicast() {
            return None;
        }
        let mut whole = SocketAddr::new(address, self.port);
        // An address of one link is reached on the link that told it.
        if let (SocketAddr::V6(whole), SocketAddr::V6(source)) = (&mut whole, source)
            && whole.ip().is_unicast_link_local()
        {
            whole.set_scope_id(source.scope_id());
        }
        Some(whole.to_string())
    }
}
