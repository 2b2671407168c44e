//! A page in a browser calls a service of another origin: plain JSON, Connect and gRPC-Web, where the
//! service allows its origin, and none where it does not.
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;

use micro_tests::peers::{Program, Running};
use page::Page;

/// A service that lets pages of `origin` call, and prints the name in each Hello that has run.
fn service(origin: &str) -> Running {
    let origins = format!("set=allowed_origins={origin}");
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
        .with(&["protocol=auto", "trace", "pace=100ms", &origins])
        .serve(&[])
}

/// The names of the Hellos that have run.
fn ran(server: Running) -> Vec<String> {
    let ended = server.terminate();
    let names = ended
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("RAN "));
    names.map(str::to_owned).collect()
}

#[test]
fn a_page_of_an_allowed_origin_calls() {
    let page = Page::new();
    let server = service(&page.origin);
    let report = page.report(server.address());
    assert_eq!(
        report,
        [
            "json: Hello json",
            "connect json: Hello connect",
            "connect proto: Hello proto",
            "connect metadata: blue",
            "connect error: 404 not_found no such thing",
            "connect stream: 1,2,3 then 2 {}, as they came",
            "grpc-web: Hello web then 128 grpc-status: 0",
            "grpc-web-text: Hello text then 128 grpc-status: 0",
            "grpc-web error: 200 grpc-status 5",
            "grpc-web stream: 1,2,3 then 128 grpc-status: 0, as they came",
            "form: opaque",
        ]
    );
    assert_eq!(ran(server), ["json", "connect", "proto", "web", "text"]);
}

#[test]
fn a_page_of_another_origin_does_not() {
    let page = Page::new();
    let server = service("https://good.example");
    let report = page.report(server.address());
    for line in &report {
        let refused = line.ends_with(": refused (TypeError)") || line == "form: opaque";
        assert!(refused, "{report:#?}");
    }
    assert_eq!(report.len(), 11, "{report:#?}");
    assert_eq!(ran(server), [""; 0], "no call has run");
}
