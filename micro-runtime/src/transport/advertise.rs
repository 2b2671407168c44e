//! The address that others are told, by Go Micro's rules.

use std::net::{IpAddr, Ipv6Addr};

use super::is_unix;

/// The address to tell others, for something that listens on `listening`, `host:port`.
///
/// A host that stands for every interface (`0.0.0.0`, `::`, none) becomes one that can be dialled:
/// loopback where only this machine asks (`on_network` is false); else the first private address of an
/// interface that is up, else the first public one, else loopback. IPv6 addresses are bracketed.
/// `advertise`, where it is given, is taken in place of `listening` by the same rules, with the port
/// of `listening` where it names none. An address without a port, of a queue, stays as it is.
pub(crate) fn advertised(listening: &str, advertise: Option<&str>, on_network: bool) -> String {
    if is_unix(advertise.unwrap_or(listening)) {
        return advertise.unwrap_or(listening).to_owned();
    }
    let (_, bound) = split(listening);
    let (host, port) = match advertise {
        Some(own) => {
            let (host, port) = split(own);
            (host, port.filter(|port| *port != "0").or(bound))
        }
        None => split(listening),
    };
    let Some(port) = port else {
        return advertise.unwrap_or(listening).to_owned();
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => Some(ip),
        Err(_) if !host.is_empty() => None,
        // A socket of IPv4 alone is not reached by IPv6.
        Ok(IpAddr::V4(_)) => Some(of_this_machine(on_network, IpAddr::is_ipv4)),
        _ => Some(of_this_machine(on_network, |_| true)),
    };
    match ip {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Some(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        // With a zone, `fe80::1%eth0`, it is no plain address.
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Host and port; an IPv6 address without brackets is a host alone.
fn split(address: &str) -> (&str, Option<&str>) {
    if address.parse::<Ipv6Addr>().is_ok() {
        return (address, None);
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (address, None),
    }
}

fn of_this_machine(on_network: bool, fits: fn(&IpAddr) -> bool) -> IpAddr {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    if !on_network {
        return loopback;
    }
    let found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .filter(if_addrs::Interface::is_oper_up)
        .map(|interface| interface.ip())
        .filter(fits)
        .collect();
    choose(&found).unwrap_or(loopback)
}

/// The first private address, else the first at all.
fn choose(found: &[IpAddr]) -> Option<IpAddr> {
    let private = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    found.iter().find(private).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_every_interface_is_replaced_and_others_are_kept() {
        for (listening, advertise, told) in [
            ("0.0.0.0:8080", None, "127.0.0.1:8080"),
            ("[::]:8080", None, "127.0.0.1:8080"),
            (":8080", None, "127.0.0.1:8080"),
            ("10.1.2.3:8080", None, "10.1.2.3:8080"),
            ("[fd00::2]:8080", None, "[fd00::2]:8080"),
            (
                "0.0.0.0:8080",
                Some("greeter.example"),
                "greeter.example:8080",
            ),
            (
                "0.0.0.0:8080",
                Some("greeter.example:80"),
                "greeter.example:80",
            ),
            ("0.0.0.0:8080", Some("10.0.0.9:0"), "10.0.0.9:8080"),
            ("0.0.0.0:8080", Some("fd00::2"), "[fd00::2]:8080"),
            ("0.0.0.0:8080", Some("[fd00::2]:90"), "[fd00::2]:90"),
            ("0.0.0.0:8080", Some(":90"), "127.0.0.1:90"),
            ("unix:/run/a:80", None, "unix:/run/a:80"),
            ("unix:/run/a", Some("10.0.0.9:80"), "10.0.0.9:80"),
            ("_INBOX.abc", None, "_INBOX.abc"),
            ("_INBOX.abc", Some("_INBOX.own"), "_INBOX.own"),
            ("0.0.0.0:8080", Some("fe80::1%eth0"), "[fe80::1%eth0]:8080"),
        ] {
            assert_eq!(advertised(listening, advertise, false), told);
        }
    }

    #[test]
    fn a_private_address_comes_before_a_public_one() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let found = [
            ip("93.184.216.34"),
            ip("2001:db8::1"),
            ip("fd00::2"),
            ip("10.0.0.1"),
        ];
        assert_eq!(choose(&found), Some(ip("fd00::2")));
        assert_eq!(choose(&found[..2]), Some(ip("93.184.216.34")));
        assert_eq!(choose(&[]), None);
    }
}
