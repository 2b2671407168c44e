//! The port of a service, and a service without one.
//!
//! A [`Server`] accepts connections, sees what they speak and hands them to that protocol; [`Local`]
//! calls a service in its own process.

mod debug;
mod listener;
mod local;

pub use crate::router::{Core, CoreOptions, Draining, Inline, Limits, Route, Serving};
pub(crate) use debug::debug_service;
pub use listener::Server;
pub use local::Local;
