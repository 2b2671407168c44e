//! Registration, its renewal and its end.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::registry::consul::Options;
use micro_runtime::registry::{Consul, Node, RegisterOptions, Registry, Service};
use micro_runtime::tasks::Tasks;

use crate::agent::{Agent, Answer, Asked};

fn service(port: u16) -> Service {
    let mut service = Service::new("s", "1");
    let mut node = Node::new("s-1", format!("127.0.0.1:{port}"));
    node.metadata.insert("protocol".into(), "mucp".into());
    service.nodes.push(node);
    service
}

fn ttl() -> RegisterOptions {
    RegisterOptions::with_ttl(Duration::from_secs(60))
}

const REGISTER: &str = "PUT /v1/agent/service/register";
const PASS: &str = "PUT /v1/agent/check/pass/service:s-1?note=";
const DEREGISTER: &str = "PUT /v1/agent/service/deregister/s-1";

#[tokio::test]
async fn what_has_not_changed_only_passes() {
    let agent = Agent::willing().await;
    let registry = agent.registry();
    registry.register(&service(1), ttl()).await.unwrap();
    assert_eq!(agent.lines(), [REGISTER, PASS]);
    registry.register(&service(1), ttl()).await.unwrap();
    assert_eq!(agent.lines(), [PASS]);
    registry.register(&service(2), ttl()).await.unwrap();
    let asked = agent.asked();
    assert_eq!(asked[0].json()["Port"], 2);
    assert_eq!(
        asked.iter().map(Asked::line).collect::<Vec<_>>(),
        [REGISTER, PASS]
    );
    registry.deregister(&service(2)).await.unwrap();
    assert_eq!(agent.lines(), [DEREGISTER]);
    registry.register(&service(2), ttl()).await.unwrap();
    assert_eq!(
        agent.lines(),
        [REGISTER, PASS],
        "after deregistration all is told again"
    );
}

#[tokio::test]
async fn two_nodes_of_one_name_do_not_forget_each_other() {
    let agent = Agent::willing().await;
    let registry = agent.registry();
    let mut both = service(1);
    both.nodes.push(Node::new("s-2", "127.0.0.1:2"));
    let other = "PUT /v1/agent/check/pass/service:s-2?note=";
    registry.register(&both, ttl()).await.unwrap();
    assert_eq!(agent.lines(), [REGISTER, PASS, REGISTER, other]);
    registry.register(&both, ttl()).await.unwrap();
    assert_eq!(agent.lines(), [PASS, other]);
}

#[tokio::test]
async fn an_agent_that_has_forgotten_is_told_again() {
    for status in [404, 500, 403] {
        let forgot = Arc::new(AtomicBool::new(false));
        let said = forgot.clone();
        let agent = Agent::start(move |asked| {
            let passes = asked.path().starts_with("/v1/agent/check/pass/");
            match passes && said.swap(false, Ordering::SeqCst) {
                true => Answer::Status(status, 1, "Unknown check ID".into()),
                false => Answer::ok(""),
            }
        })
        .await;
        let registry = agent.registry();
        registry.register(&service(1), ttl()).await.unwrap();
        agent.lines();
        forgot.store(true, Ordering::SeqCst);
        registry.register(&service(1), ttl()).await.unwrap();
        assert_eq!(agent.lines(), [PASS, REGISTER, PASS], "{status}");
    }
}

#[tokio::test]
async fn what_failed_is_told_whole_the_next_time() {
    let fails = Arc::new(AtomicBool::new(true));
    let said = fails.clone();
    let agent = Agent::start(move |asked| {
        let registers = asked.path() == "/v1/agent/service/register";
        match !registers && said.swap(false, Ordering::SeqCst) {
            true => Answer::Status(500, 1, "rpc error".into()),
            false => Answer::ok(""),
        }
    })
    .await;
    let registry = agent.registry();
    let error = registry.register(&service(1), ttl()).await.unwrap_err();
    assert!(error.detail().contains("rpc error"), "{error}");
    agent.lines();
    registry.register(&service(1), ttl()).await.unwrap();
    assert_eq!(agent.lines(), [REGISTER, PASS]);
}

#[tokio::test]
async fn without_a_ttl_consul_is_only_asked_whether_it_knows_the_node() {
    let status = Arc::new(AtomicU16::new(200));
    let said = status.clone();
    let agent = Agent::start(move |asked| match asked.method.as_str() {
        "GET" => Answer::Status(said.load(Ordering::SeqCst), 1, "{}".into()),
        _ => Answer::ok(""),
    })
    .await;
    let forever = RegisterOptions::default();
    let secs = Duration::from_secs;
    for (options, options_of, check) in [
        (Options::new(), forever, None),
        (
            Options::new().tcp_check(secs(10)),
            ttl(),
            Some(("TCP", "127.0.0.1:1")),
        ),
        (
            Options::new().http_check(8080, "/health", secs(10), secs(2)),
            ttl(),
            Some(("HTTP", "http://127.0.0.1:8080/health")),
        ),
    ] {
        let registry = Consul::with(options.address(&*agent.address), &Tasks::new()).unwrap();
        status.store(200, Ordering::SeqCst);
        registry.register(&service(1), options_of).await.unwrap();
        let asked = agent.asked();
        let [register] = &asked[..] else {
            panic!("a check that is not ours is not passed: {asked:?}");
        };
        let body = register.json();
        match check {
            None => assert!(body["Check"].is_null()),
            Some((kind, value)) => {
                assert_eq!(body["Check"][kind], value);
                assert!(body["Check"]["TTL"].is_null(), "{body}");
            }
        }
        registry.register(&service(1), options_of).await.unwrap();
        assert_eq!(agent.lines(), ["GET /v1/agent/service/s-1"]);
        status.store(404, Ordering::SeqCst);
        registry.register(&service(1), options_of).await.unwrap();
        assert_eq!(agent.lines(), ["GET /v1/agent/service/s-1", REGISTER]);
    }
}

#[tokio::test]
async fn a_node_that_consul_does_not_know_is_deregistered() {
    for (status, text, good) in [
        (200, "", true),
        (404, "Unknown service ID \"s-1\"", true),
        (500, "Unknown service \"s-1\"", true),
        (500, "rpc error", false),
        (403, "Permission denied", false),
    ] {
        let agent = Agent::start(move |_| Answer::Status(status, 1, text.into())).await;
        let gone = agent.registry().deregister(&service(1)).await;
        assert_eq!(gone.is_ok(), good, "{status} {text}: {gone:?}");
    }
}

#[tokio::test]
async fn the_next_agent_is_used_where_one_does_not_answer_and_both_are_told_of_the_end() {
    let silent = Arc::new(AtomicBool::new(false));
    let said = silent.clone();
    let first = Agent::start(move |_| match said.load(Ordering::SeqCst) {
        true => Answer::Raw(Vec::new()),
        false => Answer::ok(""),
    })
    .await;
    let second = Agent::start(|asked| match asked.path().contains("/check/pass/") {
        true => Answer::Status(404, 1, "Unknown check ID".into()),
        false => Answer::ok("{}"),
    })
    .await;
    let addresses = [first.address.clone(), second.address.clone()];
    let registry = Consul::new(addresses, &Tasks::new()).unwrap();
    registry.register(&service(1), ttl()).await.unwrap();
    assert_eq!((first.lines().len(), second.lines().len()), (2, 0));

    silent.store(true, Ordering::SeqCst);
    let error = registry.register(&service(1), ttl()).await.unwrap_err();
    assert!(error.detail().contains("Unknown check"), "{error}");
    assert_eq!(second.lines(), [PASS, REGISTER, PASS]);
    // It stays with the one that answers.
    silent.store(false, Ordering::SeqCst);
    first.lines();
    registry.list().await.unwrap();
    assert_eq!(second.lines(), ["GET /v1/catalog/services?stale="]);
    registry.deregister(&service(1)).await.unwrap();
    assert_eq!(
        (second.lines(), first.lines()),
        (vec![DEREGISTER.to_owned()], vec![DEREGISTER.to_owned()])
    );
}

#[tokio::test]
async fn who_deregisters_again_after_an_error_reaches_all_agents_that_were_told() {
    let down = Arc::new(Mutex::new([false; 2]));
    let agent = |number: usize| {
        let down = down.clone();
        Agent::start(move |_| match down.lock().unwrap()[number] {
            true => Answer::Raw(Vec::new()),
            false => Answer::ok(""),
        })
    };
    let (first, second) = (agent(0).await, agent(1).await);
    let addresses = [first.address.clone(), second.address.clone()];
    let registry = Consul::new(addresses, &Tasks::new()).unwrap();
    registry.register(&service(1), ttl()).await.unwrap();
    *down.lock().unwrap() = [true, false];
    // It has changed: the second is told.
    registry.register(&service(2), ttl()).await.unwrap();
    *down.lock().unwrap() = [true, true];
    registry.deregister(&service(2)).await.unwrap_err();
    *down.lock().unwrap() = [false, false];
    first.lines();
    second.lines();
    registry.deregister(&service(2)).await.unwrap();
    let each = vec![DEREGISTER.to_owned()];
    assert_eq!((first.lines(), second.lines()), (each.clone(), each));
    // Once is enough.
    registry.deregister(&service(2)).await.unwrap();
    assert_eq!((first.lines().len(), second.lines().len()), (0, 1));
}

#[tokio::test]
async fn every_question_shows_the_token_and_names_datacenter_and_namespace() {
    let agent = Agent::willing().await;
    let options = Options::new()
        .address(&*agent.address)
        .token("s3cret")
        .auth("user", "pass")
        .datacenter("dc 2")
        .namespace("team/a");
    let registry = Consul::with(options, &Tasks::new()).unwrap();
    registry.register(&service(1), ttl()).await.unwrap();
    registry.register(&service(1), ttl()).await.unwrap();
    registry.get("s").await.unwrap_err();
    registry.list().await.unwrap_err();
    registry.watch(Some("s")).await.unwrap();
    registry.deregister(&service(1)).await.unwrap();
    let asked = agent.asked();
    assert_eq!(asked.len(), 7);
    for asked in asked {
        assert_eq!(asked.header("x-consul-token"), Some("s3cret"));
        assert_eq!(asked.header("authorization"), Some("Basic dXNlcjpwYXNz"));
        assert_eq!(asked.query("dc"), Some("dc%202"), "{}", asked.target);
        assert_eq!(asked.query("ns"), Some("team%2Fa"), "{}", asked.target);
    }
    assert!(!format!("{registry:?}").contains("s3cret"));
}

#[tokio::test]
async fn names_and_ids_are_escaped() {
    let agent = Agent::willing().await;
    let registry = agent.registry();
    let mut odd = Service::new("a/b?c#d e", "1");
    odd.nodes.push(Node::new("a/b?c#d é", "127.0.0.1:1"));
    registry.register(&odd, ttl()).await.unwrap();
    registry.get(&odd.name).await.unwrap_err();
    registry.deregister(&odd).await.unwrap();
    assert_eq!(
        agent.lines()[1..],
        [
            "PUT /v1/agent/check/pass/service:a%2Fb%3Fc%23d%20%C3%A9?note=",
            "GET /v1/health/service/a%2Fb%3Fc%23d%20e?stale=",
            "PUT /v1/agent/service/deregister/a%2Fb%3Fc%23d%20%C3%A9",
        ]
    );
}
