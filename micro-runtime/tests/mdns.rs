//! Multicast DNS as the registry, on groups and ports of the tests' own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use micro_runtime::registry::{
    Action, Event, Mdns, MdnsOptions, Node, RegisterOptions, Registry, Service, Watcher,
};
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::registry_contract;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(15);

/// Options for a group that no other test and no other process has.
fn options() -> MdnsOptions {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    // A port that is free now, and is not given out to others as long as somebody has it.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    MdnsOptions::default().group(
        Ipv4Addr::new(239, high, low, number as u8),
        Ipv6Addr::new(
            0xff12,
            0,
            0,
            0,
            0,
            0x3df,
            u16::from_be_bytes([high, low]),
            number,
        ),
        port,
    )
}

fn registry(options: &MdnsOptions) -> Mdns {
    Mdns::new(&Tasks::new(), options.clone()).unwrap()
}

fn node(id: &str, address: &str) -> Service {
    let mut service = Service::new("greeter", "1");
    service.nodes.push(Node::new(id, address));
    service
}

async fn register(registry: &Mdns, service: &Service) {
    registry
        .register(service, RegisterOptions::default())
        .await
        .unwrap();
}

async fn next(watcher: &mut Box<dyn Watcher>) -> Event {
    timeout(SOON, watcher.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn mdns_keeps_the_contract() {
    registry_contract(async || Arc::new(registry(&options())) as Arc<dyn Registry>).await;
}

#[tokio::test]
async fn mdns_with_the_local_registry_beside_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let options = options().folder(folder.path().join("micro"));
    registry_contract(async || Arc::new(registry(&options)) as Arc<dyn Registry>).await;
}

#[tokio::test]
async fn one_registry_finds_what_another_has_registered() {
    let options = options();
    let (here, there) = (registry(&options), registry(&options));
    let mut watcher = there.watch(Some("greeter")).await.unwrap();
    let greeter = node("greeter-1", "127.0.0.1:4000");
    register(&here, &greeter).await;
    let event = next(&mut watcher).await;
    assert_eq!(event, Event::new(Action::Create, greeter.clone()));
    assert_eq!(there.get("greeter").await.unwrap(), [greeter.clone()]);
    here.deregister(&greeter).await.unwrap();
    let event = next(&mut watcher).await;
    assert_eq!(event, Event::new(Action::Delete, greeter));
    assert_eq!(there.get("greeter").await.unwrap_err().code(), 404);
}
