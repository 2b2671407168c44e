//! Wrappers: code around calls, the same on clients and servers.
//!
//! [`Service::wrap_call`](crate::Service::wrap_call) puts one around every call that a service makes,
//! [`Service::wrap_handler`](crate::Service::wrap_handler) around every call that it serves, and
//! [`Call::wrap`](crate::client::Call::wrap) around one call. The first is the outermost. On a client a
//! wrapper stands around the whole call with all its tries and ends with the reply, or when the
//! stream is open; on a server it ends with the handler, also for streams.
//!
//! ```
//! use micro_runtime::{Reply, Request, Result, wrapper::{self, Next}};
//!
//! let log = wrapper::from_fn(|request: Request, next: Next| async move {
//!     let endpoint = request.method.endpoint.clone();
//!     let reply = next.run(request).await;
//!     println!("{endpoint}: {}", if reply.is_ok() { "ok" } else { "failed" });
//!     reply
//! });
//! # let _: Box<dyn wrapper::Wrapper> = Box::new(log);
//! ```
//!
//! # Ready-made
//! | wrapper | what it does |
//! |---|---|
//! | [`Recover`] | a panic becomes an error, and is told to a hook |
//! | [`RequestId`] | one id for all that a request sets off |
//! | [`AccessLog`] | one event a call |
//! | [`Validate`] | messages are checked by rules in code |
//! | [`Hystrix`], [`GoBreaker`] | calls to what fails are refused for a while: [`breaker`] |
//! | [`RateLimit`] | so many calls in so much time: [`rate_limit`] |
//! | [`AdaptiveLimit`] | as many calls at once as there is room for: [`adaptive`] |
//! | [`Shed`] | what cannot make its deadline is refused at once: [`shed`] |
//! | `tower` | tower's layers as wrappers, and wrappers as layers (feature `tower`) |

mod access_log;
pub mod adaptive;
pub mod breaker;
mod keyed;
pub mod rate_limit;
mod recover;
mod request_id;
pub mod shed;
#[cfg(feature = "tower")]
pub mod tower;
mod validate;

use std::fmt;
use std::future::Future;

use async_trait::async_trait;

pub use access_log::AccessLog;
pub use adaptive::AdaptiveLimit;
pub use breaker::{GoBreaker, Hystrix};
pub use rate_limit::RateLimit;
pub(crate) use recover::panicked;
pub use recover::{Panic, Recover};
pub use request_id::RequestId;
pub use shed::Shed;
pub use validate::{Validate, Violations};

pub use crate::call::{Figure, Inspected, MAX_STANDINGS, Next, Standing, Wrapper};

use crate::call::{Reply, Request};
use crate::error::why::{Refusal, Step, Why};
use crate::error::{Error, Result};

/// A wrapper of an async function or closure; see the module's example.
pub fn from_fn<F, R>(function: F) -> FromFn<F>
where
    F: Fn(Request, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply>> + Send + 'static,
{
    FromFn(function)
}

/// See [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

#[async_trait]
impl<F, R> Wrapper for FromFn<F>
where
    F: Fn(Request, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply>> + Send + 'static,
{
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        (self.0)(request, next).await
    }
}

/// `error`, of a request that goes no further: it says so, and who has refused it and why.
fn refuse(request: &Request, by: &'static str, words: String, error: Error) -> Error {
    let step = Step::Refused(Refusal::new(by, words));
    if let Some(recorder) = &request.options.recorder {
        recorder.note(step.clone());
    }
    let why = Why {
        service: request.service.clone(),
        endpoint: request.method.endpoint.to_string().into(),
        steps: vec![step],
        ..Why::default()
    };
    error.unprocessed().with_why(why)
}
