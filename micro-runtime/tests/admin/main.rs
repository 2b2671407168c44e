//! The admin listener: what it tells, to whom, and what it bears.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod asking;
mod bounds;
mod document;
mod facts;
mod lives;
mod page;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../schema/proto.rs"]
mod proto;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../schema/versions.rs"]
mod versions;
