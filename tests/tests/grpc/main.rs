//! gRPC between this project and programs that know nothing of it: unmodified Go Micro's gRPC plugins,
//! plain grpc-go, tonic, grpcurl. Both directions, four kinds, errors, metadata, deadlines, cancellation.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aged;
mod found;
mod go;
mod grpcurl;
mod ours;
mod tonic;

use micro_runtime::Service;
use micro_runtime::protocol::Grpc;
use micro_runtime::registry::Memory;
use micro_tests::peers::{Program, Running};
use micro_tests::proto::greeter::GreeterClient;

fn server() -> Running {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
        .with(&["protocol=grpc", "trace"])
        .serve(&[])
}

/// Go Micro with its gRPC plugins.
fn go_micro() -> Program {
    Program::go("greeter").with(&["protocol=grpc"])
}

/// grpc-go alone.
fn plain() -> Program {
    Program::go("grpcpeer")
}

fn tonic() -> Program {
    Program::go("tonicpeer")
}

/// The servers that are not ours.
fn others() -> [(&'static str, Running); 3] {
    [
        ("go-micro", go_micro().serve(&[])),
        ("grpc-go", plain().serve(&[])),
        ("tonic", tonic().serve(&[])),
    ]
}

fn service(settings: Grpc) -> Service {
    Service::new("caller")
        .registry(Memory::new())
        .protocol(settings)
        .client_protocols(["grpc"])
}

fn greeter() -> GreeterClient {
    GreeterClient::new("greeter", service(Grpc::new()).client())
}

/// Runs a client against `server` and gives what it printed, which must be `lines`.
fn says(client: &Program, server: &Running, flags: &[&str], lines: &[&str]) {
    let address = server.as_flag();
    let flags: Vec<_> = flags.iter().copied().chain([&*address]).collect();
    let ended = client.run(&flags);
    assert_eq!(ended.lines, lines, "{ended}");
}

/// As [`says`], for calls that fail: the first line begins with `start`.
fn fails(client: &Program, server: &Running, flags: &[&str], start: &str) {
    let address = server.as_flag();
    let flags: Vec<_> = flags.iter().copied().chain([&*address]).collect();
    let ended = client.run(&flags);
    assert!(ended.line(start).is_some(), "{start}: {ended}");
    assert_eq!(ended.code, Some(1), "{ended}");
}
