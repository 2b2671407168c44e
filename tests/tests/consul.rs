//! Consul as the registry: a real agent, each test with one of its own.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use micro_tests::consul::{Consul, Wanted};

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
    assert_eq!(
        consul.nodes("a"),
        [("a-1".to_owned(), "passing".to_owned())]
    );
    consul.restart();
    assert_eq!(consul.nodes("a"), []);
}
