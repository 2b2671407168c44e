//! Consul as the registry: a real agent, each test with one of its own.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use micro_runtime::registry::{self, Registry};
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::registry_contract;
use micro_tests::consul::{Consul, Wanted};

fn registry(consul: &Consul) -> registry::Consul {
    registry::Consul::new([consul.address()], &Tasks::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_registry_must() {
    let consul = Consul::start();
    registry_contract(|| async { Arc::new(registry(&consul)) as Arc<dyn Registry> }).await;
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
    assert_eq!(
        consul.nodes("a"),
        [("a-1".to_owned(), "passing".to_owned())]
    );
    consul.restart();
    assert_eq!(consul.nodes("a"), []);
}
