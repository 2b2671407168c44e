//! What every registry must do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::registry::{Action, Endpoint, Event, Node, RegisterOptions, Registry, Service, Watcher};

/// How long a change may take to be told or to be found.
const SOON: Duration = Duration::from_secs(15);

/// Runs the contract of [`Registry`] on registries that `make` gives, each empty or at least without
/// services whose names begin with `contract.`.
///
/// # Panics
/// Where the contract is broken, with a sentence that says how.
pub async fn registry_contract<F, R>(make: F)
where
    F: Fn() -> R,
    R: Future<Output = Arc<dyn Registry>>,
{
    an_unknown_name_is_not_found(&*make().await).await;
    what_is_registered_is_found(&*make().await).await;
    registering_again_replaces_the_node(&*make().await).await;
    versions_are_apart(&*make().await).await;
    deregistering_takes_one_node(&*make().await).await;
    names_may_hold_anything(&*make().await).await;
    a_watch_tells_changes(&*make().await).await;
    a_slow_watcher_learns_the_final_state(&*make().await).await;
}

async fn an_unknown_name_is_not_found(registry: &dyn Registry) {
    match registry.get("contract.unknown").await {
        Ok(found) => assert!(found.is_empty(), "an unknown name was found: {found:?}"),
        Err(error) => assert_eq!(error.code(), 404, "not found is 404, not {error}"),
    }
    let unknown = service("contract.unknown", "1", "a", 1);
    let gone = registry.deregister(&unknown).await;
    assert!(gone.is_ok(), "deregistering what is unknown is no error");
}

async fn what_is_registered_is_found(registry: &dyn Registry) {
    let mut greeter = service("contract.found", "1.0.0", "contract.found-1", 4001);
    greeter.nodes[0]
        .metadata
        .insert("region".into(), "eu é".into());
    greeter.endpoints.push(Endpoint {
        name: "Say.Hello".into(),
        ..Endpoint::default()
    });
    register(registry, &greeter).await;
    let found = settled(registry, "contract.found", |found| found.len() == 1).await;
    assert_eq!(found, [greeter.clone()], "found is what was registered");
    let names = registry.list().await.expect("list");
    assert!(
        names.iter().any(|service| service.name == greeter.name),
        "list names what is registered: {names:?}"
    );
    remove(registry, &greeter).await;
}

async fn registering_again_replaces_the_node(registry: &dyn Registry) {
    let name = "contract.again";
    let first = service(name, "1", "contract.again-1", 4001);
    register(registry, &first).await;
    register(registry, &first).await;
    let found = settled(registry, name, |found| ids(found) == ["contract.again-1"]).await;
    assert_eq!(found[0].nodes[0].address, "127.0.0.1:4001");
    let moved = service(name, "1", "contract.again-1", 4002);
    register(registry, &moved).await;
    settled(registry, name, |found| {
        ids(found) == ["contract.again-1"] && found[0].nodes[0].address == "127.0.0.1:4002"
    })
    .await;
    remove(registry, &moved).await;
}

async fn versions_are_apart(registry: &dyn Registry) {
    let name = "contract.versions";
    let old = service(name, "1", "contract.versions-1", 4001);
    let new = service(name, "2", "contract.versions-2", 4002);
    let beside = service(name, "2", "contract.versions-3", 4003);
    for one in [&old, &new, &beside] {
        register(registry, one).await;
    }
    let found = settled(registry, name, |found| ids(found).len() == 3).await;
    let mut versions: Vec<_> = found
        .iter()
        .map(|service| (&*service.version, service.nodes.len()))
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [("1", 1), ("2", 2)], "one entry for each version");
    for one in [&old, &new, &beside] {
        remove(registry, one).await;
    }
    settled(registry, name, <[Service]>::is_empty).await;
}

async fn deregistering_takes_one_node(registry: &dyn Registry) {
    let name = "contract.leaving";
    let stays = service(name, "1", "contract.leaving-1", 4001);
    let goes = service(name, "1", "contract.leaving-2", 4002);
    register(registry, &stays).await;
    register(registry, &goes).await;
    settled(registry, name, |found| ids(found).len() == 2).await;
    // As Go Micro's servers do: name, version, id and address alone.
    remove(registry, &goes).await;
    settled(registry, name, |found| ids(found) == ["contract.leaving-1"]).await;
    remove(registry, &stays).await;
    settled(registry, name, <[Service]>::is_empty).await;
}

async fn names_may_hold_anything(registry: &dyn Registry) {
    // One is the beginning of the other; neither is the other.
    let short = service("contract.na-me", "v1.0_é+x", "contract.na-me-1", 4001);
    let long = service("contract.na-me.more", "1", "contract.na-me.more-1", 4002);
    register(registry, &short).await;
    register(registry, &long).await;
    let found = settled(registry, &short.name, |found| !found.is_empty()).await;
    assert_eq!(found, std::slice::from_ref(&short));
    remove(registry, &short).await;
    settled(registry, &short.name, <[Service]>::is_empty).await;
    settled(registry, &long.name, |found| found.len() == 1).await;
    remove(registry, &long).await;
}

async fn a_watch_tells_changes(registry: &dyn Registry) {
    let name = "contract.watched";
    let mut one = service(name, "1", "contract.watched-1", 4001);
    let mut watcher = watch(registry, name).await;
    register(
        registry,
        &service("contract.other", "1", "contract.other-1", 1),
    )
    .await;
    register(registry, &one).await;
    told(&mut *watcher, name, |event| {
        event.action != Action::Delete
            && ids(std::slice::from_ref(&event.service)) == ["contract.watched-1"]
    })
    .await;
    one.nodes[0].address = "127.0.0.1:4002".into();
    register(registry, &one).await;
    told(&mut *watcher, name, |event| {
        event.action != Action::Delete
            && event
                .service
                .nodes
                .iter()
                .any(|node| node.address == "127.0.0.1:4002")
    })
    .await;
    remove(registry, &one).await;
    told(&mut *watcher, name, |event| event.action == Action::Delete).await;
    remove(
        registry,
        &service("contract.other", "1", "contract.other-1", 1),
    )
    .await;
}

async fn a_slow_watcher_learns_the_final_state(registry: &dyn Registry) {
    const MANY: usize = 300;
    let name = "contract.slow";
    let mut watcher = watch(registry, name).await;
    let nodes = (0..MANY).map(|n| service(name, "1", &format!("contract.slow-{n:03}"), 4000));
    let nodes: Vec<_> = nodes.collect();
    for one in &nodes {
        register(registry, one).await;
    }
    for one in &nodes[1..] {
        remove(registry, one).await;
    }
    let last = service(name, "1", "contract.slow-last", 5000);
    register(registry, &last).await;
    // Either the watcher tells what leads to the state, or it says that it has lost track.
    let mut known: Vec<String> = Vec::new();
    while known != ["contract.slow-000", "contract.slow-last"] {
        match timeout(SOON, watcher.next()).await {
            Ok(Ok(event)) => {
                let changed = ids(std::slice::from_ref(&event.service));
                known.retain(|id| !changed.contains(id));
                if event.action != Action::Delete {
                    known.extend(changed);
                    known.sort();
                }
            }
            Ok(Err(_)) => break,
            Err(_) => panic!("a slow watcher was told {known:?} and nothing more"),
        }
    }
    settled(registry, name, |found| ids(found).len() == 2).await;
    remove(registry, &nodes[0]).await;
    remove(registry, &last).await;
}

fn service(name: &str, version: &str, id: &str, port: u16) -> Service {
    let mut service = Service::new(name, version);
    service
        .nodes
        .push(Node::new(id, format!("127.0.0.1:{port}")));
    service
}

fn ids(services: &[Service]) -> Vec<String> {
    let nodes = services.iter().flat_map(|service| &service.nodes);
    let mut ids: Vec<_> = nodes.map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

async fn register(registry: &dyn Registry, service: &Service) {
    let options = RegisterOptions::with_ttl(Duration::from_secs(90));
    let registered = registry.register(service, options).await;
    assert!(
        registered.is_ok(),
        "{} registers: {registered:?}",
        service.name
    );
}

async fn remove(registry: &dyn Registry, service: &Service) {
    let mut reduced = Service::new(&*service.name, &*service.version);
    for node in &service.nodes {
        reduced.nodes.push(Node::new(&*node.id, &*node.address));
    }
    let removed = registry.deregister(&reduced).await;
    assert!(removed.is_ok(), "{} deregisters: {removed:?}", service.name);
}

/// Asks until the answer is right: registries may take a moment.
async fn settled(
    registry: &dyn Registry,
    name: &str,
    right: impl Fn(&[Service]) -> bool,
) -> Vec<Service> {
    let mut last = Vec::new();
    let ask = async {
        loop {
            last = match registry.get(name).await {
                Ok(found) => found,
                Err(error) if error.code() == 404 => Vec::new(),
                Err(error) => panic!("{name} cannot be looked up: {error}"),
            };
            // A version whose nodes are all gone may still be told.
            last.retain(|service| !service.nodes.is_empty());
            if right(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let settled = timeout(SOON, ask).await;
    assert!(settled.is_ok(), "{name} stays at {last:?}");
    last
}

async fn watch(registry: &dyn Registry, name: &str) -> Box<dyn Watcher> {
    match registry.watch(Some(name)).await {
        Ok(watcher) => watcher,
        Err(error) => panic!("{name} cannot be watched: {error}"),
    }
}

/// Waits for an event that is right, past others of the same name.
async fn told(watcher: &mut dyn Watcher, name: &str, right: impl Fn(&Event) -> bool) {
    let mut seen = Vec::new();
    let wait = async {
        loop {
            match watcher.next().await {
                Ok(event) => {
                    assert_eq!(event.service.name, name, "a watch tells of its name alone");
                    if right(&event) {
                        return;
                    }
                    seen.push(event);
                }
                Err(error) => panic!("the watch of {name} ended: {error}"),
            }
        }
    };
    let told = timeout(SOON, wait).await;
    assert!(told.is_ok(), "the watch of {name} told only {seen:?}");
}
