//! A node that is registered here: its records, what is said of it, and which questions it answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::dns::{
    AUTHORITATIVE, Data, MAX_MESSAGE, Malformed, Message, Name, Question, RESPONSE, Record, kind,
};
use super::text;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::registry::{ID, Node, Service};

/// What Go Micro writes into the record of a place.
const PRIORITY: u16 = 10;
const WEIGHT: u16 = 1;
/// The port of the entry that stands for a service where all are asked for.
const LISTED_PORT: u16 = 9999;

/// A node's names and records.
#[derive(Debug)]
pub(super) struct Own {
    /// The service with this node alone.
    pub(super) service: Service,
    name: Name,
    instance: Name,
    listed: Name,
    host: Name,
    address: SocketAddr,
    text: Vec<u8>,
}

impl Own {
    /// The records of `node`, on a machine called `host`.
    ///
    /// # Errors
    /// 400 where its address is not `IP:port`, where DNS has no room for the names, and where a
    /// datagram has none for the rest.
    pub(super) fn new(zone: &Zone, service: &Service, node: &Node, host: &Name) -> Result<Self> {
        let service = service.with_nodes(vec![node.clone()]);
        let own = Self {
            name: zone.service(&service.name)?,
            instance: zone.instance(&service.name, node)?,
            listed: zone.listed(&service.name)?,
            host: host.clone(),
            address: place(node)?,
            text: text::write(&service, node),
            service,
        };
        let question = Question::new(own.name.clone(), kind::PTR);
        match own.answer(zone, &question, 1).map(|answer| answer.write()) {
            Some(Err(Malformed::TooLarge)) => Err(Error::bad_request(
                ID,
                format!(
                    "mdns registry: what {} tells about its endpoints and metadata takes more than \
                     the {MAX_MESSAGE} bytes of a datagram: tell less, or choose another registry",
                    node.id
                ),
            )),
            _ => Ok(own),
        }
    }

    /// Whether only processes of this machine can reach it.
    pub(super) fn is_for_this_machine(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// What says unasked that the node is there, or with a TTL of 0 that it is gone.
    pub(super) fn announcement(&self, ttl: u32) -> Message {
        Message {
            flags: RESPONSE,
            answers: self.node_records(ttl),
            ..Message::default()
        }
    }

    /// The answer to `question` with records that hold for `ttl` seconds; `None` where it is not
    /// about this node.
    pub(super) fn answer(&self, zone: &Zone, question: &Question, ttl: u32) -> Option<Message> {
        if !question.is_internet() {
            return None;
        }
        let asked = &question.name;
        let pointer = |to: &Name| Record::new(asked.clone(), ttl, Data::Ptr(to.clone()));
        let answers = if *asked == self.name && question.wants(kind::PTR) {
            let mut answers = vec![pointer(&self.instance)];
            answers.extend(self.node_records(ttl));
            answers
        } else if *asked == self.instance {
            // Go Micro asks so again where an answer was incomplete, for whatever type: it gets all.
            self.node_records(ttl)
        } else if *asked == zone.listing && question.wants(kind::PTR) {
            let mut answers = vec![pointer(&self.listed)];
            answers.extend(self.listed_records(ttl));
            answers
        } else if *asked == self.listed {
            self.listed_records(ttl)
        } else if *asked == zone.meta && question.wants(kind::PTR) {
            vec![pointer(&self.name)]
        } else {
            return None;
        };
        Some(Message {
            flags: RESPONSE | AUTHORITATIVE,
            // Go Micro takes no answer without the question.
            questions: vec![question.clone()],
            answers,
            ..Message::default()
        })
    }

    /// Whether the answer to `question` is about the service, and so the same for all its nodes.
    pub(super) fn answers_for_service(zone: &Zone, question: &Question) -> bool {
        question.name == zone.meta
            || question.name.before(&zone.listing).is_some()
            || question.name == zone.listing
    }

    fn node_records(&self, ttl: u32) -> Vec<Record> {
        // In this order: Go Micro ties an address to the place before it.
        let text = Data::Txt(self.text.clone());
        vec![
            self.place_record(&self.instance, self.address.port(), ttl),
            self.address_record(self.address.ip(), ttl),
            Record::new(self.instance.clone(), ttl, text),
        ]
    }

    fn listed_records(&self, ttl: u32) -> Vec<Record> {
        vec![
            self.place_record(&self.listed, LISTED_PORT, ttl),
            self.address_record(Ipv4Addr::UNSPECIFIED.into(), ttl),
            Record::new(self.listed.clone(), ttl, Data::Txt(Vec::new())),
        ]
    }

    fn place_record(&self, name: &Name, port: u16, ttl: u32) -> Record {
        let place = Data::Srv {
            priority: PRIORITY,
            weight: WEIGHT,
            port,
            target: self.host.clone(),
        };
        Record::new(name.clone(), ttl, place)
    }

    fn address_record(&self, address: IpAddr, ttl: u32) -> Record {
        let data = match address {
            IpAddr::V4(address) => Data::A(address),
            IpAddr::V6(address) => Data::Aaaa(address),
        };
        Record::new(self.host.clone(), ttl, data)
    }
}

/// A node's address, which DNS holds as an IP and a port.
fn place(node: &Node) -> Result<SocketAddr> {
    let wrong = |why: &str| {
        Error::bad_request(
            ID,
            format!(
                "mdns registry: the address {:?} of the node {} {why}: mDNS needs an IP and a port \
                 that others can reach, such as 192.0.2.7:8080 or [fd00::7]:8080; give one with \
                 --server_advertise",
                node.address, node.id
            ),
        )
    };
    let address: SocketAddr = node
        .address
        .parse()
        .map_err(|_| wrong("is no IP with a port"))?;
    match address {
        _ if address.ip().is_unspecified() => Err(wrong("says all interfaces")),
        _ if address.port() == 0 => Err(wrong("has no port")),
        _ => Ok(address),
    }
}
