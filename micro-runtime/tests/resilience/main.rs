//! Calls that survive: budgets, hedging, timeouts, on scripted nodes and virtual time.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "../support/scripted.rs"]
mod scripted;

mod budget;
mod hedge;
mod storm;
mod timeouts;
