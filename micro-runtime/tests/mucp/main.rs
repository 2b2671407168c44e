//! Go Micro's protocol over HTTP/1.1: against its captures, against wrong bytes, against itself.
#![allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::disallowed_types,
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
