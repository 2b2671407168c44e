//! The HTTP broker: both sides of it, and Go Micro's bytes.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod contract;
