//! The breaker of gobreaker.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::circuits::{Circuit, Circuits, Failed, Machine, Outcome, State, Stop};
use crate::call::{Inspected, Next, Reply, Request, Wrapper};
use crate::error::{Error, Result};
use crate::metadata::Text;
use crate::tasks::later;

/// What a circuit of [`GoBreaker`] has counted since it last changed, or since the interval began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that were let through.
    pub requests: u32,
    /// How many of them went well.
    pub total_successes: u32,
    /// How many of them failed.
    pub total_failures: u32,
    /// How many of the last ones went well.
    pub consecutive_successes: u32,
    /// How many of the last ones failed.
    pub consecutive_failures: u32,
}

type ReadyToTrip = dyn Fn(&Counts) -> bool + Send + Sync;

/// What a circuit of [`GoBreaker`] goes by: gobreaker's settings and defaults.
#[derive(Clone)]
#[non_exhaustive]
pub struct GoBreakerSettings {
    /// How many calls test a circuit that was open; when all of them went well it closes. 1.
    pub max_requests: u32,
    /// How often a closed circuit forgets what it has counted; zero for never. Zero.
    pub interval: Duration,
    /// How long it stays open. 60 s.
    pub timeout: Duration,
    /// Whether it opens, asked after each failure: after more than 5 in a row.
    pub ready_to_trip: Arc<ReadyToTrip>,
}

impl Default for GoBreakerSettings {
    fn default() -> Self {
        Self {
            max_requests: 1,
            interval: Duration::ZERO,
            timeout: Duration::from_secs(60),
            ready_to_trip: Arc::new(|counts| counts.consecutive_failures > 5),
        }
    }
}

impl fmt::Debug for GoBreakerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoBreakerSettings")
            .field("max_requests", &self.max_requests)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A breaker that opens after failures in a row, or whatever a function says, as gobreaker does.
///
/// Errors are Go Micro's: 502 with the service's name as id, `circuit breaker is open` or
/// `too many requests`. As in its plugin, an error is a failure from code 500 on, and where it has
/// none. So a 408 is none: for services that hang, say
/// `.failures(|error| error.code() == 0 || error.code() >= 500 || error.is_timeout())`.
///
/// A handle: clones share their circuits, so that one kept can be [read](GoBreaker::circuits).
#[derive(Clone, Debug)]
pub struct GoBreaker(Circuits<Counting>);

impl Default for GoBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl GoBreaker {
    /// With gobreaker's defaults.
    pub fn new() -> Self {
        Self::with(GoBreakerSettings::default())
    }

    /// With these settings for every method.
    pub fn with(settings: GoBreakerSettings) -> Self {
        Self(Circuits::new(settings, |error| {
            error.code() == 0 || error.code() >= 500
        }))
    }

    /// With settings of their own for calls to `endpoint` (`Say.Hello`) of `service`.
    #[must_use]
    pub fn method(
        mut self,
        service: impl Into<Text>,
        endpoint: impl Into<Text>,
        settings: GoBreakerSettings,
    ) -> Self {
        self.0.method(service.into(), endpoint.into(), settings);
        self
    }

    /// One circuit for all methods of a service: what Go Micro's plugin does unless it is told otherwise.
    /// Methods with [settings of their own](Self::method) have circuits of their own still.
    #[must_use]
    pub fn per_service(mut self) -> Self {
        self.0.per_service();
        self
    }

    /// Which errors are failures; the others count as successes. Gobreaker's `IsSuccessful`, turned
    /// round.
    #[must_use]
    pub fn failures(mut self, is: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.0.failures(is);
        self
    }

    /// What answers in place of a call that failed or was refused; see [`Hystrix`](super::Hystrix).
    #[must_use]
    pub fn fallback<F, R>(mut self, fallback: F) -> Self
    where
        F: Fn(Failed) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.0.fallback(fallback);
        self
    }

    /// Keeps at most so many circuits, forgetting the longest unused; 10,000.
    #[must_use]
    pub fn most(mut self, circuits: usize) -> Self {
        self.0.most(circuits);
        self
    }

    /// All circuits as they stand, by service and endpoint.
    pub fn circuits(&self) -> Vec<Circuit> {
        self.0.read(Instant::now())
    }
}

#[async_trait]
impl Wrapper for GoBreaker {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        self.0.run(request, next).await
    }

    fn inspect(&self) -> Option<Inspected> {
        let settings = self.0.settings();
        let inspected = Inspected::new("breaker")
            .setting("of", "gobreaker")
            .setting("max_requests", settings.max_requests)
            .setting("interval", settings.interval)
            .setting("timeout", settings.timeout);
        Some(self.0.inspect(inspected))
    }
}

/// One circuit.
#[derive(Debug)]
pub(super) struct Counting {
    state: State,
    counts: Counts,
    /// Raised with each change: what began before it no longer counts.
    generation: u64,
    since: Instant,
}

impl Counting {
    fn turn(&mut self, state: State, now: Instant) {
        self.state = state;
        self.counts = Counts::default();
        self.generation += 1;
        self.since = now;
    }

    /// What time alone changes.
    fn advance(&mut self, settings: &GoBreakerSettings, now: Instant) {
        let is_over = |limit| later(self.since, limit) < now;
        match self.state {
            State::Closed if !settings.interval.is_zero() && is_over(settings.interval) => {
                self.turn(State::Closed, now);
            }
            State::Open if is_over(settings.timeout) => self.turn(State::HalfOpen, now),
            _ => {}
        }
    }
}

impl Machine for Counting {
    type Settings = GoBreakerSettings;
    /// The generation that the call belongs to.
    type Permit = u64;

    fn new(now: Instant) -> Self {
        Self {
            state: State::Closed,
            counts: Counts::default(),
            generation: 0,
            since: now,
        }
    }

    fn begin(&mut self, settings: &GoBreakerSettings, now: Instant) -> Result<u64, Stop> {
        self.advance(settings, now);
        match self.state {
            State::Open => return Err(Stop::Open(self.opens_for(settings, now))),
            State::HalfOpen if self.counts.requests >= settings.max_requests.max(1) => {
                return Err(Stop::Full);
            }
            State::HalfOpen | State::Closed => {}
        }
        self.counts.requests = self.counts.requests.saturating_add(1);
        Ok(self.generation)
    }

    fn end(&mut self, settings: &GoBreakerSettings, now: Instant, call: u64, how: Outcome) {
        self.advance(settings, now);
        if call != self.generation {
            return;
        }
        let counts = &mut self.counts;
        match how {
            // As if it had not been: else a test that nobody waits for would keep the circuit half
            // open for ever.
            Outcome::GivenUp => counts.requests = counts.requests.saturating_sub(1),
            Outcome::Success => {
                counts.total_successes = counts.total_successes.saturating_add(1);
                counts.consecutive_successes = counts.consecutive_successes.saturating_add(1);
                counts.consecutive_failures = 0;
                let enough = counts.consecutive_successes >= settings.max_requests.max(1);
                if self.state == State::HalfOpen && enough {
                    self.turn(State::Closed, now);
                }
            }
            Outcome::Failure => {
                counts.total_failures = counts.total_failures.saturating_add(1);
                counts.consecutive_failures = counts.consecutive_failures.saturating_add(1);
                counts.consecutive_successes = 0;
                if self.state == State::HalfOpen || (settings.ready_to_trip)(counts) {
                    self.turn(State::Open, now);
                }
            }
        }
    }

    fn state(&self) -> State {
        self.state
    }

    fn counted(&self, _settings: &GoBreakerSettings, _now: Instant) -> (u32, u32) {
        (self.counts.requests, self.counts.total_failures)
    }

    fn opens_for(&self, settings: &GoBreakerSettings, now: Instant) -> Duration {
        match self.state {
            State::Open => later(self.since, settings.timeout).saturating_duration_since(now),
            State::Closed | State::HalfOpen => Duration::ZERO,
        }
    }

    fn timeout(_settings: &GoBreakerSettings) -> Option<Duration> {
        None
    }

    fn refused(service: &Text, stop: Stop) -> Error {
        let words = match stop {
            Stop::Open(_) => "circuit breaker is open",
            Stop::Full => "too many requests",
        };
        Error::new(service.to_string(), words, 502)
    }
}
