//! How much a warm unary call allocates over gRPC.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

#[path = "braid/net.rs"]
mod pipes;
#[path = "braid/say.rs"]
mod say;
#[path = "support/unary_allocations.rs"]
mod unary_allocations;

use micro_runtime::protocol::Grpc;

#[test]
fn a_warm_call_allocates_no_more_than_is_planned() {
    // Ours are the five and four of braid, the heads' values and a buffer of what metadata is read from;
    // the rest is HTTP/2's, which has some nine of its own a side.
    unary_allocations::check(&Grpc::new(), (17, 15));
}
