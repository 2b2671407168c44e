//! Events from a publisher to a handler, over the broker in memory.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod brokers;
mod contexts;
mod delivery;
mod direct;
mod failures;
mod lives;
mod settings;
