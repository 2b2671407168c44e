//! Watches: blocking queries to an agent that holds them until its state changes.

use std::time::Duration;

use micro_runtime::registry::{Action, Consul, Event, Registry, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::agent::{Agent, Answer, Asked, soon};

/// What the agent knows: the number of its state and the nodes' entries.
type State = watch::Sender<(u64, Vec<String>)>;

fn node(id: &str, port: u16, status: &str) -> String {
    format!(
        r#"{{"Node":{{}},"Service":{{"ID":"{id}","Service":"s","Address":"10.0.0.1","Port":{port}}},"Checks":[{{"CheckID":"service:{id}","Status":"{status}"}}]}}"#
    )
}

fn answer((index, nodes): &(u64, Vec<String>)) -> Answer {
    Answer::Status(200, *index, format!("[{}]", nodes.join(",")))
}

/// An agent that knows one node, at state 7.
async fn agent() -> (Agent, Consul, State) {
    let state = State::new((7, vec![node("a", 1, "passing")]));
    let shown = state.clone();
    let (agent, registry) = Agent::in_memory(move |asked| match known_index(asked) {
        None => answer(&shown.borrow()),
        Some(known) => {
            let mut changes = shown.subscribe();
            Answer::later(async move {
                let changed = changes.wait_for(|(index, _)| *index != known);
                let _ = timeout(Duration::from_secs(55), changed).await;
                let now = changes.borrow().clone();
                answer(&now)
            })
        }
    })
    .await;
    (agent, registry, state)
}

fn known_index(asked: &Asked) -> Option<u64> {
    asked.query("index").map(|index| index.parse().unwrap())
}

async fn watched(registry: &Consul) -> Box<dyn Watcher> {
    registry.watch(Some("s")).await.unwrap()
}

fn told(event: &Event) -> (Action, &str, &str) {
    let [node] = &event.service.nodes[..] else {
        panic!("one node an event: {event:?}");
    };
    (event.action, &node.id, &node.address)
}

#[tokio::test(start_paused = true)]
async fn what_was_there_is_not_told_and_what_changes_is() {
    let (agent, registry, state) = agent().await;
    let mut watcher = watched(&registry).await;
    for (index, nodes, expected) in [
        (
            8,
            vec![("a", 1, "passing"), ("b", 2, "passing")],
            (Action::Create, "b", "10.0.0.1:2"),
        ),
        (
            9,
            vec![("a", 1, "passing"), ("b", 3, "passing")],
            (Action::Update, "b", "10.0.0.1:3"),
        ),
        (
            10,
            vec![("a", 1, "critical"), ("b", 3, "passing")],
            (Action::Expire, "a", "10.0.0.1:1"),
        ),
        (
            11,
            vec![("b", 3, "passing")],
            (Action::Expire, "a", "10.0.0.1:1"),
        ),
        (12, vec![], (Action::Delete, "b", "10.0.0.1:3")),
    ] {
        let nodes = nodes
            .into_iter()
            .map(|(id, port, status)| node(id, port, status));
        state.send_replace((index, nodes.collect()));
        let event = soon(watcher.next()).await.unwrap();
        assert_eq!(told(&event), expected);
    }
    let asked = agent.asked();
    assert_eq!(
        asked[0].target, "/v1/health/service/s",
        "the first is answered at once, by the leader"
    );
    for (asked, index) in asked[1..].iter().zip(7..) {
        assert_eq!(known_index(asked), Some(index));
        let wait = asked.query("wait").unwrap().trim_end_matches("ms");
        assert!(
            (50_000..=60_000).contains(&wait.parse::<u64>().unwrap()),
            "{wait}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn many_changes_at_once_come_as_the_state_that_they_lead_to() {
    let (agent, registry, state) = agent().await;
    let mut watcher = watched(&registry).await;
    assert!(
        timeout(Duration::from_millis(10), watcher.next())
            .await
            .is_err()
    );
    for n in 0..100 {
        state.send_replace((
            8 + n,
            vec![node("a", 1, "passing"), node("b", n as u16 + 1, "passing")],
        ));
        tokio::task::yield_now().await;
    }
    let mut last = String::new();
    while last != "10.0.0.1:100" {
        let event = soon(watcher.next()).await.unwrap();
        last = told(&event).2.to_owned();
    }
    assert!(
        agent.asked().len() < 6,
        "answers are not asked for as fast as changes come"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_goes_on() {
    let (agent, registry, state) = agent().await;
    let mut watcher = watched(&registry).await;
    for _ in 0..20 {
        let given_up = timeout(Duration::from_millis(100), watcher.next()).await;
        assert!(given_up.is_err());
    }
    state.send_replace((8, Vec::new()));
    let event = soon(watcher.next()).await.unwrap();
    assert_eq!(told(&event), (Action::Delete, "a", "10.0.0.1:1"));
    assert_eq!(agent.asked().len(), 2, "one question for all waits");
}

#[tokio::test(start_paused = true)]
async fn a_watch_lasts_while_nothing_changes() {
    let (agent, registry, _state) = agent().await;
    let mut watcher = watched(&registry).await;
    let quiet = timeout(Duration::from_secs(600), watcher.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let asked = agent.asked().len();
    assert!(
        (10..14).contains(&asked),
        "{asked} questions in ten minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_consul_that_has_lost_its_memory_ends_the_watch() {
    for (index, nodes) in [
        (3, vec![]),
        (0, vec![node("a", 1, "passing")]),
        (6, vec![node("b", 1, "passing")]),
    ] {
        let (_agent, registry, state) = agent().await;
        let mut watcher = watched(&registry).await;
        state.send_replace((index, nodes));
        let error = soon(watcher.next()).await.unwrap_err();
        assert!(error.detail().contains("lost its memory"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_goes_back_alone_is_no_loss() {
    // As Consul does: a question that waits is numbered by the name's last change.
    let (_agent, registry, state) = agent().await;
    let mut watcher = watched(&registry).await;
    state.send_replace((5, vec![node("a", 1, "passing"), node("b", 2, "passing")]));
    let event = soon(watcher.next()).await.unwrap();
    assert_eq!(told(&event).1, "b");
    state.send_replace((6, vec![node("a", 1, "passing")]));
    let event = soon(watcher.next()).await.unwrap();
    assert_eq!(told(&event), (Action::Delete, "b", "10.0.0.1:2"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_where_the_agent_fails() {
    for bad in [
        "",
        "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nrpc",
        "HTTP/1.1 200 OK\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nX-Consul-Index: 8\r\n\r\n[{",
    ] {
        let (agent, registry) = Agent::in_memory(move |asked| match known_index(asked) {
            None => answer(&(7, vec![node("a", 1, "passing")])),
            Some(_) => Answer::Raw(bad.as_bytes().to_vec()),
        })
        .await;
        let mut watcher = watched(&registry).await;
        let error = soon(watcher.next()).await.unwrap_err();
        assert!(error.detail().contains("agent:8500"), "{error}");
        // The next one that answers there may have lost its memory.
        assert_eq!(agent.asked().len(), 2, "what waited is not asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_ends_the_watch_after_its_wait() {
    let (_agent, registry) = Agent::in_memory(|asked| match known_index(asked) {
        None => answer(&(7, vec![])),
        Some(_) => Answer::Never,
    })
    .await;
    let mut watcher = watched(&registry).await;
    let begun = Instant::now();
    assert!(watcher.next().await.unwrap_err().is_timeout());
    let took = begun.elapsed().as_secs();
    assert!((50..70).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_wait_is_not_asked_without_pause() {
    let (agent, registry) = Agent::in_memory(|_| answer(&(7, vec![node("a", 1, "passing")]))).await;
    let mut watcher = watched(&registry).await;
    let quiet = timeout(Duration::from_secs(30), watcher.next()).await;
    assert!(quiet.is_err());
    assert!(agent.asked().len() <= 33);
}

#[tokio::test(start_paused = true)]
async fn of_many_watches_some_wait_and_the_others_look_now_and_then() {
    let (agent, registry, state) = agent().await;
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let mut watcher = watched(&registry).await;
        watchers.push(tokio::spawn(async move {
            let event = watcher.next().await.unwrap();
            (told(&event).0, watcher)
        }));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (waiting, looking): (Vec<_>, Vec<_>) = agent
        .asked()
        .into_iter()
        .partition(|asked| known_index(asked).is_some());
    assert_eq!(waiting.len(), 64);
    let looks = looking.len() - 100;
    assert!(
        (36..=72).contains(&looks),
        "{looks}, beside the first of each"
    );
    let begun = Instant::now();
    state.send_replace((8, Vec::new()));
    let mut ended = Vec::new();
    for watcher in watchers {
        let (action, watcher) = watcher.await.unwrap();
        assert_eq!(action, Action::Delete);
        ended.push(watcher);
    }
    assert!(
        begun.elapsed() <= Duration::from_secs(16),
        "{:?}",
        begun.elapsed()
    );
    drop(ended);
    agent.asked();
    let mut one_more = watched(&registry).await;
    assert!(
        timeout(Duration::from_secs(1), one_more.next())
            .await
            .is_err()
    );
    assert!(
        known_index(&agent.asked()[1]).is_some(),
        "there is room again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_is_older_than_what_a_watch_has_seen_is_repeated_at_the_leader() {
    let (agent, registry) = Agent::in_memory(|asked| match asked.query("stale") {
        Some(_) => answer(&(6, vec![])),
        None => answer(&(7, vec![node("a", 1, "passing")])),
    })
    .await;
    registry.get("s").await.unwrap_err();
    assert_eq!(agent.lines().len(), 1);
    let watcher = watched(&registry).await;
    agent.lines();
    assert_eq!(registry.get("s").await.unwrap()[0].nodes.len(), 1);
    assert_eq!(
        agent.lines(),
        [
            "GET /v1/health/service/s?stale=",
            "GET /v1/health/service/s"
        ]
    );
    drop(watcher);
    registry.get("s").await.unwrap_err();
    assert_eq!(agent.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_names_at_once_are_not_watched_and_that_is_said() {
    let (_agent, registry, _state) = agent().await;
    let error = registry.watch(None).await.unwrap_err();
    assert!(error.detail().contains("one name"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn where_the_checks_of_all_nodes_fail_the_watch_ends_and_its_owner_asks_anew() {
    let (_agent, registry, state) = agent().await;
    let two = |a, b| vec![node("a", 1, a), node("b", 1, b)];
    state.send_replace((8, two("passing", "passing")));
    let mut watcher = watched(&registry).await;
    state.send_replace((9, two("critical", "passing")));
    let event = watcher.next().await.unwrap();
    assert_eq!(told(&event).0, Action::Expire);
    state.send_replace((10, two("critical", "critical")));
    let error = watcher.next().await.unwrap_err();
    assert_eq!(error.code(), 503, "{error}");
}
