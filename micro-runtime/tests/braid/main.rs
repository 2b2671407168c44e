//! braid from a client to a server and back, over pipes in memory.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod calls;
mod deadlocks;
mod faults;
mod lives;
mod net;
mod raw;
mod say;
mod streams;
mod wire;
