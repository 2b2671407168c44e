//! The names that Go Micro gives to services and nodes: its own, and not those of DNS-SD.

use super::dns::{BadName, Name};
use crate::error::{Error, Result};
use crate::registry::{ID, Node};

/// The names under one domain.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) domain: Name,
    /// `_services.micro.`: who asks for it gets all services' names.
    pub(super) listing: Name,
    /// The same in the words of DNS-SD.
    pub(super) meta: Name,
}

impl Zone {
    /// The names under `domain`.
    ///
    /// # Errors
    /// 400 where that cannot be a domain.
    pub(super) fn new(domain: &str) -> Result<Self> {
        let under = |labels: &str| plain(&format!("{labels}.{domain}"));
        let all = (
            plain(domain),
            under("_services"),
            under("_services._dns-sd._udp"),
        );
        match all {
            (Ok(domain), Ok(listing), Ok(meta)) => Ok(Self {
                domain,
                listing,
                meta,
            }),
            _ => Err(Error::bad_request(
                ID,
                format!("mdns registry: {domain:?} cannot be a domain"),
            )),
        }
    }

    /// `greeter.micro.`
    ///
    /// # Errors
    /// 400 where DNS has no room for the name.
    pub(super) fn service(&self, service: &str) -> Result<Name> {
        plain(service)
            .and_then(|name| name.followed_by(&self.domain).ok_or(BadName::LongName))
            .map_err(|bad| refuse(&format!("the service name {service:?}"), &bad))
    }

    /// `greeter-1.greeter.micro.`
    ///
    /// # Errors
    /// 400 where DNS has no room for the names.
    pub(super) fn instance(&self, service: &str, node: &Node) -> Result<Name> {
        let end = self.service(service)?;
        plain(&node.id)
            .and_then(|name| name.followed_by(&end).ok_or(BadName::LongName))
            .map_err(|bad| refuse(&format!("the node id {:?}", node.id), &bad))
    }

    /// `greeter._services.micro.`: stands for the service where all are asked for.
    ///
    /// # Errors
    /// 400 where DNS has no room for the name.
    pub(super) fn listed(&self, service: &str) -> Result<Name> {
        plain(service)
            .and_then(|name| name.followed_by(&self.listing).ok_or(BadName::LongName))
            .map_err(|bad| refuse(&format!("the service name {service:?}"), &bad))
    }
}

/// A name that is read as it was written.
fn plain(text: &str) -> std::result::Result<Name, BadName> {
    let name = Name::parse(text)?;
    match name.text() {
        Some(again) if again == text => Ok(name),
        _ => Err(BadName::Character),
    }
}

fn refuse(what: &str, bad: &BadName) -> Error {
    let why = match bad {
        BadName::EmptyLabel => {
            "has nothing between two dots, which DNS does not allow: choose another".to_owned()
        }
        BadName::Character => {
            "has a character that DNS cannot hold or ends with a dot: choose another".to_owned()
        }
        BadName::LongLabel(label) => format!(
            "has {} bytes in {label:?}, and DNS allows 63 between two dots. A node's id is the \
             service's name and 37 more: choose a name (--server_name) or a topic whose last part has \
             26 at most, a shorter --server_id, or another registry",
            label.len()
        ),
        BadName::LongName => {
            "is longer than the 255 bytes that DNS allows a node's and its service's name together: \
             choose a shorter one, or another registry"
                .to_owned()
        }
    };
    Error::bad_request(ID, format!("mdns registry: {what} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_go_micros() {
        let zone = Zone::new("micro").expect("a domain");
        let text = |name: Result<Name>| name.expect("a name").text().expect("text");
        let node = Node::new("go.micro.srv.greeter-1", "127.0.0.1:1");
        assert_eq!(
            text(zone.instance("go.micro.srv.greeter", &node)),
            "go.micro.srv.greeter-1.go.micro.srv.greeter.micro"
        );
        assert_eq!(text(zone.service("greeter")), "greeter.micro");
        assert_eq!(text(zone.listed("greeter")), "greeter._services.micro");
        assert_eq!(zone.listing.text().as_deref(), Some("_services.micro"));
    }

    #[test]
    fn what_dns_has_no_room_for_is_refused_with_advice() {
        let zone = Zone::new("micro").expect("a domain");
        let id = |name: &str| format!("{name}-11111111-2222-3333-4444-555555555555");
        let instance = |name: &str| zone.instance(name, &Node::new(id(name), "127.0.0.1:1"));
        assert!(instance(&"x".repeat(26)).is_ok());
        let error = instance(&"x".repeat(27)).expect_err("64 bytes");
        assert_eq!(error.code(), 400);
        for said in ["64 bytes", "63", "--server_name", "26 at most"] {
            assert!(error.detail().contains(said), "{error}");
        }
        assert!(instance(&format!("go.micro.{}", "x".repeat(26))).is_ok());
        for wrong in ["", "a..b", "a.", "a\0b", &"abc.".repeat(70)] {
            assert_eq!(zone.service(wrong).expect_err(wrong).code(), 400);
        }
        assert!(Zone::new("").is_err());
    }
}
