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
mod long;
mod net;
mod packed;
mod raw;
mod recorded;
mod remembered;
mod say;
mod silence;
mod streams;
mod wire;
