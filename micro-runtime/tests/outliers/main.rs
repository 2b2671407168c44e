//! Nodes that fail are found out, left alone for a growing time, and never too many of them: on virtual
//! time, with up to 10,000 nodes. A seed that fails is printed; `MICRO_TEST_SEED` plays it again.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod active;
mod convergence;
mod fleet;
mod leaving;
mod returns;
mod rows;
#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/seeds.rs"]
mod seeds;
mod share;
