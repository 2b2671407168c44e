//! What settings make of a service.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::path::Path;
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::registry::{Memory, Registry};
use micro_runtime::tasks::Tasks;
use micro_runtime::{Result, Service};
use support::moody::Moody;
use support::{Say, World, frame};
use tokio::time::sleep;

const NO_ENV: [(&str, &str); 0] = [];

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("micro.json");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_code_says_of_renewals_stays_beside_flags_that_say_other_things() {
    let (world, registry) = (World::default(), Moody::default());
    let service = world
        .service("a", "braid")
        .registry(registry.clone())
        .register_ttl(Duration::from_secs(45))
        .register_interval(Duration::from_secs(15))
        .retries(2);
    let args = ["a", "--server_version=1.2.0", "--client_pool_size=7"];
    let env = [("MICRO_SERVER_METADATA", "region=eu")];
    let running = service.init_from(args, env).unwrap().start().await.unwrap();
    assert_eq!(running.entry().version, "1.2.0");
    let asked = *registry.last.lock().unwrap();
    assert_eq!(asked.ttl, Some(Duration::from_secs(45)));
    sleep(Duration::from_secs(46)).await;
    assert_eq!(registry.counts().0, 4, "every 15 s");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flag_goes_before_a_variable_and_that_before_a_file_and_that_before_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(
        folder.path(),
        r#"{"server": {"id": "file", "version": "file", "metadata": {"of": "file"}}}"#,
    );
    let env = || [("MICRO_CONFIG", &*file), ("MICRO_SERVER_VERSION", "env")];
    let code = || {
        World::default()
            .service("code", "braid")
            .id("code")
            .version("code")
            .metadata("of", "code")
            .register_ttl(Duration::from_secs(7))
    };
    let started = async |service: Result<Service>| service.unwrap().start().await.unwrap();
    let running = started(code().init_from(["x", "--server_id=flag"], env())).await;
    let entry = running.entry().clone();
    let node = entry.nodes.first().unwrap();
    assert_eq!(node.id, "code-flag");
    assert_eq!(entry.version, "env");
    assert_eq!(node.metadata.get("of").unwrap(), "file");
    running.stop().await.unwrap();

    // The same, as a person is told it.
    let args = ["x", "--server_id=flag", "--explain-config"];
    let told = code().init_from(args, env()).unwrap_err();
    let line = |name: &str| {
        let line = told.detail().lines().find(|line| line.starts_with(name));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("server_id "), "server_id flag flag");
    assert_eq!(
        line("server_version "),
        "server_version env environment MICRO_SERVER_VERSION"
    );
    assert_eq!(
        line("server_metadata "),
        format!("server_metadata of=file file {file}:1")
    );
    assert_eq!(line("register_ttl "), "register_ttl 7 code");
    assert_eq!(line("register_interval "), "register_interval 30 default");
}

#[tokio::test(start_paused = true)]
async fn a_client_and_a_server_in_memory_by_a_flag_reach_each_other() {
    let service = Service::new("a").registry(Memory::new());
    let service = service.init_from(["x", "--transport=memory"], NO_ENV);
    let say = Say::hello(|_, frame| async move { Ok(frame) });
    let running = service.unwrap().handle(say).start().await.unwrap();
    let call = running.client().request("a", "Say.Hello", frame("x"));
    call.await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_that_only_calls_opens_nothing_but_its_calls() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("registry");
    let at = at.to_str().unwrap();
    let env = [("MICRO_REGISTRY", "local"), ("MICRO_REGISTRY_ADDRESS", at)];
    let say = Say::hello(|_, frame| async move { Ok(frame) });
    let server = Service::new("a").linger(Duration::ZERO).handle(say);
    let server = server.init_from(["a"], env).unwrap().start().await.unwrap();
    let files = || std::fs::read_dir(at).unwrap().count();
    let with_server = files();

    let tasks = Tasks::new();
    let caller = Service::new("caller").tasks(tasks.clone());
    let caller = caller.init_from(["caller"], env).unwrap();
    let client = caller.client().clone();
    assert_eq!(tasks.running(), 0, "nothing runs before the first call");
    let reply = client.request("a", "Say.Hello", frame("x")).await.unwrap();
    assert_eq!(reply, Frame("x".into()));
    assert_eq!(files(), with_server, "it is registered nowhere");

    // It needs no end of its own.
    drop((caller, client));
    tokio::time::timeout(Duration::from_secs(10), tasks.idle())
        .await
        .unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_registry_that_settings_choose_is_made_once() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = count.clone();
    let service = Service::new("a").plug_registry("mine", move |_| {
        counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(std::sync::Arc::new(Memory::new()) as std::sync::Arc<dyn Registry>)
    });
    let service = service.init_from(["a", "--registry=mine"], NO_ENV).unwrap();
    let _ = service.client();
    let running = service.linger(Duration::ZERO).start().await.unwrap();
    let health = running
        .client()
        .request("a", "Debug.Health", Frame::default());
    health.await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}
