//! Calls that survive: budgets, hedging, timeouts, on scripted nodes and virtual time.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/seeds.rs"]
mod seeds;
#[path = "../support/mod.rs"]
mod support;

mod budget;
mod hedge;
#[cfg(feature = "grpc")]
mod layers;
mod storm;
mod timeouts;
