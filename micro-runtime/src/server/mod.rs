//! The server's call path: from a protocol to a handler and back.
//!
//! A protocol finds a [`Route`] by name, once for a call, and [starts](Route::start) it. The
//! [`Serving`] that it gets counts against the limits, catches panics, and marks the context as
//! cancelled when it is dropped before its end.

mod limits;
mod listener;
mod local;
mod router;
mod serving;

pub use limits::Limits;
pub use listener::Server;
pub(crate) use local::invoke_local;
pub use router::{Core, CoreOptions, Draining, Route};
pub use serving::Serving;
