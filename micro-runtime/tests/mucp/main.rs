//! Go Micro's protocol over HTTP/1.1: against its captures, against wrong bytes, against itself.
#![allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used
)]

mod calls;
mod capture;
mod client;
mod client_streams;
mod generated;
mod greeter;
mod harness;
mod server;
mod streams;
mod vectors;

#[path = "../../src/server/debug/generated/mod.rs"]
mod debug;

#[test]
fn the_generated_greeter_is_current() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    micro_build::Builder::new()
        .include(here.join("../tests/proto"))
        .btree_map(".greeter")
        .source_dir(here.join("tests/mucp/generated"))
        .check(std::env::var_os("UPDATE_GOLDEN").is_none())
        .compile(&[here.join("../tests/proto/greeter.proto")])
        .unwrap();
}
