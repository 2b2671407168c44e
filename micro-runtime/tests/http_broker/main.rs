//! The HTTP broker: both sides of it, and Go Micro's bytes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod contract;
mod load;
mod mutations;
mod queues;
mod refusals;
mod registrations;
mod stops;
mod vectors;
mod world;
