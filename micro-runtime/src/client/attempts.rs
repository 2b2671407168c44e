//! The tries of one call: which node, how long, and whether another one may be asked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::active::Active;
use super::budget::BudgetFigures;
use super::call_timeout;
use super::channels::Channels;
use super::decisions::{Decisions, Times};
use super::destination::Destination;
use super::leaving::{Leave, Waited};
use super::measure::Measure;
use super::options::CallDefaults;
use super::outlier::{Outliers, Share};
use super::stream::bounded;
use super::tries::Tries;
use crate::call::{Body, CallOptions, Hedge, Reply, Request, Retry, RetryDecision, ran_out};
use crate::error::why::{Cause, Refusal, Step};
use crate::error::{Error, Result, id};
use crate::protocol::AttemptLimits;
use crate::registry::{Directory, NodeEntry};
use crate::selector::SelectOptions;
use crate::tasks::{Tasks, is_never, later};

/// What all calls of a client share.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) directory: Directory,
    pub(super) channels: Channels,
    pub(super) settings: CallDefaults,
    pub(super) tasks: Tasks,
    pub(super) select: SelectOptions,
    pub(super) proxy: Option<String>,
    pub(super) outliers: Arc<Outliers>,
    pub(super) active: Option<Active>,
    /// How many of the addresses given by hand are left alone for how calls went.
    pub(super) by_hand: Share,
    pub(super) check_schema: bool,
}

impl Attempts {
    /// Sends `request` to a node of `to`, to others where the retry policy allows it, until the
    /// call's deadline.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` keeps its arguments twice, and a future of more than 1032 bytes is allocated in a slow way by glibc"
    )]
    pub(super) fn run<'a>(
        &'a self,
        to: &'a Destination,
        request: &'a mut Request,
    ) -> impl Future<Output = Result<Reply>> + Send + 'a {
        async move {
            let times = self.times(request);
            let mut decisions = Decisions::of(request);
            let hedge = match self.begin(to, request, &times, &mut decisions) {
                Ok(hedge) => hedge,
                Err(error) => return Err(decisions.explain(error, request, times)),
            };
            if let Some(hedge) = hedge {
                // Boxed, so that other calls do not carry its room.
                return Box::pin(self.hedged(to, request, hedge, decisions, times)).await;
            }
            let mut call = Tries {
                attempts: self,
                to,
                request,
                decisions,
                times,
                tried: Vec::new(),
                number: 0,
                owes: false,
            };
            loop {
                let mut chosen = call.choose();
                if let Ok(None) = chosen {
                    // Boxed, since few calls wait here and all would carry its room.
                    chosen = Box::pin(call.wait_and_choose()).await.map(Some);
                    self.try_now(&mut call.times);
                }
                let entry = match call.chosen(chosen) {
                    Ok(entry) => entry,
                    Err(error) => return Err(call.end(error)),
                };
                let mut leave = self.may_leave(call.request, call.number < call.retries());
                let tries = self.once(to, &entry, call.request, &call.times, &mut leave);
                let mut result = tries.await;
                let error = match result {
                    Ok(ref mut reply) => {
                        call.won(&entry, reply);
                        return result;
                    }
                    Err(error) => error,
                };
                let pause = match call.lost(&entry, error, leave) {
                    Ok(pause) => pause,
                    Err(error) => return Err(call.end(error)),
                };
                call.tried.push(entry);
                if !pause.is_zero() {
                    Box::pin(sleep(pause)).await;
                }
                self.try_now(&mut call.times);
            }
        }
    }

    /// The times of a call that begins now.
    fn times(&self, request: &Request) -> Times {
        let started = Instant::now();
        // The sooner of ours and the parent's. A stream's call timeout bounds its opening alone.
        let own = later(started, self.settings.timeout(&request.options));
        let parents = request.cx.deadline();
        Times {
            started,
            // Reading the clock costs more than much else here: it is read anew where time has passed.
            tried_at: started,
            millis: self.directory.millis(started),
            deadline: parents.map_or(own, |parents| parents.min(own)),
        }
    }

    /// The call's next try begins.
    pub(super) fn try_now(&self, times: &mut Times) {
        times.tried_at = Instant::now();
        times.millis = self.directory.millis(times.tried_at);
    }

    /// What comes before the first try; gives how the call is hedged, if it is.
    fn begin(
        &self,
        to: &Destination,
        request: &mut Request,
        times: &Times,
        decisions: &mut Decisions,
    ) -> Result<Option<Hedge>> {
        let (started, deadline) = (times.started, times.deadline);
        if deadline <= started {
            decisions.note(Step::Refused(Refusal::new(
                "deadline",
                "it had passed before the call began",
            )));
            let words = "context deadline exceeded";
            return Err(Error::timeout(id::CLIENT, words).unprocessed());
        }
        let options = &request.options;
        if !request.method.kind.is_stream() {
            if !is_never(started, deadline) {
                request.cx.limit(deadline);
            }
        } else if let Some(timeout) = options.stream_timeout.or(self.settings.stream_timeout) {
            request.cx.limit(later(started, timeout));
        }
        if self.settings.retry_budget.is_some() {
            to.state.budget.call(times.millis);
        }
        if request.options.hedge.or(self.settings.hedge).is_none() {
            return Ok(None);
        }
        let hedge = self.hedge(request);
        if hedge.is_err() {
            decisions.note(Step::Refused(Refusal::new("policy", NOT_IDEMPOTENT)));
        }
        hedge
    }

    /// A try was answered well.
    pub(super) fn succeeded(
        &self,
        entry: &NodeEntry,
        request: &Request,
        reply: &mut Reply,
        times: &Times,
    ) {
        reply.began = Some(times.tried_at);
        // Some protocols open streams without a word of the peer: its first message counts.
        if !matches!(reply.message, Body::Stream(_)) {
            entry.restore(times.millis);
        }
        if request.method.kind.is_stream() {
            // It keeps to the call's idle timeout and to its deadline.
            let idle = request.options.idle_timeout.or(self.settings.idle_timeout);
            *reply = bounded(std::mem::take(reply), idle, request.cx.deadline());
        }
    }

    /// One try, counted and measured: what a node answers, no later than the try's limit or what is left
    /// of the call; sooner where the node is found to answer nobody and the call may `leave` it.
    pub(super) fn once<'a>(
        &'a self,
        to: &'a Destination,
        entry: &'a Arc<NodeEntry>,
        request: &'a Request,
        times: &'a Times,
        leave: &'a mut Leave,
    ) -> impl Future<Output = Result<Reply>> + Send + 'a {
        // What is kept here is kept while the answer is waited for.
        let mut measure = Measure::begin(entry, times);
        async move {
            let mut answer = match self.channels.to(measure.entry) {
                Ok(channel) => channel.call(request, self.limits(request, measure.times)),
                Err(error) => return measure.ended(Err(error)),
            };
            let patience = self.patience(request, measure.times);
            // Over before the next wait begins: their room is the same.
            match timeout_at(patience, &mut answer).await {
                Ok(mut result) if !self.is_over(&result, request, measure.times) => {
                    read(request, &mut result);
                    measure.end(&mut result);
                    return result;
                }
                Ok(_) => {
                    let error = self.no_answer(request, &measure, false);
                    return measure.ended(Err(error));
                }
                Err(_) => {}
            }
            let mut left = false;
            if self.patience(request, measure.times) < self.until(request, measure.times) {
                // Boxed, since few calls wait so long and all would carry its room.
                match Box::pin(self.wait_on(to, request, &mut answer, &measure, leave)).await {
                    Waited::Answered(mut result)
                        if !self.is_over(&result, request, measure.times) =>
                    {
                        read(request, &mut result);
                        measure.end(&mut result);
                        return result;
                    }
                    Waited::Answered(_) | Waited::InVain => {}
                    Waited::Left => left = true,
                }
            }
            let error = self.no_answer(request, &measure, left);
            measure.ended(Err(error))
        }
    }

    /// How long a try is waited for in peace: one that waits long is a reason to look at its node, and
    /// goes on.
    fn patience(&self, request: &Request, times: &Times) -> Instant {
        let until = self.until(request, times);
        let patience = self.outliers.patience;
        patience.map_or(until, |limit| later(times.tried_at, limit).min(until))
    }

    /// Whether an answer is none of the handler's: a server noticed first that the try's time is up, and
    /// gave the call up.
    fn is_over(&self, answer: &Result<Reply>, request: &Request, times: &Times) -> bool {
        let until = || self.until(request, times);
        let left = || until().saturating_duration_since(Instant::now());
        answer.as_ref().is_err_and(|error| ran_out(error, left()))
    }

    /// When a try is over.
    pub(super) fn until(&self, request: &Request, times: &Times) -> Instant {
        times
            .deadline
            .min(later(times.tried_at, self.limit(request)))
    }

    /// How long a try takes at most.
    fn limit(&self, request: &Request) -> Duration {
        let own = request.options.attempt_timeout;
        own.unwrap_or(self.settings.attempt_timeout)
    }

    fn limits(&self, request: &Request, times: &Times) -> AttemptLimits {
        let dial_timeout = request.options.dial_timeout;
        let (now, until) = (times.tried_at, self.until(request, times));
        AttemptLimits {
            now,
            deadline: if request.method.kind.is_stream() {
                request.cx.deadline()
            } else {
                // What is as good as never is not told.
                Some(until).filter(|until| !is_never(now, *until))
            },
            dial_timeout: dial_timeout
                .unwrap_or(self.settings.dial_timeout)
                .min(LONGEST_DIAL),
        }
    }

    /// What became of a try that was not answered in its time, or whose node is `left`.
    #[cold]
    fn no_answer(&self, request: &Request, measure: &Measure<'_>, left: bool) -> Error {
        let (entry, times) = (measure.entry, measure.times);
        let limit = self.limit(request);
        let dialling = request.dialling.swap(false, Ordering::Relaxed);
        let cause = match dialling {
            true => Cause::Unreachable,
            false => Cause::Silent,
        };
        // Without a connection nothing was sent.
        let told = |error: Error| match dialling {
            true => error.unprocessed().caused_by(cause),
            false => error.caused_by(cause),
        };
        if self.until(request, times) == times.deadline && !left {
            return told(call_timeout(None));
        }
        let (id, address) = (entry.id(), entry.address());
        let words = match (dialling, left) {
            (true, false) => format!("no connection to {id} at {address} within {limit:?}"),
            (false, false) => format!("no answer from {id} at {address} within {limit:?}"),
            (true, true) => format!("no connection to {id} at {address}, which answers nobody"),
            (false, true) => format!("no answer from {id} at {address}, which answers nobody"),
        };
        told(Error::timeout(id::CLIENT, words))
    }

    /// Takes a further try from the budget of the destination, where it has one.
    pub(super) fn pay(&self, to: &Destination, now: Instant) -> Result<(), BudgetFigures> {
        let Some(settings) = self.settings.retry_budget else {
            return Ok(());
        };
        to.state.budget.take(settings, self.directory.millis(now))
    }

    pub(super) fn decide(&self, request: &Request, number: u32, error: &Error) -> RetryDecision {
        let again = match self.settings.retry(&request.options) {
            Retry::Never => false,
            Retry::GoMicro => error.code() == 408,
            Retry::Custom(policy) => return policy(request, number, error),
            Retry::Safe => {
                error.is_unprocessed() || (is_idempotent(request) && is_no_answer(error))
            }
        };
        if again {
            RetryDecision::Again
        } else {
            RetryDecision::Stop
        }
    }

    pub(super) fn pause(&self, options: &CallOptions, number: u32) -> Duration {
        let backoff = options.backoff.as_ref().unwrap_or(&self.settings.backoff);
        backoff.pause(number, &self.tasks)
    }
}

/// Reads the reply of a call that another node may be asked for, so that garbage is found in time.
fn read(request: &Request, answer: &mut Result<Reply>) {
    if let (Some(reads), Ok(reply)) = (request.reads, &mut *answer)
        && let Body::One(bytes) = &reply.message
    {
        match reads(&*request.codec, bytes) {
            Ok(already) => reply.read = already,
            Err(error) => *answer = Err(error.or_caused_by(Cause::Garbled)),
        }
    }
}

/// Whether the call may run twice.
pub(super) fn is_idempotent(request: &Request) -> bool {
    request.options.idempotent || request.method.idempotency.is_idempotent()
}

/// Whether a try ended without an answer of the node, or with none that can be read: also where
/// somebody on the way has refused the call, a proxy for instance, which does not say whether it ran.
/// An error that the node has answered is an answer: whoever made it knows what was tried, and tries
/// above it would multiply those below.
fn is_no_answer(error: &Error) -> bool {
    let cause = Cause::of(error);
    matches!(
        cause,
        Cause::Silent | Cause::Lost | Cause::Garbled | Cause::Refused
    )
}

/// Whether a try that failed so has put work on a node.
pub(super) fn met_a_node(error: &Error) -> bool {
    !matches!(Cause::of(error), Cause::Unreachable | Cause::Own)
}

/// Whether what begins at `at` cannot be done by `deadline`: no node answers in less.
pub(super) fn too_late(at: Instant, deadline: Instant) -> bool {
    deadline.saturating_duration_since(at) < LEAST
}

/// The error of a call that has no time left when it has found a node for its next try.
pub(super) fn no_time(tried: &[Arc<NodeEntry>]) -> Error {
    let error = call_timeout(None);
    match tried {
        [] => error.unprocessed(),
        _ => error,
    }
}

/// Why a call that asks for it is not hedged.
const NOT_IDEMPOTENT: &str = "it is not idempotent, so it is not sent to two nodes";
/// The shortest try: servers are told whole milliseconds.
const LEAST: Duration = Duration::from_millis(1);
/// A caller's "no limit" is one that protocols can reckon with.
const LONGEST_DIAL: Duration = Duration::from_secs(24 * 60 * 60);
