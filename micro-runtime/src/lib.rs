//! The runtime of Micro: services found by name, called over Go Micro's protocol and our own.

// Generated code of our own names the crate as users' does.
extern crate self as micro_runtime;

pub mod call;
pub mod client;
pub mod codec;
#[doc(hidden)]
pub mod codegen;
pub mod context;
pub mod error;
mod macros;
pub mod metadata;
pub mod method;
pub mod protocol;
pub mod registry;
pub mod router;
pub mod selector;
pub mod server;
pub mod service;
pub mod tasks;
#[doc(hidden)]
pub mod testing;
pub mod transport;
pub mod wrapper;

pub use call::{Receiver, Reply, Request, Sender};
pub use client::Client;
pub use context::Context;
pub use error::{Error, Result};
pub use metadata::Metadata;
pub use service::Service;
