//! Consul as the registry: a real agent, each test with one of its own.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::registry::consul::Options;
use micro_runtime::registry::{
    self, Action, Event, Node, RegisterOptions, Registry, Service as Entry, Watcher,
};
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::registry_contract;
use micro_runtime::transport::tls::ClientTls;
use micro_tests::consul::{Consul, Wanted};
use micro_tests::peers::Program;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(30);

fn registry(consul: &Consul) -> registry::Consul {
    with(Options::new().address(consul.address()))
}

fn with(options: Options) -> registry::Consul {
    registry::Consul::with(options, &Tasks::new()).unwrap()
}

fn service(name: &str, port: u16) -> Entry {
    let mut service = Entry::new(name, "1");
    let node = Node::new(format!("{name}-1"), format!("127.0.0.1:{port}"));
    service.nodes.push(node);
    service
}

fn ttl(seconds: u64) -> RegisterOptions {
    RegisterOptions::with_ttl(Duration::from_secs(seconds))
}

async fn next(watcher: &mut Box<dyn Watcher>) -> Event {
    let event = timeout(SOON, watcher.next()).await;
    event.expect("a change").unwrap()
}

/// Waits until a lookup finds the service, or no longer does.
async fn wait_for(registry: &registry::Consul, name: &str, there: bool) {
    let settled = timeout(SOON, async {
        while registry.get(name).await.is_ok() != there {
            sleep(Duration::from_millis(20)).await;
        }
    });
    settled
        .await
        .unwrap_or_else(|_| panic!("{name} there: {there}"));
}

#[test]
fn an_agent_answers_is_emptied_by_a_restart_and_can_be_paused() {
    let mut consul = Consul::with(Wanted {
        acl: true,
        tls: true,
    });
    let (status, body) = consul.put("/v1/agent/service/register", r#"{"ID":"a-1","Name":"a"}"#);
    assert_eq!(status, 200, "{body}");
    consul.pause();
    consul.resume();
    let passing = ("a-1".to_owned(), "passing".to_owned());
    consul.wait_for_nodes("a", |nodes| nodes == [passing.clone()]);
    consul.restart();
    assert_eq!(consul.nodes("a"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_registry_must() {
    let consul = Consul::start();
    registry_contract(|| async { Arc::new(registry(&consul)) as Arc<dyn Registry> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_found_at_once_and_expires_when_it_is_silent() {
    let consul = Consul::start();
    let registry = registry(&consul);
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    registry.register(&service("s", 1), ttl(2)).await.unwrap();
    // It comes with its node and is never critical before it is silent.
    let event = next(&mut watcher).await;
    assert_eq!(
        (event.action, event.service.nodes.len()),
        (Action::Create, 1)
    );
    let event = next(&mut watcher).await;
    assert_eq!(event.action, Action::Expire);
    assert_eq!(consul.nodes("s")[0].1, "critical");
    wait_for(&registry, "s", false).await;
    // Nothing has changed, so that it only passes.
    registry.register(&service("s", 1), ttl(2)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    registry.deregister(&service("s", 1)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_maintenance_has_left() {
    let consul = Consul::start();
    let registry = registry(&consul);
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    wait_for(&registry, "s", true).await;
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    for (enable, action) in [(true, Action::Delete), (false, Action::Create)] {
        let path = format!("/v1/agent/service/maintenance/s-1?enable={enable}");
        assert_eq!(consul.put(&path, "").0, 200);
        assert_eq!(next(&mut watcher).await.action, action);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_comes_back_empty_ends_the_watch_and_is_told_again() {
    let mut consul = Consul::start();
    let registry = registry(&consul);
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    wait_for(&registry, "s", true).await;
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    consul.kill();
    let ended = timeout(SOON, watcher.next()).await.expect("the watch ends");
    let told = ended.unwrap_err().to_string();
    assert!(told.contains(consul.address()), "{told}");
    registry
        .register(&service("s", 1), ttl(60))
        .await
        .unwrap_err();
    consul.restart();
    assert_eq!(registry.get("s").await.unwrap_err().code(), 404);
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_hangs_fails_what_is_asked_in_time() {
    let consul = Consul::start();
    let registry = registry(&consul);
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    consul.pause();
    let hung = timeout(Duration::from_secs(9), registry.get("s")).await;
    assert!(hung.expect("within its time").unwrap_err().is_timeout());
    consul.resume();
    wait_for(&registry, "s", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_checks_by_tcp_where_that_is_asked_for() {
    let consul = Consul::start();
    let options = Options::new().address(consul.address());
    let registry = with(options.tcp_check(Duration::from_secs(1)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // With a TTL too, as services register: Go Micro fails here.
    registry
        .register(&service("s", port), ttl(60))
        .await
        .unwrap();
    registry
        .register(&service("s", port), ttl(60))
        .await
        .unwrap();
    wait_for(&registry, "s", true).await;
    let answer = consul.get("/v1/health/checks/s");
    assert_eq!(answer[0]["Type"], "tcp", "{answer}");
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    drop(listener);
    assert_eq!(next(&mut watcher).await.action, Action::Expire);
    // Registering again does not call it well.
    registry
        .register(&service("s", port), ttl(60))
        .await
        .unwrap();
    assert_eq!(consul.nodes("s")[0].1, "critical");
    let _listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_needed_and_shown() {
    let consul = Consul::with(Wanted {
        acl: true,
        ..Wanted::default()
    });
    let refused = registry(&consul);
    let error = refused
        .register(&service("s", 1), ttl(60))
        .await
        .unwrap_err();
    assert_eq!(error.code(), 403, "{error}");
    assert!(error.detail().contains("CONSUL_HTTP_TOKEN"), "{error}");
    let options = Options::new().address(consul.address());
    let registry = with(options.token(consul.token()));
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    wait_for(&registry, "s", true).await;
    assert!(
        registry
            .list()
            .await
            .unwrap()
            .iter()
            .any(|service| service.name == "s")
    );
    // Those without it are not told that there is something: Consul hides it.
    assert!(refused.get("s").await.is_err());
    registry.deregister(&service("s", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let (consul, other) = (
        Consul::with(Wanted {
            tls: true,
            ..Wanted::default()
        }),
        Consul::with(Wanted {
            tls: true,
            ..Wanted::default()
        }),
    );
    let trusting = |ca: &Consul| {
        let tls = ClientTls::new().ca_file(ca.ca()).unwrap();
        with(Options::new().address(consul.tls_address()).tls(tls))
    };
    let registry = trusting(&consul);
    let mut watcher = registry.watch(Some("s")).await.unwrap();
    registry.register(&service("s", 1), ttl(60)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    wait_for(&registry, "s", true).await;

    let error = trusting(&other).get("s").await.unwrap_err();
    assert!(error.detail().contains("tls: "), "{error}");
    let plain = with(Options::new().address(consul.tls_address()));
    let error = plain.get("s").await.unwrap_err();
    assert!(error.detail().contains("HTTPS server"), "{error}");
    let address = format!("https://{}", consul.address());
    let tls = ClientTls::new().ca_file(consul.ca()).unwrap();
    let error = with(Options::new().address(address).tls(tls))
        .get("s")
        .await
        .unwrap_err();
    assert!(error.detail().contains("tls: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_finds_consul_by_consuls_own_variables() {
    let consul = Consul::with(Wanted {
        acl: true,
        tls: true,
    });
    let ca = consul.ca();
    let env = [
        ("CONSUL_HTTP_ADDR", consul.tls_address()),
        ("CONSUL_HTTP_TOKEN", consul.token()),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_CACERT", ca.to_str().unwrap()),
    ];
    let args = [
        "program",
        "--registry=consul",
        "--server_address=127.0.0.1:0",
    ];
    let running = Service::new("s")
        .metadata("a.b", "Consul takes no dots in its own metadata")
        .init_from(args, env)
        .unwrap()
        .start()
        .await
        .unwrap();
    let nodes = consul.wait_for_nodes("s", |nodes| nodes.len() == 1);
    assert_eq!(nodes[0].1, "passing");
    running.stop().await.unwrap();
    consul.wait_for_nodes("s", <[_]>::is_empty);
}

#[test]
fn go_micro_reads_what_we_register() {
    let consul = Consul::start();
    let ours = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter");
    let named = format!("registry_address={}", consul.address());
    let registry = ["registry=consul", &*named, "name=some.greeter"];
    let server = ours.with(&registry).serve(&[]);
    let [(id, status)] = &consul.wait_for_nodes("some.greeter", |nodes| nodes.len() == 1)[..]
    else {
        panic!("one node");
    };
    assert_eq!(status, "passing");
    let go = Program::go("greeter").with(&registry);
    let ended = go.run(&["call=lookup"]);
    let services: Value = serde_json::from_str(ended.line("OK ").unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {ended}"));
    let [service] = &services.as_array().unwrap()[..] else {
        panic!("one version: {ended}");
    };
    let [node] = &service["nodes"].as_array().unwrap()[..] else {
        panic!("one node: {ended}");
    };
    assert_eq!(node["id"], **id);
    assert_eq!(node["address"], *server.address());
    assert_eq!(service["version"], "latest");
    let metadata = &node["metadata"];
    for (key, value) in [
        ("protocol", "mucp"),
        ("transport", "http"),
        ("server", "mucp"),
        ("registry", "consul"),
    ] {
        assert_eq!(metadata[key], value, "{metadata}");
    }
    let endpoints = service["endpoints"].as_array().unwrap();
    assert!(
        endpoints
            .iter()
            .any(|endpoint| endpoint["name"] == "Greeter.Hello"),
        "{endpoints:?}"
    );
    let ended = go.run(&["call=hello"]);
    assert_eq!(ended.lines, [r#"OK {"msg":"Hello world"}"#], "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_what_go_micro_registers() {
    let consul = Consul::start();
    let named = format!("registry_address={}", consul.address());
    let flags = ["registry=consul", &*named, "name=some.greeter"];
    let server = Program::go("greeter").with(&flags).serve(&[]);
    let registry = registry(&consul);
    wait_for(&registry, "some.greeter", true).await;
    let found = registry.get("some.greeter").await.unwrap();
    let node = &found[0].nodes[0];
    assert_eq!(node.address, server.address());
    assert_eq!(node.metadata["protocol"], "mucp");
    let endpoints = &found[0].endpoints;
    assert!(
        endpoints
            .iter()
            .any(|endpoint| endpoint.name == "Greeter.Hello")
    );
    let mut watcher = registry.watch(Some("some.greeter")).await.unwrap();
    server.stop();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
}
