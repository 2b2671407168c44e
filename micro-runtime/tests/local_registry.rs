//! The registry of files: private, alive as long as the owners, untroubled by rubbish.
#![cfg(all(unix, feature = "local"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::registry::{Action, Local, Node, RegisterOptions, Registry, Service};
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::registry_contract;
use tempfile::TempDir;

/// The folder that a child process registers in; set, this test binary is that child.
const CHILD_FOLDER: &str = "LOCAL_REGISTRY_TEST_FOLDER";

fn service(name: &str, id: &str) -> Service {
    let mut service = Service::new(name, "1");
    service.nodes.push(Node::new(id, "127.0.0.1:1"));
    service
}

fn local(home: &TempDir) -> Local {
    Local::at(home.path().join("micro"), &Tasks::new()).unwrap()
}

async fn register(registry: &Local, service: &Service) {
    registry
        .register(service, RegisterOptions::default())
        .await
        .unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn local_keeps_the_contract() {
    let home = TempDir::new().unwrap();
    registry_contract(async || Arc::new(local(&home)) as Arc<dyn Registry>).await;
}

#[tokio::test]
async fn what_one_handle_registers_another_finds_until_it_is_dropped() {
    let home = TempDir::new().unwrap();
    let (owner, reader) = (local(&home), local(&home));
    register(&owner, &service("greeter", "a")).await;
    register(&owner, &service("greeter", "b")).await;
    let found = reader.get("greeter").await.unwrap();
    assert_eq!(found[0].nodes.len(), 2);
    drop(owner);
    assert_eq!(reader.get("greeter").await.unwrap_err().code(), 404);
    assert_eq!(files(reader.folder()), [""; 0]);
}

#[tokio::test]
async fn registering_again_writes_only_what_changed_or_was_lost() {
    let home = TempDir::new().unwrap();
    let registry = local(&home);
    let mut greeter = service("greeter", "a");
    register(&registry, &greeter).await;
    let first = files(registry.folder());
    register(&registry, &greeter).await;
    assert_eq!(files(registry.folder()), first);
    greeter.nodes[0].address = "127.0.0.1:2".into();
    register(&registry, &greeter).await;
    assert_ne!(files(registry.folder()), first);
    assert_eq!(registry.get("greeter").await.unwrap(), [greeter.clone()]);
    fs::remove_dir_all(home.path().join("micro")).unwrap();
    assert_eq!(registry.get("greeter").await.unwrap_err().code(), 404);
    register(&registry, &greeter).await;
    assert_eq!(registry.get("greeter").await.unwrap(), [greeter]);
}

#[tokio::test]
async fn rubbish_in_the_folder_is_harmless() {
    let home = TempDir::new().unwrap();
    let registry = local(&home);
    let folder = registry.folder();
    register(&registry, &service("greeter", "a")).await;
    // Nobody's: removed, whatever it says.
    fs::write(folder.join("greeter~1.node"), "{").unwrap();
    fs::write(folder.join("greeter~2.node"), "").unwrap();
    // Not ours to judge: left alone.
    fs::write(folder.join("notes.txt"), "hello").unwrap();
    fs::create_dir(folder.join("greeter~3.node")).unwrap();
    symlink("greeter~4.node", folder.join("greeter~4.node")).unwrap();
    Command::new("mkfifo")
        .arg(folder.join("greeter~5.node"))
        .status()
        .unwrap();
    // Locked by somebody who lives, and yet rubbish: truncated, huge, of another kind.
    let mut held = Vec::new();
    for (name, text) in [
        (
            "greeter~6.node",
            r#"{"name":"greeter","nodes":[{"id":"#.to_owned(),
        ),
        ("greeter~7.node", " ".repeat(2 << 20)),
        ("greeter~8.node", "[1,2,3]".to_owned()),
        ("greeter~9.node", "[".repeat(100_000)),
    ] {
        fs::write(folder.join(name), text).unwrap();
        let file = fs::File::open(folder.join(name)).unwrap();
        file.lock().unwrap();
        held.push(file);
    }
    for _ in 0..2 {
        let found = registry.get("greeter").await.unwrap();
        assert_eq!(found, [service("greeter", "a")]);
    }
    assert!(!folder.join("greeter~1.node").exists());
    assert!(!folder.join("greeter~2.node").exists());
    assert!(folder.join("notes.txt").exists());
    assert!(folder.join("greeter~6.node").exists());
}

#[tokio::test]
async fn what_a_dying_writer_left_is_cleared_away() {
    let home = TempDir::new().unwrap();
    let folder = local(&home).folder().to_owned();
    fs::write(folder.join(".greeter~1.unfinished"), "{").unwrap();
    let _again = local(&home);
    assert_eq!(files(&folder), [""; 0]);
}

#[tokio::test]
async fn folders_that_others_can_enter_are_refused() {
    let home = TempDir::new().unwrap();
    let open = home.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Local::at(&open, &Tasks::new()).unwrap_err();
    assert_eq!(error.code(), 403, "{error}");
    assert!(error.detail().contains("0700"), "{error}");

    let private = home.path().join("private");
    fs::DirBuilder::new().mode(0o700).create(&private).unwrap();
    symlink(&private, home.path().join("link")).unwrap();
    let error = Local::at(home.path().join("link"), &Tasks::new()).unwrap_err();
    assert!(error.detail().contains("is not a folder"), "{error}");
    Local::at(&private, &Tasks::new()).unwrap();
}

#[tokio::test]
async fn our_own_folders_are_private() {
    let home = TempDir::new().unwrap();
    let registry = local(&home);
    for folder in [registry.folder(), registry.folder().parent().unwrap()] {
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

/// Not a test by itself: what the child process of the tests below does.
#[tokio::test]
async fn child_that_registers_and_waits() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let registry = Local::at(folder, &Tasks::new()).unwrap();
    register(&registry, &service("greeter", "child")).await;
    println!("registered");
    std::future::pending::<()>().await;
}

fn child(home: &TempDir) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_registers_and_waits", "--nocapture"])
        .env(CHILD_FOLDER, home.path().join("micro"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    output
        .lines()
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("registered")))
        .expect("the child registers")
        .unwrap();
    child
}

#[tokio::test]
async fn a_killed_process_takes_its_nodes_with_it() {
    let home = TempDir::new().unwrap();
    let registry = local(&home);
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut child = child(&home);
    assert_eq!(
        registry.get("greeter").await.unwrap(),
        [service("greeter", "child")]
    );
    let event = watcher.next().await.unwrap();
    assert_eq!(event.action, Action::Create);
    // SIGKILL: the child has no chance to clean up.
    child.kill().unwrap();
    child.wait().unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), watcher.next()).await;
    assert_eq!(event.unwrap().unwrap().action, Action::Delete);
    assert_eq!(registry.get("greeter").await.unwrap_err().code(), 404);
    assert_eq!(files(registry.folder()), [""; 0]);
}
