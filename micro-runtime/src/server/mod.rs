//! The port of a service, and a service without one.
//!
//! A [`Server`] accepts connections, sees what they speak and hands them to that protocol; [`Local`]
//! calls a service in its own process. [`Health`] is what health checks are told.

mod debug;
mod grpc;
mod listener;
mod local;
mod port;

pub use crate::router::{Core, CoreOptions, Draining, Inline, Limits, Route, Serving};
pub(crate) use debug::{Process, debug_service};
pub use grpc::{Health, ServingStatus};
pub(crate) use grpc::{health_service, reflection_services};
pub use listener::Server;
pub use local::Local;
