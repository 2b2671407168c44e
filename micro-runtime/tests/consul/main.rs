//! Consul as the registry: against captures of Go Micro, and against agents that misbehave. The real
//! one is asked in the crate `micro-tests`.
#![cfg(feature = "consul")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns and listens as it likes"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod agent;
mod faults;
mod registering;
#[cfg(feature = "cli")]
mod settings;
mod vectors;
mod watching;
