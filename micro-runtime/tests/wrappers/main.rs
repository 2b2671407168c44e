//! The wrappers that come with the runtime, on clients and servers.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_methods, reason = "a test owns its tasks")]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod events;
mod recover;
mod request_id;
#[cfg(feature = "tower")]
mod tower;
mod validate;
