//! What Consul is told of a node: the body of `PUT /v1/agent/service/register`, as Go Micro writes it.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::options::Check;
use super::tags::Told;
use crate::registry::{Node, Service};

/// A node whose check is critical is forgotten after this, and not sooner: Consul has the minimum of
/// a minute.
const FORGET: Duration = Duration::from_secs(65);
/// What Consul takes as metadata of a node: entries, bytes of a key, bytes of a value.
const META: (usize, usize, usize) = (64, 128, 512);

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registration<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<&'a str, &'a str>,
    check: Option<CheckBody>,
    /// Go Micro sends its `null`.
    checks: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Connect>,
}

#[derive(Debug, Default, Serialize)]
struct CheckBody {
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(rename = "Interval", skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(rename = "Timeout", skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    /// Without it a node is critical until its first check, and nobody finds it.
    #[serde(rename = "Status")]
    status: &'static str,
    #[serde(rename = "DeregisterCriticalServiceAfter")]
    forget: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Connect {
    native: bool,
}

/// The body that registers `node` of `service`.
pub(super) fn body(
    service: &Service,
    node: &Node,
    ttl: Option<Duration>,
    check: &Check,
    connect: bool,
) -> Bytes {
    let (host, port) = split(&node.address);
    let registration = Registration {
        id: &node.id,
        name: &service.name,
        tags: Told::tags(&service.version, &node.metadata, &service.endpoints),
        port,
        address: host,
        meta: meta(&node.metadata),
        check: check_of(&node.address, ttl, check),
        checks: None,
        connect: connect.then_some(Connect { native: true }),
    };
    // Text and numbers: nothing that JSON cannot say.
    serde_json::to_vec(&registration).unwrap_or_default().into()
}

fn check_of(address: &str, ttl: Option<Duration>, check: &Check) -> Option<CheckBody> {
    let (body, lasts) = match check {
        Check::Tcp { interval } => (
            CheckBody {
                interval: Some(go_duration(*interval)),
                tcp: Some(address.to_owned()),
                ..CheckBody::default()
            },
            *interval,
        ),
        Check::Http {
            port,
            path,
            interval,
            timeout,
        } => (
            CheckBody {
                interval: Some(go_duration(*interval)),
                timeout: Some(go_duration(*timeout)),
                http: join(split(address).0, *port)
                    .map(|host| format!("http://{host}/{}", path.trim_start_matches('/'))),
                ..CheckBody::default()
            },
            *interval,
        ),
        Check::Ttl => {
            let ttl = ttl.filter(|ttl| !ttl.is_zero())?;
            let body = CheckBody {
                ttl: Some(go_duration(ttl)),
                ..CheckBody::default()
            };
            (body, ttl)
        }
    };
    let forget = lasts.saturating_add(Duration::from_secs(5)).max(FORGET);
    Some(CheckBody {
        status: "passing",
        forget: go_duration(forget),
        ..body
    })
}

/// The metadata in clear, for people: nobody reads it back, so what Consul would refuse is left out.
fn meta(metadata: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let (entries, key_bytes, value_bytes) = META;
    let fits = |key: &str, value: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !key.is_empty()
            && key.len() <= key_bytes
            && key.bytes().all(letters)
            && !key.starts_with("consul-")
            && value.len() <= value_bytes
    };
    metadata
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .filter(|(key, value)| fits(key, value))
        .take(entries)
        .collect()
}

/// Host and port; an address without a port, such as a queue's, is all host.
fn split(address: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = address.rsplit_once(':') else {
        return (address, None);
    };
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inside) => inside,
        None if host.contains(':') => return (address, None),
        None => host,
    };
    match port.parse() {
        Ok(port) if port > 0 => (host, Some(port)),
        _ => (address, None),
    }
}

/// The address that `host` and `port` make; nothing where there is none.
///
/// Some Go services write the brackets of IPv6 twice, and the port inside.
pub(super) fn join(host: &str, port: u16) -> Option<String> {
    let host = host.replace("[[", "[").replace("]]", "]");
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(&host);
    match (inside, port) {
        ("", _) => None,
        (_, 0) => Some(host),
        (inside, port) if inside.parse::<Ipv6Addr>().is_ok() => Some(format!("[{inside}]:{port}")),
        (inside, port) => Some(format!("{inside}:{port}")),
    }
}

/// A duration as Go prints it, without parts that are zero: `1m30s`, `1.5s`, `250ms`.
pub(super) fn go_duration(duration: Duration) -> String {
    let fraction = |whole: u64, nanos: u32, digits: usize, unit: &str| {
        let text = format!("{whole}.{nanos:0digits$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{unit}")
    };
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    match (seconds, nanos) {
        (0, 0) => "0s".to_owned(),
        (0, 0..1_000) => format!("{nanos}ns"),
        (0, 1_000..1_000_000) => fraction((nanos / 1_000).into(), nanos % 1_000, 3, "µs"),
        (0, _) => fraction((nanos / 1_000_000).into(), nanos % 1_000_000, 6, "ms"),
        _ => {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = fraction(seconds % 60, nanos, 9, "s");
            match (hours, minutes) {
                (0, 0) => rest,
                (0, _) => format!("{minutes}m{rest}"),
                _ => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        for (address, host, port) in [
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("host:80", "host", 80),
            ("[fd00::2]:80", "fd00::2", 80),
            // Queues have names and no port.
            ("_INBOX.a.b", "_INBOX.a.b", 0),
            ("queue:name", "queue:name", 0),
            ("fd00::2", "fd00::2", 0),
        ] {
            assert_eq!(split(address), (host, Some(port).filter(|port| *port > 0)));
            assert_eq!(join(host, port).as_deref(), Some(address));
        }
        // Go's web services.
        assert_eq!(join("[[fd00::2]]:43297", 0).unwrap(), "[fd00::2]:43297");
        assert_eq!(join("[[fd00::2]]", 80).unwrap(), "[fd00::2]:80");
        assert_eq!(join("[fd00::2]", 80).unwrap(), "[fd00::2]:80");
        assert_eq!(join("", 80), None);
    }

    #[test]
    fn durations_are_written_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (33_000_000_000, "33s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_node_that_is_silent_is_forgotten_after_its_ttl_and_not_within_a_minute() {
        let forget = |ttl| {
            let check = check_of("a:1", Some(Duration::from_secs(ttl)), &Check::Ttl);
            check.expect("a check").forget
        };
        assert_eq!(
            [10, 59, 60, 90].map(forget),
            ["1m5s", "1m5s", "1m5s", "1m35s"]
        );
        assert!(check_of("a:1", Some(Duration::ZERO), &Check::Ttl).is_none());
    }

    #[test]
    fn metadata_that_consul_refuses_is_told_in_tags_alone() {
        let long = "x".repeat(600);
        let entries = [
            ("region", "eu"),
            ("a.b", "1"),
            ("consul-x", "1"),
            ("", "1"),
            ("long", &long),
        ];
        let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let metadata = BTreeMap::from(entries);
        assert_eq!(meta(&metadata), BTreeMap::from([("region", "eu")]));
    }
}
