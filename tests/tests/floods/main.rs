//! Peers that mean harm: each kind of flood against a server in a process of its own, while others
//! call it. What they can take of it is bounded, and the others are served.
//!
//! Bytes are written by hand, since no client would send them. Memory is what the system says of the
//! server's process; each test prints what it saw (`--nocapture`).
#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod braid;
mod connections;
mod frames;
mod http1;
mod http2;
mod messages;
mod victim;
