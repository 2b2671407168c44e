//! Circuit breakers: calls to what fails are refused for a while, so that it can come back.
//!
//! Both stand around a client's calls and keep one state for each service and method, a bounded
//! number of them. They count calls as their callers see them, after all tries. A refused call fails
//! at once, with an error that is [unprocessed](crate::Error::is_unprocessed) and names the breaker in
//! its [decisions](crate::error::why), or is answered by the [fallback](Hystrix::fallback). A call that
//! its caller gives up counts as no failure.
//!
//! | | [`Hystrix`] | [`GoBreaker`] |
//! |---|---|---|
//! | opens | half of the last 10 s' calls failed, of 20 at least | after 6 failures in a row |
//! | stays open | 5 s, then one call tests | 60 s, then one call tests |
//! | also bounds | 10 calls at once, 1 s a call | |
//! | counts as a failure | every error | codes from 500 on, and 0 |
//! | refuses with | 503 `hystrix: circuit open` | 502 `circuit breaker is open` |
//!
//! ```
//! use micro_runtime::{Service, wrapper::breaker::Hystrix};
//!
//! let service = Service::new("a.caller").wrap_call(Hystrix::new());
//! # let _ = service;
//! ```

mod circuits;
mod gobreaker;
mod hystrix;
#[cfg(test)]
mod tests;

pub use circuits::{Circuit, Failed, State};
pub use gobreaker::{Counts, GoBreaker, GoBreakerSettings};
pub use hystrix::{Hystrix, HystrixSettings};
