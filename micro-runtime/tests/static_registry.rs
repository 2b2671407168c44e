//! The registry of addresses that somebody wrote down.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "cli")]
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use micro_runtime::registry::{Action, Event, Node, RegisterOptions, Registry, Service, Static};
use micro_runtime::registry::{Reach, Watcher};
use micro_runtime::tasks::Tasks;
use tokio::time::timeout;

async fn addresses(registry: &Static, name: &str) -> Vec<String> {
    let found = match registry.get(name).await {
        Ok(found) => found,
        Err(error) => {
            assert_eq!((error.code(), error.detail()), (404, "service not found"));
            return Vec::new();
        }
    };
    let nodes = found.into_iter().flat_map(|service| service.nodes);
    nodes.map(|node| node.address).collect()
}

async fn next(watcher: &mut dyn Watcher) -> (Action, String) {
    let event: Event = timeout(Duration::from_secs(60), watcher.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.service.nodes.len(), 1);
    (event.action, event.service.nodes[0].address.clone())
}

/// Writes a file that was changed `ago`, so that no test waits for clocks.
fn write(path: &Path, text: &str, ago: u64) {
    write_at(path, text, Tasks::new().now() - Duration::from_secs(ago));
}

fn write_at(path: &Path, text: &str, modified: SystemTime) {
    fs::write(path, text).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

#[tokio::test]
async fn addresses_are_given_as_pairs() {
    let given = [
        "greeter=10.0.0.1:8080",
        " greeter = [fd00::1]:8080 ",
        "go.micro.srv.x=h:1",
    ];
    let registry = Static::parse(&given, &Tasks::new()).unwrap();
    assert_eq!(
        addresses(&registry, "greeter").await,
        ["10.0.0.1:8080", "[fd00::1]:8080"]
    );
    assert_eq!(addresses(&registry, "go.micro.srv.x").await, ["h:1"]);
    assert!(addresses(&registry, "greet").await.is_empty());
    let names: Vec<_> = registry.list().await.unwrap();
    let names: Vec<_> = names.iter().map(|service| &*service.name).collect();
    assert_eq!(names, ["go.micro.srv.x", "greeter"]);
    assert_eq!(
        (registry.name(), registry.reach()),
        ("static", Reach::Network)
    );
}

#[test]
fn an_address_that_is_none_is_refused_with_what_is_wanted() {
    for (given, expected) in [
        (vec!["10.0.0.1:8080"], "give NAME=HOST:PORT, or file:PATH"),
        (vec!["=10.0.0.1:8080"], "one of them is missing"),
        (vec![], "give addresses, NAME=HOST:PORT"),
        (vec!["file:no such file"], "no such file: "),
    ] {
        let error = Static::parse(&given, &Tasks::new()).unwrap_err();
        assert_eq!(error.code(), 400);
        assert!(error.detail().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn registering_changes_nothing() {
    let mut own = Service::new("greeter", "1");
    own.nodes.push(Node::new("greeter-1", "10.0.0.9:1"));
    let registry = Static::new([own.clone()]);
    let mut other = own.clone();
    other.nodes[0].address = "10.0.0.8:1".into();
    let options = RegisterOptions::default();
    registry.register(&other, options).await.unwrap();
    assert_eq!(addresses(&registry, "greeter").await, ["10.0.0.9:1"]);
    registry.deregister(&own).await.unwrap();
    assert_eq!(addresses(&registry, "greeter").await, ["10.0.0.9:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_changes_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services.txt");
    write(&path, "greeter a:1\nother x:1\n", 60);
    let registry = Static::file(&path, &Tasks::new()).unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut all = registry.watch(None).await.unwrap();
    write(&path, "greeter b:1\nother x:1\n", 50);
    for watcher in [&mut *watcher, &mut *all] {
        assert_eq!(next(watcher).await, (Action::Create, "b:1".into()));
        assert_eq!(next(watcher).await, (Action::Delete, "a:1".into()));
    }
    // Of the same length, and moved over the old one.
    let other = folder.path().join("other");
    write(&other, "greeter c:1\nother x:1\n", 50);
    fs::rename(&other, &path).unwrap();
    assert_eq!(next(&mut *watcher).await, (Action::Create, "c:1".into()));
    assert_eq!(next(&mut *watcher).await, (Action::Delete, "b:1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_makes_no_sense_changes_nothing_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services.json");
    write(&path, r#"{"greeter": ["a:1"]}"#, 60);
    let tasks = Tasks::new();
    let registry = Static::parse(&[format!("file:{}", path.display())], &tasks).unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    for broken in ["{\"greeter\": [", "greeter\n", "\u{0}"] {
        write(&path, broken, 50);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(addresses(&registry, "greeter").await, ["a:1"]);
    }
    fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(addresses(&registry, "greeter").await, ["a:1"]);
    write(&path, r#"{"greeter": ["a:1", "b:1"]}"#, 40);
    assert_eq!(next(&mut *watcher).await, (Action::Create, "b:1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services");
    write(&path, "greeter a:1\ngreeter b:1\n", 60);
    let tasks = Tasks::new();
    let registry = Static::file(&path, &tasks).unwrap();
    // Its writer has come to the first line.
    write_at(&path, "greeter a:1\n", tasks.now());
    assert_eq!(addresses(&registry, "greeter").await, ["a:1", "b:1"]);
    write_at(&path, "greeter a:1\ngreeter c:1\n", tasks.now());
    tokio::time::advance(Duration::from_millis(201)).await;
    assert_eq!(addresses(&registry, "greeter").await, ["a:1", "c:1"]);
    // Changed once more within what a coarse clock tells apart: neither time nor length differ.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "greeter a:1\ngreeter d:1\n").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before).unwrap();
    assert_eq!(addresses(&registry, "greeter").await, ["a:1", "d:1"]);
}

#[tokio::test(start_paused = true)]
async fn files_are_only_polled_while_somebody_watches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services");
    write(&path, "greeter a:1\n", 60);
    let tasks = Tasks::new();
    let registry = Static::file(&path, &tasks).unwrap();
    let first = registry.watch(Some("greeter")).await.unwrap();
    let second = registry.watch(None).await.unwrap();
    assert_eq!(tasks.running(), 1);
    drop((first, second));
    tasks.idle().await;
    let mut third = registry.watch(Some("greeter")).await.unwrap();
    assert_eq!(tasks.running(), 1);
    write(&path, "greeter b:1\n", 50);
    assert_eq!(next(&mut *third).await, (Action::Create, "b:1".into()));
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn a_client_calls_the_addresses_of_its_flags() {
    use micro_runtime::registry::Memory;
    use micro_runtime::{Service, registry::NodeEntry, selector::Filter};
    use support::{Say, frame, words};

    let mut running = Vec::new();
    let mut addresses = Vec::new();
    for number in 0..2 {
        let say = Say::hello(move |_, _| async move { Ok(frame(number.to_string())) });
        // It is registered elsewhere: the addresses are all that the client is told.
        let service = Service::new("greeter").registry(Memory::new()).handle(say);
        let service = service.linger(Duration::ZERO).start().await.unwrap();
        addresses.push(format!("greeter={}", service.address()));
        running.push(service);
    }
    let flags = [
        "caller".to_owned(),
        "--registry=static".to_owned(),
        format!("--registry_address={}", addresses.join(",")),
        "--selector=roundrobin".to_owned(),
    ];
    let none: [(&str, &str); 0] = [];
    let caller = Service::new("caller").init_from(flags, none).unwrap();
    let call = || caller.client().request("greeter", "Say.Hello", frame("x"));
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(words(&call().await.unwrap()));
    }
    told.sort();
    assert_eq!(told, ["0", "0", "1", "1"]);
    let second = addresses[1].trim_start_matches("greeter=").to_owned();
    let only = Filter::from(move |node: &NodeEntry| node.address() == second);
    assert_eq!(words(&call().filter(only).await.unwrap()), "1");
    drop(caller);
    for service in running {
        service.stop().await.unwrap();
    }
}
