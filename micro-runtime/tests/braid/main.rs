//! braid from a client to a server and back, over pipes in memory.
#![allow(missing_docs, unreachable_pub)]

mod calls;
mod deadlocks;
mod lives;
mod net;
mod raw;
mod say;
mod streams;
mod wire;
