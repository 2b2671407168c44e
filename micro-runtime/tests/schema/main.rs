//! What services look like on the wire: read, hashed, compared, published, and minded by clients.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where something is wrong, and spawns and reads clocks as it likes"
)]

mod allocations;
mod calls;
mod changes;
mod evolution;
mod fetching;
mod hash;
mod hostile;
mod proto;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod versions;
