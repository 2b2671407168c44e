//! Go Micro's protocol over HTTP/1.1: against its captures, against wrong bytes, against itself.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns and times what it likes"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod calls;
mod capture;
mod client;
mod client_streams;
mod generated;
mod greeter;
mod harness;
mod refusals;
mod replies;
mod server;
mod streams;
mod vectors;

#[path = "../../src/server/debug/generated/mod.rs"]
mod debug;
