//! Which nodes are called in Connect and gRPC-Web.

use micro_runtime::Service;
use micro_runtime::call::Frame;
use micro_runtime::protocol::Connect;
use micro_runtime::registry::{Memory, Node, Registry, Service as Entry};

use crate::net::Peer;

/// A registry with one node of `greeter` at `address`.
async fn registry(address: &str, metadata: &[(&str, &str)]) -> Memory {
    let registry = Memory::new();
    let mut entry = Entry::new("greeter", "1");
    let mut node = Node::new("node-1", address);
    for (key, value) in metadata {
        node.metadata.insert((*key).into(), (*value).into());
    }
    entry.nodes = vec![node];
    registry.register(&entry, Default::default()).await.unwrap();
    registry
}

/// The content type of the request that `caller` sends to a node with this metadata.
async fn asked(caller: impl FnOnce(Service) -> Service, metadata: &[(&str, &str)]) -> String {
    let peer = Peer::new().await;
    let registry = registry(&peer.address, metadata).await;
    let caller = caller(Service::new("caller").registry(registry).retries(0));
    let call = caller
        .client()
        .request("greeter", "Say.Hello", Frame::default());
    let serve = async {
        let (head, _) = peer.accept().await.request().await;
        head.get("content-type").to_owned()
    };
    tokio::join!(call, serve).1
}

#[tokio::test]
async fn a_node_that_names_one_is_called_in_it() {
    let of = |protocol| [("protocol", protocol)];
    assert_eq!(
        asked(|caller| caller, &of("connect")).await,
        "application/proto"
    );
    let web = "application/grpc-web+proto";
    assert_eq!(asked(|caller| caller, &of("grpc-web")).await, web);
}

#[tokio::test]
async fn who_is_given_no_other_calls_every_node_so() {
    let micro = [("protocol", "mucp"), ("protocols", "braid,grpc,mucp")];
    for metadata in [&micro[..], &[]] {
        let connect = asked(|caller| caller.client_protocols(["connect"]), metadata);
        assert_eq!(connect.await, "application/proto");
        let from_outside = |caller: Service| {
            let arguments = ["caller", "--client=grpc-web"];
            caller.init_from(arguments, [("", ""); 0]).unwrap()
        };
        let web = asked(from_outside, metadata);
        assert_eq!(web.await, "application/grpc-web+proto");
    }
    // mucp's, over the same HTTP/1.1.
    let mixed = asked(
        |caller| caller.client_protocols(["connect", "mucp"]),
        &micro,
    );
    assert_eq!(mixed.await, "application/protobuf");
}

#[tokio::test]
async fn settings_in_code_are_taken() {
    let json = |caller: Service| {
        caller
            .protocol(Connect::new())
            .client_protocols(["connect"])
            .content_type("application/json")
    };
    assert_eq!(asked(json, &[]).await, "application/json");
}

#[tokio::test]
async fn no_server_has_them() {
    let server = Service::new("greeter")
        .registry(Memory::new())
        .protocol(Connect::new())
        .server_protocols(["connect"]);
    let error = server.start().await.unwrap_err();
    assert!(
        error.detail().contains("there is no protocol connect"),
        "{error}"
    );
}
