//! Against a name server of our own: what is found, and what is not.

mod server;
mod time;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::registry::dns_message::{Data, Record};
use server::Server;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn record(of: &str, ttl: u32, data: Data) -> Record {
    Record::new(name(of), ttl, data)
}

fn srv(ttl: u32, priority: u16, target: &str, port: u16) -> Record {
    let data = Data::Srv {
        priority,
        weight: 10,
        port,
        target: name(target),
    };
    record("_greeter._tcp.local", ttl, data)
}

fn a(of: &str, ttl: u32, address: &str) -> Record {
    let address = address.parse().expect("an address");
    record(of, ttl, Data::A(address))
}

fn aaaa(of: &str, ttl: u32, address: &str) -> Record {
    let address = address.parse().expect("an address");
    record(of, ttl, Data::Aaaa(address))
}

fn cname(of: &str, ttl: u32, to: &str) -> Record {
    record(of, ttl, Data::Cname(name(to)))
}

/// Two nodes of a greeter.
fn two() -> [Record; 4] {
    [
        srv(30, 1, "one.local", 8080),
        srv(30, 1, "two.local", 8081),
        a("one.local", 30, "10.0.0.1"),
        a("two.local", 30, "10.0.0.2"),
    ]
}

async fn addresses(registry: &Dns, name: &str) -> Result<Vec<String>> {
    let found = timeout(Duration::from_secs(60), registry.get(name));
    let found = found.await.expect("an answer in time")?;
    let nodes = found.into_iter().flat_map(|service| service.nodes);
    Ok(nodes.map(|node| node.address).collect())
}

async fn absent(registry: &Dns, name: &str) {
    let error = addresses(registry, name).await.expect_err("not there");
    assert_eq!(error.code(), 404, "{error}");
}

#[tokio::test]
async fn srv_records_and_their_hosts_are_nodes() {
    let server = Server::start().await;
    server.records(&two());
    let found = server.registry().get("greeter").await.expect("two");
    assert_eq!((&*found[0].name, &*found[0].version), ("greeter", ""));
    let mut node = Node::new("greeter-10.0.0.1:8080", "10.0.0.1:8080");
    node.metadata = BTreeMap::from([("protocol".into(), "mucp".into())]);
    assert_eq!(found[0].nodes[0], node);
    assert_eq!(found[0].nodes[1].address, "10.0.0.2:8081");
    // One question for the records, one for each host.
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn hosts_that_come_along_are_not_asked_for() {
    let server = Server::start().await;
    server.records(&two()[..2]);
    server.set(|zone| zone.beside = two()[2..].to_vec());
    let found = addresses(&server.registry(), "greeter").await.expect("two");
    assert_eq!(found, ["10.0.0.1:8080", "10.0.0.2:8081"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_host_is_looked_for_where_there_are_no_srv_records_and_a_port_is_known() {
    let server = Server::start().await;
    server.records(&[
        a("greeter.example.org", 30, "10.0.0.1"),
        a("greeter.example.org", 30, "10.0.0.2"),
        aaaa("greeter.example.org", 30, "fd00::1"),
        aaaa("six.example.org", 30, "fd00::6"),
    ]);
    let options = server.options().domain("example.org:8080").expect("a port");
    let registry = Dns::new(options, &server.tasks).expect("a domain");
    let found = addresses(&registry, "greeter").await.expect("two");
    assert_eq!(found, ["10.0.0.1:8080", "10.0.0.2:8080"]);
    let found = addresses(&registry, "six").await.expect("one");
    assert_eq!(found, ["[fd00::6]:8080"]);
    absent(&registry, "other").await;
    absent(&server.registry(), "greeter").await;
}

#[tokio::test]
async fn a_name_with_a_port_is_that_host() {
    let server = Server::start().await;
    server.records(&[a("a.example.org", 30, "10.0.0.1")]);
    let found = addresses(&server.registry(), "a.example.org:99").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:99"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn only_the_records_of_the_least_priority_count() {
    let server = Server::start().await;
    server.records(&[
        srv(30, 2, "two.local", 1),
        srv(30, 1, "one.local", 1),
        srv(30, 1, "one.local", 0),
        a("one.local", 30, "10.0.0.1"),
        a("two.local", 30, "10.0.0.2"),
    ]);
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:1"]);
}

#[tokio::test]
async fn a_name_that_is_not_there_or_has_nothing_is_not_found() {
    let server = Server::start().await;
    let registry = server.registry();
    absent(&registry, "greeter").await;
    server.records(&[a("_other._tcp.local", 1, "10.0.0.1")]);
    absent(&registry, "other").await;
    // The service is decidedly not available here.
    let mut none = srv(30, 1, "x", 1);
    if let Data::Srv { target, .. } = &mut none.data {
        *target = Name::default();
    }
    none.name = name("_none._tcp.local");
    server.records(&[none]);
    absent(&registry, "none").await;
    absent(&registry, "no..name").await;
    absent(&registry, &"x".repeat(64)).await;
}

#[tokio::test]
async fn names_that_stand_for_others_are_followed() {
    let server = Server::start().await;
    server.records(&[
        cname("_greeter._tcp.local", 30, "srv.local"),
        cname("srv.local", 20, "_real._tcp.local"),
        record(
            "_real._tcp.local",
            30,
            Data::Srv {
                priority: 0,
                weight: 0,
                port: 80,
                target: name("alias.local"),
            },
        ),
        cname("alias.local", 30, "host.local"),
        a("host.local", 30, "10.0.0.1"),
    ]);
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:80"]);
    // A server that leaves the rest to us.
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, mut answer| {
            answer.answers.truncate(1);
            vec![answer.write().expect("short")]
        }));
    });
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn names_that_lead_in_circles_are_an_error() {
    let server = Server::start().await;
    let circle = [cname("h", 30, "i"), cname("i", 30, "h")];
    server.records(&circle);
    let error = addresses(&server.registry(), "h:1").await;
    let error = error.expect_err("no end");
    assert!(error.detail().contains("from name to name"), "{error}");
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, mut answer| {
            answer.answers.truncate(1);
            vec![answer.write().expect("short")]
        }));
    });
    server.asked();
    assert!(addresses(&server.registry(), "h:1").await.is_err());
    assert!(server.asked().len() <= 8, "an end is put to it");
}

#[tokio::test]
async fn an_alias_of_nothing_is_not_found() {
    let server = Server::start().await;
    server.records(&[cname("h", 30, "gone")]);
    absent(&server.registry(), "h:1").await;
}

#[tokio::test]
async fn a_host_that_nobody_knows_does_not_take_the_others_away() {
    let server = Server::start().await;
    server.records(&two()[..3]);
    let registry = server.registry();
    let found = addresses(&registry, "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:8080"]);
}

#[test]
fn options_are_read_from_text() {
    let options = DnsOptions::default();
    let options = options.servers(&["10.0.0.53", "10.0.0.54:5353", "fd00::1", "[fd00::2]:54"]);
    let options = options
        .expect("addresses")
        .domain("a.b.:80")
        .expect("a port");
    let servers: Vec<_> = options.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "10.0.0.53:53",
            "10.0.0.54:5353",
            "[fd00::1]:53",
            "[fd00::2]:54"
        ]
    );
    assert_eq!((&*options.domain, options.port), ("a.b", Some(80)));
    let wrong = DnsOptions::default().servers(&["ns.example.org"]);
    assert_eq!(wrong.expect_err("a name").code(), 400);
    let wrong = DnsOptions::default().domain("a:0");
    assert_eq!(wrong.expect_err("no port").code(), 400);
    let wrong = DnsOptions::default().domain("a..b").expect("no port");
    let wrong = Dns::new(wrong, &Tasks::new());
    assert_eq!(wrong.expect_err("no domain").code(), 400);
}
