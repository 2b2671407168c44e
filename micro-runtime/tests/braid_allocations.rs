//! How much a warm unary call allocates over braid.
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

use micro_runtime::protocol::Braid;

#[test]
fn a_warm_call_allocates_no_more_than_is_planned() {
    // Encoded body, context, metadata and two futures on the client; context, metadata, the handler's
    // future and the encoded reply on the server.
    unary_allocations::check(&Braid::default(), (5, 4));
}
