//! The one port: who is served on it, and what it bears from peers that mean no good or are slow.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod attacks;
mod bounds;
mod calls;
#[path = "../mucp/generated/mod.rs"]
mod generated;
#[allow(dead_code, reason = "it serves other protocols' tests, too")]
#[path = "../mucp/greeter.rs"]
mod greeter;
mod mixed;
mod net;
mod switches;
