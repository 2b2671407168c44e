//! The decisions of a call name the true cause of its failure, over each protocol; and none of them
//! crosses the wire.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod bytes;
mod causes;
mod net;
mod secret;
#[path = "../support/mod.rs"]
mod support;
