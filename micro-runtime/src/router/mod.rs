//! Names to handlers, and what stands around a handler that runs.
//!
//! A protocol finds a [`Route`] by name, once for a call, and [starts](Route::start) it. The
//! [`Serving`] that it gets counts against the limits, catches panics, and marks the context as
//! cancelled when it is dropped before its end.

mod core;
mod counters;
mod figures;
mod limits;
mod once;
mod pace;
#[cfg(feature = "grpc")]
mod room;
mod serving;
mod watch;

pub use self::core::{Core, CoreOptions, Draining, Route};
pub(crate) use counters::CallCounters;
pub(crate) use figures::Latency;
pub use limits::Limits;
pub(crate) use once::Once;
pub use pace::Inline;
pub(crate) use pace::Pace;
#[cfg(feature = "grpc")]
pub(crate) use room::{Held, Room};
pub use serving::Serving;
pub(crate) use watch::Running;
