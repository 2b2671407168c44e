//! This machine's interfaces: where questions go out, and whose questions are answered.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::IfAddr;

/// How many interfaces are used: the system allows a socket 20 memberships, and no more than that
/// are of use on an honest machine.
const MAX_INTERFACES: usize = 20;

/// An interface with its addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interface {
    /// The system's number; 0 where it has none.
    pub(super) index: u32,
    pub(super) loopback: bool,
    /// Addresses, each with the length of its network's prefix.
    pub(super) v4: Vec<(Ipv4Addr, u8)>,
    pub(super) v6: Vec<(Ipv6Addr, u8)>,
}

/// All interfaces, loopback first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interfaces(pub(super) Vec<Interface>);

impl Interfaces {
    /// Asks the system.
    ///
    /// # Errors
    /// Where it does not tell.
    pub(super) fn read() -> io::Result<Self> {
        let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
        for one in if_addrs::get_if_addrs()? {
            let index = one.index.unwrap_or(0);
            let interface = found.entry(index).or_default();
            interface.index = index;
            interface.loopback |= one.is_loopback();
            match one.addr {
                IfAddr::V4(address) => interface.v4.push((address.ip, address.prefixlen)),
                IfAddr::V6(address) => interface.v6.push((address.ip, address.prefixlen)),
            }
        }
        let mut list: Vec<_> = found.into_values().collect();
        // Whatever the system lists: services of one machine find each other where nothing else is.
        if !list.iter().any(|one| one.loopback && !one.v4.is_empty()) {
            list.push(Interface {
                loopback: true,
                v4: vec![(Ipv4Addr::LOCALHOST, 8)],
                ..Interface::default()
            });
        }
        list.sort_by_key(|one| (!one.loopback, one.index));
        if list.len() > MAX_INTERFACES {
            tracing::debug!(
                interfaces = list.len(),
                used = MAX_INTERFACES,
                "too many interfaces for mDNS"
            );
            list.truncate(MAX_INTERFACES);
        }
        Ok(Self(list))
    }

    /// Whether `address` is of this machine.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || match address {
                IpAddr::V4(address) => self.v4().any(|(own, _)| own == address),
                IpAddr::V6(address) => self.v6().any(|(own, _)| own == address),
            }
    }

    /// Whether `address` can be of a neighbour: private, of a link, or of a network that this
    /// machine is in. Others have no business here, and answering them would serve who forges them.
    pub(super) fn is_near(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                address.is_loopback()
                    || address.is_private()
                    || address.is_link_local()
                    || self.v4().any(|(own, prefix)| {
                        let other = u32::from(prefix.min(32));
                        (own.to_bits() ^ bits).checked_shr(32 - other) == Some(0)
                    })
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || self.v6().any(|(own, prefix)| {
                        let other = u32::from(prefix.min(128));
                        (own.to_bits() ^ bits).checked_shr(128 - other) == Some(0)
                    })
            }
        }
    }

    fn v4(&self) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        self.0.iter().flat_map(|one| one.v4.iter().copied())
    }

    fn v6(&self) -> impl Iterator<Item = (Ipv6Addr, u8)> {
        self.0.iter().flat_map(|one| one.v6.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_first() {
        let found = Interfaces::read().expect("interfaces");
        assert!(found.0[0].loopback, "{found:?}");
        assert!(found.is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(found.0.len() <= MAX_INTERFACES);
    }

    #[test]
    fn neighbours_are_told_from_strangers() {
        let interfaces = Interfaces(vec![Interface {
            index: 2,
            loopback: false,
            v4: vec![("203.0.113.9".parse().expect("an address"), 25)],
            v6: vec![("2001:db8::9".parse().expect("an address"), 64)],
        }]);
        for (address, near) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("203.0.113.1", true),
            ("203.0.113.129", false),
            ("198.51.100.1", false),
            ("0.0.0.0", false),
            ("::1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("2001:db8::1", true),
            ("2001:db8:0:1::1", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(interfaces.is_near(address), near, "{address}");
        }
        assert!(interfaces.is_own("203.0.113.9".parse().expect("an address")));
        assert!(!interfaces.is_own("203.0.113.1".parse().expect("an address")));
    }
}
