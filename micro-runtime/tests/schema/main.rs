//! What services look like on the wire: read, hashed, compared, published, and minded by clients.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is wrong"
)]

mod changes;
mod hash;
mod hostile;
mod proto;
