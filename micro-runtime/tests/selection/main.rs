//! Which of many nodes calls go to: shares, bounds and how soon they hold, with ten thousand nodes on
//! virtual time.
//!
//! Each test draws a seed and prints it; `MICRO_TEST_SEED=…` runs it again exactly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod balance;
mod canary;
mod client;
mod fleet;
mod hash;
mod latency;
#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/seeds.rs"]
mod seeds;
mod slow_start;
mod sticky;
mod told;
mod weights;
mod zones;
