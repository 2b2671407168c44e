//! Found by name in Consul, the protocol chosen by what the node says of itself.

use micro_tests::consul::Consul;
use micro_tests::peers::Program;

use super::go_micro;

#[test]
fn gos_grpc_nodes_and_ours_find_each_other_and_speak_grpc() {
    let consul = Consul::start();
    let registry = [
        "registry=consul",
        &format!("registry_address={}", consul.address()),
    ];
    let ours = || Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter").with(&registry);
    let hello = [
        "call=hello",
        "arg=x",
        "content_type=application/protobuf",
        "name=go.micro.srv.greeter",
    ];
    let named = ["name=go.micro.srv.greeter"];

    let server = go_micro().with(&registry).serve(&named);
    // Left to itself, our client reads from the node that it speaks gRPC and nothing else.
    let ended = ours().with(&["protocol=auto"]).run(&hello);
    assert_eq!(ended.lines, [r#"OK {"msg":"Hello x"}"#], "{ended}");
    let ended = ours().with(&["protocol=mucp"]).run(&hello);
    assert!(
        ended.lines.iter().any(|line| line.contains("speaks grpc")),
        "{ended}"
    );
    assert!(server.terminate().is_ok());

    // All our protocols on one port, which Go's gRPC plugin finds by the same name.
    let server = ours().with(&["protocol=auto"]).serve(&named);
    let caller = go_micro().with(&registry);
    let ended = caller.run(&hello);
    assert_eq!(ended.lines, [r#"OK {"msg":"Hello x"}"#], "{ended}");
    let count = [&hello[2..], &["call=count", "arg=2"]].concat();
    let ended = caller.run(&count);
    let numbers = [r#"OK {"n":1}"#, r#"OK {"n":2}"#, "EOF"];
    assert_eq!(ended.lines, numbers, "{ended}");
    assert!(server.terminate().is_ok());
}
