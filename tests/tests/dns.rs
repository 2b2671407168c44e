//! DNS as the registry, against a real name server: Consul answers for its services.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::call::Frame;
use micro_runtime::registry::{Action, Dns, DnsOptions, Registry};
use micro_runtime::tasks::Tasks;
use micro_tests::consul::Consul;
use serde_json::json;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(30);

fn registry(consul: &Consul) -> Dns {
    let options = DnsOptions::default().domain("service.consul").unwrap();
    let options = options.servers(&[consul.dns_address()]).unwrap();
    Dns::new(options, &Tasks::new()).unwrap()
}

fn put(consul: &Consul, id: &str, address: &str, port: u16) {
    let node = json!({ "ID": id, "Name": "greeter", "Address": address, "Port": port });
    let (status, answer) = consul.put("/v1/agent/service/register", &node.to_string());
    assert_eq!(status, 200, "{answer}");
}

/// The addresses of the greeter once there are so many.
async fn addresses(registry: &Dns, many: usize) -> Vec<String> {
    let found = async {
        loop {
            let found = match registry.get("greeter").await {
                Ok(found) => found,
                Err(error) => {
                    assert_eq!(error.code(), 404, "{error}");
                    Vec::new()
                }
            };
            let nodes = found.into_iter().flat_map(|service| service.nodes);
            let mut addresses: Vec<_> = nodes.map(|node| node.address).collect();
            if addresses.len() == many {
                addresses.sort();
                return addresses;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, found).await.expect("so many in time")
}

#[tokio::test]
async fn consul_tells_nodes_and_changes() {
    let consul = Consul::start();
    let registry = registry(&consul);
    assert_eq!(addresses(&registry, 0).await, [""; 0]);
    put(&consul, "a", "10.0.0.1", 8081);
    put(&consul, "b", "fd00::2", 8082);
    let found = addresses(&registry, 2).await;
    assert_eq!(found, ["10.0.0.1:8081", "[fd00::2]:8082"]);

    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    consul.put("/v1/agent/service/deregister/a", "");
    let event = timeout(SOON, watcher.next()).await.unwrap().unwrap();
    assert_eq!(event.action, Action::Delete);
    assert_eq!(event.service.nodes[0].address, "10.0.0.1:8081");
}

#[tokio::test]
async fn more_nodes_than_a_datagram_holds_are_all_found() {
    let consul = Consul::start();
    for number in 0..60 {
        put(
            &consul,
            &number.to_string(),
            &format!("10.0.1.{number}"),
            80,
        );
    }
    consul.wait_for_nodes("greeter", |nodes| nodes.len() == 60);
    assert_eq!(addresses(&registry(&consul), 60).await.len(), 60);
}

#[tokio::test]
async fn a_name_server_that_is_gone_is_an_error_and_no_answer() {
    let mut consul = Consul::start();
    put(&consul, "a", "10.0.0.1", 8081);
    let registry = registry(&consul);
    addresses(&registry, 1).await;
    consul.kill();
    // What was told holds for a second.
    let failed = async {
        loop {
            match registry.get("greeter").await {
                Ok(_) => sleep(Duration::from_millis(50)).await,
                Err(error) => return error,
            }
        }
    };
    let error = timeout(SOON, failed).await.unwrap();
    assert_eq!(error.code(), 500, "{error}");
}

#[tokio::test]
async fn a_program_with_flags_calls_what_the_name_server_names() {
    let consul = Consul::start();
    let none: [(&str, &str); 0] = [];
    let at_consul = format!("--registry_address={}", consul.address());
    let flags = ["greeter", "--registry=consul", &at_consul];
    let greeter = Service::new("greeter")
        .address("127.0.0.1:0")
        .linger(Duration::ZERO)
        .init_from(flags, none)
        .unwrap();
    let greeter = greeter.start().await.unwrap();
    consul.wait_for_nodes("greeter", |nodes| nodes.len() == 1);

    let server = format!("--registry_address={}", consul.dns_address());
    let flags = [
        "caller",
        "--registry=dns",
        &server,
        "--registry_domain=service.consul",
    ];
    let caller = Service::new("caller").init_from(flags, none).unwrap();
    let call = || {
        let health = Frame("{}".into());
        let call = caller.client().request("greeter", "Debug.Health", health);
        call.content_type("application/json")
    };
    let reply = call().await.unwrap();
    assert!(reply.0.starts_with(b"{"), "{reply:?}");
    drop(caller);
    greeter.stop().await.unwrap();
}
