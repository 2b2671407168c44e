//! Connections that grow old under load: none of their calls is lost.

use micro_tests::peers::Program;

use super::{go_micro, plain, tonic};

const PROTO: &str = "content_type=application/grpc+proto";

#[test]
fn a_server_that_has_connections_made_anew_loses_no_call_of_anybody() {
    let server = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
        .with(&["protocol=auto", "set=server_connection_age=150ms"])
        .serve(&[]);
    let ours = |protocol: &str| {
        Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter").with(&[protocol])
    };
    for client in [
        ours("protocol=grpc"),
        ours("protocol=braid"),
        go_micro().with(&[PROTO]),
        plain(),
        // Not tonic: its client gives up what it has not sent yet when a GOAWAY comes.
    ] {
        let address = server.as_flag();
        let ended = client.run(&["call=sleep", "arg=5", "n=200", "parallel=8", &address]);
        assert!(ended.is_ok() && ended.lines.is_empty(), "{ended}");
    }
}

#[test]
fn a_client_of_ours_that_makes_connections_anew_loses_no_call() {
    for server in [
        go_micro().serve(&[]),
        plain().serve(&[]),
        tonic().serve(&[]),
    ] {
        let client = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter");
        let address = server.as_flag();
        let ended = client
            .with(&["protocol=grpc", PROTO, "set=client_pool_ttl=100ms"])
            .run(&["call=sleep", "arg=5", "n=200", "parallel=8", &address]);
        assert!(ended.is_ok() && ended.lines.is_empty(), "{ended}");
    }
}
