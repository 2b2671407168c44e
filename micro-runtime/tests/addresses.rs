//! Where a service listens, and which address others are told.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::call::Frame;
use micro_runtime::registry::{self, Memory, Node, Reach, RegisterOptions, Registry, Watcher};
use micro_runtime::service::Running;
use micro_runtime::transport::{Tcp, Transport};
use micro_runtime::{Result, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A registry that tells other machines.
#[derive(Clone, Debug, Default)]
struct Far(Memory);

#[async_trait]
impl Registry for Far {
    fn name(&self) -> &str {
        "far"
    }
    fn reach(&self) -> Reach {
        Reach::Network
    }
    async fn register(&self, service: &registry::Service, options: RegisterOptions) -> Result<()> {
        self.0.register(service, options).await
    }
    async fn deregister(&self, service: &registry::Service) -> Result<()> {
        self.0.deregister(service).await
    }
    async fn get(&self, name: &str) -> Result<Vec<registry::Service>> {
        self.0.get(name).await
    }
    async fn list(&self) -> Result<Vec<registry::Service>> {
        self.0.list().await
    }
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.0.watch(name).await
    }
}

const NO_ENV: [(&str, &str); 0] = [];

fn service(registry: impl Registry) -> Service {
    Service::new("addressed")
        .registry(registry)
        .linger(Duration::ZERO)
}

fn told(running: &Running) -> &Node {
    running.entry().nodes.first().unwrap()
}

fn port(running: &Running) -> u16 {
    running.address().parse::<SocketAddr>().unwrap().port()
}

/// What a service answers a request that names this host.
async fn answer(running: &Running, host: &str) -> String {
    let address = format!("127.0.0.1:{}", port(running));
    let mut connection = Tcp.dial(&address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nMicro-Endpoint: Debug.Health\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    connection.io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.io.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_service_that_this_machine_alone_is_told_of_listens_on_loopback_alone() {
    let running = service(Memory::new()).start().await.unwrap();
    let bound: SocketAddr = running.address().parse().unwrap();
    assert!(bound.ip().is_loopback(), "{bound}");
    assert_eq!(told(&running).address, running.address());
    assert!(answer(&running, "evil.example").await.contains("403"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_a_network_is_told_of_listens_on_every_interface() {
    let running = service(Far::default()).start().await.unwrap();
    let bound: SocketAddr = running.address().parse().unwrap();
    assert!(bound.ip().is_unspecified(), "{bound}");
    let advertised: SocketAddr = told(&running).address.parse().unwrap();
    assert!(!advertised.ip().is_unspecified(), "{advertised}");
    assert_eq!(advertised.port(), bound.port());
    // Others know it by names of their own.
    assert!(answer(&running, "node7.example").await.contains("\"ok\""));
    // What is told is stays the same at each renewal.
    let known = running.entry().clone();
    let reply = running
        .client()
        .request("addressed", "Debug.Health", Frame::default());
    assert_eq!(&*reply.await.unwrap().0, b"\n\x02ok");
    assert_eq!(running.entry(), &known);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_set_goes_before_what_the_registry_asks_for() {
    for set in ["127.0.0.1:0", "localhost:0"] {
        let service = service(Far::default());
        let args = ["x", "--server_address", set];
        let running = service.init_from(args, NO_ENV).unwrap().start().await;
        let running = running.unwrap();
        let bound: SocketAddr = running.address().parse().unwrap();
        assert!(bound.ip().is_loopback(), "{bound}");
        assert_eq!(told(&running).address, running.address());
        if bound.is_ipv4() {
            assert!(answer(&running, "evil.example").await.contains("403"));
        }
        running.stop().await.unwrap();
    }
    let running = service(Memory::new()).address("0.0.0.0:0").start().await;
    let running = running.unwrap();
    assert!(running.address().starts_with("0.0.0.0:"));
    assert_eq!(
        told(&running).address,
        format!("127.0.0.1:{}", port(&running)),
        "only this machine asks"
    );
    assert!(answer(&running, "evil.example").await.contains("\"ok\""));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn others_are_told_the_address_that_is_given() {
    for (given, expected) in [
        ("greeter.example", "greeter.example:PORT"),
        ("greeter.example:80", "greeter.example:80"),
        ("10.1.2.3", "10.1.2.3:PORT"),
        ("10.1.2.3:0", "10.1.2.3:PORT"),
        ("fd00::2", "[fd00::2]:PORT"),
        ("[fd00::2]", "[fd00::2]:PORT"),
        ("[fd00::2]:80", "[fd00::2]:80"),
    ] {
        let args = ["x", "--server_advertise", given];
        let service = service(Far::default()).init_from(args, NO_ENV).unwrap();
        let running = service.start().await.unwrap();
        let expected = expected.replace("PORT", &port(&running).to_string());
        assert_eq!(told(&running).address, expected, "{given}");
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn ipv6_works_from_end_to_end() {
    let on = SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).to_string();
    if Tcp.listen(&on).await.is_err() {
        eprintln!("this machine has no IPv6, nothing is tested");
        return;
    }
    let registry = Memory::new();
    let args = ["x", "--server_address=[::1]:0"];
    let running = service(registry.clone());
    let running = running.init_from(args, NO_ENV).unwrap().start().await;
    let running = running.unwrap();
    assert_eq!(
        told(&running).address,
        format!("[::1]:{}", port(&running)),
        "as others dial it"
    );
    for protocol in ["braid", "mucp"] {
        let caller = Service::new("caller").registry(registry.clone());
        let caller = caller.client_protocols([protocol]);
        let call = caller
            .client()
            .request("addressed", "Debug.Health", Frame::default());
        assert_eq!(&*call.await.unwrap().0, b"\n\x02ok", "{protocol}");
    }
    running.stop().await.unwrap();

    let args = [
        "x",
        "--server_address=[::1]:0",
        "--server_advertise=fd00::2",
    ];
    let running = service(registry.clone()).init_from(args, NO_ENV).unwrap();
    let running = running.start().await.unwrap();
    let known = registry.get("addressed").await.unwrap();
    let address = &known.first().unwrap().nodes.first().unwrap().address;
    assert_eq!(*address, format!("[fd00::2]:{}", port(&running)));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_nobody_could_dial_is_refused_at_once() {
    for args in [
        ["x", "--server_advertise=host:99999"],
        ["x", "--server_address=:99999"],
    ] {
        let error = Service::new("x").init_from(args, NO_ENV).unwrap_err();
        assert!(error.detail().contains("host:port"), "{error}");
    }
}

/// A folder of the test's own, and the address of a socket in it.
#[cfg(unix)]
fn socket() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("service").display());
    (folder, address)
}

#[cfg(unix)]
#[tokio::test]
async fn every_protocol_is_spoken_on_a_unix_socket_that_a_registry_of_this_machine_tells() {
    let (folder, address) = socket();
    let files = folder.path().join("registry");
    let tasks = micro_runtime::tasks::Tasks::new();
    let local = || registry::Local::at(&files, &tasks).unwrap();
    let running = service(local()).address(address.clone()).start().await;
    let running = running.unwrap();
    assert_eq!(
        (running.address(), &*told(&running).address),
        (&*address, &*address)
    );
    for protocol in ["braid", "grpc", "mucp"] {
        let caller = Service::new("caller").registry(local());
        let caller = caller.client_protocols([protocol]);
        let client = caller.client();
        let call = client.request("addressed", "Debug.Health", Frame::default());
        assert_eq!(&*call.await.unwrap().0, b"\n\x02ok", "{protocol}");
        let call = client.request("elsewhere", "Debug.Health", Frame::default());
        let by_hand = call.address(address.clone()).await;
        assert_eq!(&*by_hand.unwrap().0, b"\n\x02ok", "{protocol}, by hand");
    }
    running.stop().await.unwrap();
    assert!(!folder.path().join("service").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_registry_of_the_network_neither_is_told_of_a_unix_socket_nor_may_tell_one() {
    let (_folder, address) = socket();
    let far = Far::default();
    let error = service(far.clone()).address(address.clone()).start().await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(error.detail().contains("the registry far"), "{error}");
    // With another address to tell, as of a proxy before it, it is as any other.
    let running = service(far.clone())
        .address(address.clone())
        .advertise("10.0.0.9:80")
        .start()
        .await
        .unwrap();
    assert_eq!(told(&running).address, "10.0.0.9:80");
    // Another says that a service is at a socket of ours: it is not believed.
    let mut lie = registry::Service::new("lied", "latest");
    lie.nodes = vec![Node::new("lied-1", &*address)];
    far.register(&lie, RegisterOptions::default())
        .await
        .unwrap();
    let caller = Service::new("caller").registry(far);
    let call = caller
        .client()
        .request("lied", "Debug.Health", Frame::default());
    let error = call.await.unwrap_err();
    assert!(error.is_unprocessed() || error.code() >= 400, "{error}");
    assert!(!error.detail().contains("unix"), "{error}");
    running.stop().await.unwrap();
}
