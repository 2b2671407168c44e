//! gRPC from a client to a server and back, and against other peers' ways of speaking it.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod answers;
#[allow(
    dead_code,
    reason = "clients of what a server has beside a user's services"
)]
#[path = "../../src/server/grpc/generated/mod.rs"]
mod beside;
mod calls;
mod choice;
mod connections;
mod deadlocks;
#[path = "../mucp/generated/mod.rs"]
mod generated;
#[allow(dead_code, reason = "it serves two protocols' tests")]
#[path = "../mucp/greeter.rs"]
mod greeter;
mod health;
mod lives;
mod mixed;
mod names;
mod net;
mod parts;
#[allow(dead_code, reason = "it serves two protocols' tests")]
#[path = "../braid/net.rs"]
mod pipes;
mod raw;
mod reflection;
#[allow(dead_code, reason = "it serves two protocols' tests")]
#[path = "../braid/say.rs"]
mod say;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod traps;
mod vectors;
