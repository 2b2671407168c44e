//! What breakers of both kinds share: a state for each method, and calls around which it stands.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::super::keyed::Keyed;
use super::super::refuse;
use crate::call::{BoxFuture, Inspected, Next, Payload, Reply, Request, Standing, ran_out};
use crate::codec::{self, Codec};
use crate::context::Context;
use crate::error::why::{Refusal, Step};
use crate::error::{Error, Result};
use crate::metadata::Text;
use crate::method::MethodRef;
use crate::tasks::later;

/// How a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Calls pass.
    Closed,
    /// Few calls pass: what becomes of them decides.
    HalfOpen,
    /// Calls are refused.
    Open,
}

impl State {
    /// The state in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// One circuit as it stands: of the calls to one method.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Circuit {
    /// The service called.
    pub service: String,
    /// The endpoint called; empty where there is one circuit for a whole service.
    pub endpoint: String,
    /// How it stands.
    pub state: State,
    /// The calls that count at the moment: hystrix's of the window, gobreaker's of the interval.
    pub requests: u32,
    /// How many of them failed.
    pub failures: u32,
    /// How long it stays open; zero where it is not, or the next call tests.
    pub opens_for: Duration,
}

/// How a call ended, as breakers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// The caller has given it up: it says nothing.
    GivenUp,
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// For so long still.
    Open(Duration),
    /// As many run as may.
    Full,
}

/// The state machine of one circuit. It reads no clock: time is handed in, and never goes back.
pub(super) trait Machine: Send + 'static {
    type Settings: Send + Sync + 'static;
    /// What a call that was let through brings back.
    type Permit: Copy + Send;

    fn new(now: Instant) -> Self;
    fn begin(&mut self, settings: &Self::Settings, now: Instant) -> Result<Self::Permit, Stop>;
    fn end(&mut self, settings: &Self::Settings, now: Instant, call: Self::Permit, how: Outcome);
    fn state(&self) -> State;
    /// How many calls count, and how many of them failed.
    fn counted(&self, settings: &Self::Settings, now: Instant) -> (u32, u32);
    fn opens_for(&self, settings: &Self::Settings, now: Instant) -> Duration;
    /// The longest that a call may take.
    fn timeout(settings: &Self::Settings) -> Option<Duration>;
    /// What a refused call of `service` fails with.
    fn refused(service: &Text, stop: Stop) -> Error;
}

/// The call that failed, or was refused, as a fallback sees it.
#[non_exhaustive]
pub struct Failed {
    /// The call's context.
    pub cx: Context,
    /// The service called.
    pub service: Text,
    /// The method called.
    pub method: MethodRef,
    /// What the caller gets where there is no other answer.
    pub error: Error,
    codec: Arc<dyn Codec>,
}

impl Failed {
    /// An answer of `message`, in place of the one that did not come; of unary calls alone.
    ///
    /// # Errors
    /// Those of the call's codec; [`error`](Self::error) where the method streams.
    pub fn reply(&self, message: &dyn Payload) -> Result<Reply> {
        if self.method.kind.is_stream() {
            return Err(self.error.clone());
        }
        let body = codec::encode(&*self.codec, message)?;
        Ok(Reply::new(crate::call::Body::One(body)))
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("service", &self.service)
            .field("endpoint", &self.method.endpoint)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

type Fallback = dyn Fn(Failed) -> BoxFuture<Result<Reply>> + Send + Sync;
type IsFailure = dyn Fn(&Error) -> bool + Send + Sync;

/// A breaker: settings, and a circuit for each method. Clones share the circuits.
pub(super) struct Circuits<M: Machine> {
    settings: Arc<M::Settings>,
    /// Of their own, by service and endpoint.
    methods: Vec<(Text, Text, Arc<M::Settings>)>,
    per_service: bool,
    is_failure: Arc<IsFailure>,
    fallback: Option<Arc<Fallback>>,
    kept: Arc<Keyed<Kept<M>>>,
}

/// One circuit.
struct Kept<M: Machine> {
    service: Text,
    endpoint: Box<str>,
    settings: Arc<M::Settings>,
    machine: Mutex<M>,
}

impl<M: Machine> Circuits<M> {
    pub(super) fn new(
        settings: M::Settings,
        is_failure: impl Fn(&Error) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            methods: Vec::new(),
            per_service: false,
            is_failure: Arc::new(is_failure),
            fallback: None,
            kept: Arc::new(Keyed::new(MOST)),
        }
    }

    pub(super) fn per_service(&mut self) {
        self.per_service = true;
    }

    pub(super) fn method(&mut self, service: Text, endpoint: Text, settings: M::Settings) {
        self.methods.push((service, endpoint, Arc::new(settings)));
    }

    pub(super) fn failures(&mut self, is: impl Fn(&Error) -> bool + Send + Sync + 'static) {
        self.is_failure = Arc::new(is);
    }

    pub(super) fn most(&mut self, circuits: usize) {
        self.kept = Arc::new(Keyed::new(circuits));
    }

    pub(super) fn fallback<F, R>(&mut self, fallback: F)
    where
        F: Fn(Failed) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.fallback = Some(Arc::new(move |failed| Box::pin(fallback(failed))));
    }

    /// The circuits as they stand at `now`.
    pub(super) fn read(&self, now: Instant) -> Vec<Circuit> {
        let read = |((service, endpoint), kept): ((String, String), Arc<Kept<M>>)| {
            let machine = kept.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let (requests, failures) = machine.counted(&kept.settings, now);
            Circuit {
                service,
                endpoint,
                state: machine.state(),
                requests,
                failures,
                opens_for: machine.opens_for(&kept.settings, now),
            }
        };
        self.kept.all().into_iter().map(read).collect()
    }

    /// The circuits as they stand, for a person.
    pub(super) fn inspect(&self, inspected: Inspected) -> Inspected {
        let mut circuits = self.read(Instant::now());
        // There may be more than are told: first those that refuse.
        circuits.sort_by_key(|circuit| circuit.state == State::Closed);
        circuits.into_iter().fold(inspected, |inspected, circuit| {
            let of = format!("{} {}", circuit.service, circuit.endpoint);
            let standing = Standing::new(of.trim_end(), circuit.state.name())
                .figure("requests", circuit.requests)
                .figure("failures", circuit.failures);
            inspected.standing(match circuit.state {
                State::Closed => standing,
                State::HalfOpen | State::Open => standing.figure("opens_for", circuit.opens_for),
            })
        })
    }

    /// The settings of methods that have none of their own.
    pub(super) fn settings(&self) -> &M::Settings {
        &self.settings
    }

    /// A call through its circuit, or the fallback's answer to it.
    pub(super) async fn run(&self, request: Request, next: Next) -> Result<Reply> {
        let Some(fallback) = &self.fallback else {
            return self.guarded(request, next).await;
        };
        let (cx, codec) = (request.cx.clone(), request.codec.clone());
        let (service, method) = (request.service.clone(), request.method.clone());
        let error = match self.guarded(request, next).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        fallback(Failed {
            cx,
            service,
            method,
            error,
            codec,
        })
        .await
    }

    async fn guarded(&self, mut request: Request, next: Next) -> Result<Reply> {
        let now = Instant::now();
        let kept = self.kept_for(&request, now);
        let running = match Running::begin(&kept, now) {
            Ok(running) => running,
            Err(stop) => return Err(refused::<M>(&request, stop)),
        };
        let Some(limit) = M::timeout(&kept.settings) else {
            let result = next.run(request).await;
            running.end(Instant::now(), self.outcome(&result));
            return result;
        };
        let until = later(now, limit);
        // A stream lives on when it is open.
        if !request.method.kind.is_stream() {
            request.cx.limit(until);
        }
        let result = timeout_at(until, next.run(request)).await;
        let now = Instant::now();
        // What ends at this time knows more of why than the timer does, and comes first.
        let left = until.saturating_duration_since(now);
        let result = match result {
            Ok(Err(error)) if ran_out(&error, left) => Err(Some(error)),
            Ok(result) => {
                running.end(now, self.outcome(&result));
                return result;
            }
            Err(_) => Err(None),
        };
        running.end(now, Outcome::Failure);
        result.map_err(|error| too_slow(&kept.service, limit, error))
    }

    fn outcome(&self, result: &Result<Reply>) -> Outcome {
        match result {
            Err(error) if (self.is_failure)(error) => Outcome::Failure,
            Ok(_) | Err(_) => Outcome::Success,
        }
    }

    fn kept_for(&self, request: &Request, now: Instant) -> Arc<Kept<M>> {
        let (service, endpoint) = (&request.service, &*request.method.endpoint);
        let endpoint = match self.per_service && self.own(service, endpoint).is_none() {
            true => "",
            false => endpoint,
        };
        self.kept.get(service, endpoint, || {
            let settings = self.own(service, endpoint).unwrap_or(&self.settings);
            Kept {
                service: service.clone(),
                endpoint: endpoint.into(),
                settings: settings.clone(),
                machine: Mutex::new(M::new(now)),
            }
        })
    }

    /// The settings of one method, where it has its own.
    fn own(&self, service: &Text, endpoint: &str) -> Option<&Arc<M::Settings>> {
        let is_it = |(of, method, _): &&(Text, Text, _)| of == service && **method == *endpoint;
        self.methods.iter().find(is_it).map(|(.., own)| own)
    }
}

impl<M: Machine> Clone for Circuits<M> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            methods: self.methods.clone(),
            per_service: self.per_service,
            is_failure: self.is_failure.clone(),
            fallback: self.fallback.clone(),
            kept: self.kept.clone(),
        }
    }
}

impl<M: Machine> fmt::Debug for Circuits<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuits")
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Kept<M> {
    /// Changes the circuit, and tells where that changes how it stands.
    fn with<T>(&self, change: impl FnOnce(&mut M, &M::Settings) -> T) -> T {
        let (before, done, after) = {
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let before = machine.state();
            let done = change(&mut machine, &self.settings);
            (before, done, machine.state())
        };
        let (service, endpoint) = (&*self.service, &*self.endpoint);
        match (before, after) {
            (State::Closed, State::Open) => warn!(service, endpoint, "circuit opened"),
            (State::HalfOpen, State::Open) => {
                debug!(service, endpoint, "circuit stays open: its test failed");
            }
            (_, State::HalfOpen) if before != after => {
                debug!(service, endpoint, "circuit is tested");
            }
            (_, State::Closed) if before != after => info!(service, endpoint, "circuit closed"),
            _ => {}
        }
        done
    }
}

/// A call that was let through; one that is given up where it is dropped.
struct Running<'a, M: Machine> {
    kept: &'a Kept<M>,
    permit: Option<M::Permit>,
}

impl<'a, M: Machine> Running<'a, M> {
    fn begin(kept: &'a Kept<M>, now: Instant) -> Result<Self, Stop> {
        let permit = kept.with(|machine, settings| machine.begin(settings, now))?;
        Ok(Self {
            kept,
            permit: Some(permit),
        })
    }

    fn end(mut self, now: Instant, how: Outcome) {
        self.finish(now, how);
    }

    fn finish(&mut self, now: Instant, how: Outcome) {
        if let Some(permit) = self.permit.take() {
            self.kept
                .with(|machine, settings| machine.end(settings, now, permit, how));
        }
    }
}

impl<M: Machine> Drop for Running<'_, M> {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.finish(Instant::now(), Outcome::GivenUp);
        }
    }
}

fn refused<M: Machine>(request: &Request, stop: Stop) -> Error {
    let words = match stop {
        Stop::Open(left) => format!("the circuit is open for {left:?} more"),
        Stop::Full => "it lets no more calls through at the moment".to_owned(),
    };
    refuse(
        request,
        "breaker",
        words,
        M::refused(&request.service, stop),
    )
}

fn too_slow(service: &Text, limit: Duration, error: Option<Error>) -> Error {
    // hystrix's words.
    let slow = Error::timeout(service.to_string(), "hystrix: timeout");
    let slow = match error {
        None => slow,
        Some(error) => match error.why() {
            Some(why) => slow.with_why(why.clone()).with_source(error),
            None => slow.with_source(error),
        },
    };
    let words = format!("no answer within {limit:?}");
    slow.with_step(Step::Refused(Refusal::new("breaker", words)))
}

/// How many circuits are kept where nothing else is said.
const MOST: usize = 10_000;
