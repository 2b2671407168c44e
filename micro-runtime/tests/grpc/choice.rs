//! Which protocol a client speaks to a node: the best that both know, by what the node says of itself.

use std::time::Duration;

use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry};
use micro_runtime::service::Running;
use micro_runtime::{Result, Service, registry};

use crate::say::{Say, SayClient, word};

/// A service that nobody finds by itself.
async fn hidden() -> Result<Running> {
    Service::new("hidden")
        .registry(Memory::new())
        .linger(Duration::ZERO)
        .handle(Say::default())
        .start()
        .await
}

/// What a caller speaks to a node at `address` that tells `metadata` of itself.
async fn spoken(caller: &[&str], address: &str, metadata: &[(&str, &str)]) -> Result<String> {
    let known = Memory::new();
    let mut node = Node::new("told-1", address);
    for (key, value) in metadata {
        node.metadata.insert((*key).into(), (*value).into());
    }
    let mut entry = registry::Service::new("told", "latest");
    entry.nodes.push(node);
    known.register(&entry, RegisterOptions::default()).await?;
    let caller = Service::new("caller")
        .registry(known)
        .client_protocols(caller.iter().copied());
    let say = SayClient(caller.client().target("told"));
    Ok(say.hello(word("peer")).await?.text)
}

#[tokio::test]
async fn the_best_is_spoken_that_both_know() -> Result<()> {
    let running = hidden().await?;
    let address = running.address();
    let all: &[&str] = &[];
    for (caller, metadata, expected) in [
        (all, &[("protocols", "mucp,grpc,braid")][..], "braid"),
        (all, &[("protocols", "mucp, grpc")], "grpc"),
        (all, &[("protocols", "mucp")], "mucp"),
        // Go Micro's nodes say one: those of its gRPC plugin, and the others.
        (all, &[("protocol", "grpc"), ("server", "grpc")], "grpc"),
        (all, &[("protocol", "mucp")], "mucp"),
        (all, &[("protocol", "mucp"), ("protocols", "grpc")], "grpc"),
        (all, &[], "mucp"),
        (&["grpc"], &[("protocols", "braid,grpc,mucp")], "grpc"),
        (&["mucp", "grpc"], &[("protocols", "grpc,mucp")], "mucp"),
        // Told to speak this alone, it does also where a node says nothing.
        (&["grpc"], &[], "grpc"),
    ] {
        let spoken = spoken(caller, address, metadata).await?;
        assert_eq!(spoken, expected, "{caller:?} {metadata:?}");
    }
    let metadata = [("protocol", "mucp")];
    let error = spoken(&["grpc"], address, &metadata).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert!(
        error
            .detail()
            .contains("speaks mucp, and this client only grpc"),
        "{error}"
    );
    running.stop().await
}

#[tokio::test]
async fn an_address_given_by_hand_is_spoken_to_as_the_client_was_told() -> Result<()> {
    let running = hidden().await?;
    let none: [(&str, &str); 0] = [];
    for (flag, expected) in [
        ("--client=grpc", "grpc"),
        ("--client=braid", "braid"),
        ("--client=mucp", "mucp"),
        ("--client=auto", "mucp"),
    ] {
        let caller = Service::new("caller")
            .registry(Memory::new())
            .init_from(["x", flag], none)?;
        let say = SayClient(caller.client().target("nobody"));
        let hello = say
            .hello(word("peer"))
            .address(running.address().to_owned());
        assert_eq!(hello.await?.text, expected, "{flag}");
    }
    running.stop().await
}

#[tokio::test]
async fn a_server_without_mucp_tells_go_micros_callers_so() -> Result<()> {
    for (served, main) in [
        (&["grpc"][..], "grpc"),
        (&["braid", "grpc"], "grpc"),
        (&["grpc", "mucp"], "mucp"),
    ] {
        let running = Service::new("told")
            .registry(Memory::new())
            .linger(Duration::ZERO)
            .server_protocols(served.iter().copied())
            .start()
            .await?;
        let metadata = &running.entry().nodes[0].metadata;
        for key in ["protocol", "server"] {
            assert_eq!(
                metadata.get(key).map(String::as_str),
                Some(main),
                "{served:?}"
            );
        }
        running.stop().await?;
    }
    Ok(())
}
