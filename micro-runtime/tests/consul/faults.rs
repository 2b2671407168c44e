//! Agents that misbehave: each question ends in time, with words that say who and what.

use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::registry::{Consul, Node, RegisterOptions, Registry, Service};
use micro_runtime::tasks::Tasks;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::agent::{Agent, Answer, SOON, soon};

/// Every question there is, and what comes of each.
async fn errors(registry: &Consul) -> Vec<(&'static str, Option<Error>)> {
    let mut service = Service::new("s", "1");
    service.nodes.push(Node::new("s-1", "127.0.0.1:1"));
    let ttl = RegisterOptions::with_ttl(Duration::from_secs(60));
    vec![
        ("register", registry.register(&service, ttl).await.err()),
        ("deregister", registry.deregister(&service).await.err()),
        ("get", registry.get("s").await.err()),
        ("list", registry.list().await.err()),
        ("watch", registry.watch(Some("s")).await.err()),
    ]
}

/// Fails unless each question to `registry` fails with all of `words`.
async fn assert_fails(registry: &Consul, words: &[&str]) {
    for (what, error) in soon(errors(registry)).await {
        let told = error
            .unwrap_or_else(|| panic!("{what} is no error"))
            .to_string();
        for word in words {
            assert!(told.contains(word), "{what}: no {word:?} in: {told}");
        }
    }
}

#[tokio::test]
async fn a_status_that_is_not_good_is_told_with_its_text() {
    for (status, words) in [
        (500, "No cluster leader"),
        (403, "CONSUL_HTTP_TOKEN"),
        (401, "CONSUL_HTTP_AUTH"),
        (429, "http_max_conns_per_client"),
        (301, "something else in its place"),
        (400, "No cluster leader"),
    ] {
        let agent =
            Agent::start(move |_| Answer::Status(status, 1, "No cluster leader".into())).await;
        let (address, status) = (agent.address.clone(), status.to_string());
        assert_fails(&agent.registry(), &[&address, &status, words]).await;
    }
}

#[tokio::test]
async fn what_is_no_answer_of_consul_is_told_with_its_beginning() {
    let page = format!("<html>\n<h1>Welcome</h1>{}</html>", "x".repeat(5000));
    for body in [&*page, "", "null", "7", "{\"a\"", "[", "[{]", "\u{0}"] {
        let body = body.to_owned();
        let agent = Agent::start({
            let body = body.clone();
            move |_| Answer::ok(body.clone())
        })
        .await;
        for (what, error) in errors(&agent.registry()).await {
            match error {
                // Nothing is read of an answer to these.
                None => assert!(what.ends_with("register"), "{what} takes {body:?}"),
                Some(error) => {
                    let told = error.to_string();
                    assert!(told.contains(&agent.address), "{told}");
                    assert!(told.len() < 600, "{told}");
                    assert!(!body.starts_with('<') || told.contains("Welcome"), "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn half_an_answer_and_one_without_end_are_errors() {
    for bytes in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"Node\":",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n[",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[",
        "HTTP/1.1 200 OK\r\nX: é\u{0}\r\n\r\n[]",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{46}",
    ] {
        let agent = Agent::start(move |_| Answer::Raw(bytes.as_bytes().to_vec())).await;
        assert_fails(&agent.registry(), &[&agent.address, "CONSUL_HTTP_ADDR"]).await;
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let flood = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\n\r\n[";
        socket.write_all(head).await.unwrap();
        // Until the client closes.
        while socket.write_all(&[b' '; 64 * 1024]).await.is_ok() {}
    };
    let registry = Consul::new([&*address], &Tasks::new()).unwrap();
    let (found, ()) = soon(async { tokio::join!(registry.get("s"), flood) }).await;
    assert!(found.unwrap_err().code() >= 408);
}

#[tokio::test]
async fn where_nobody_listens_it_is_said_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let registry = Consul::new([&*address], &Tasks::new()).unwrap();
    assert_fails(
        &registry,
        &[&address, "does it run there?", "--registry_address"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_holds_nothing_up() {
    let (_agent, registry) = Agent::in_memory(|_| Answer::Never).await;
    let begun = Instant::now();
    let errors = errors(&registry).await;
    // Services give their registry ten seconds, and are to hear why it fails.
    let each = begun.elapsed() / errors.len() as u32;
    assert!(each <= Duration::from_secs(8), "{each:?}");
    for (what, error) in errors {
        let error = error.unwrap_or_else(|| panic!("{what} is no error"));
        assert!(
            error.is_timeout() && error.detail().contains("agent:8500"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_slow_holds_up_no_more_than_it_takes() {
    let (_agent, registry) = Agent::in_memory(|asked| {
        let body = if asked.method == "GET" { "[]" } else { "" };
        Answer::later(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Answer::ok(body)
        })
    })
    .await;
    let mut service = Service::new("s", "1");
    service.nodes.push(Node::new("s-1", "127.0.0.1:1"));
    let ttl = RegisterOptions::with_ttl(Duration::from_secs(60));
    let begun = Instant::now();
    registry.register(&service, ttl).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(6), "two questions");
}

#[tokio::test(start_paused = true)]
async fn of_two_agents_one_that_hangs_costs_once() {
    use micro_runtime::registry::consul::Options;
    let network = micro_runtime::transport::Memory::new();
    let _hangs = Agent::on(&network, "a:8500", |_| Answer::Never).await;
    let _answers = Agent::on(&network, "b:8500", |_| Answer::ok("[]")).await;
    let options = Options::new().address("a").address("b").transport(network);
    let registry = Consul::with(options, &Tasks::new()).unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(registry.get("s").await.unwrap_err().code(), 404);
    }
    assert!(
        begun.elapsed() <= Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_question_that_is_given_up_leaves_no_connection_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let registry = Consul::new([&*address], &Tasks::new()).unwrap();
    let asking = registry.get("s");
    let (mut socket, _) = tokio::select! {
        biased;
        _ = asking => panic!("nobody answered"),
        accepted = async {
            let accepted = listener.accept().await.unwrap();
            accepted.0.readable().await.unwrap();
            accepted
        } => accepted,
    };
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest);
    timeout(SOON, read).await.expect("it is closed").unwrap();
}
