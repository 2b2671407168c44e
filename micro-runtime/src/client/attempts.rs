//! The tries of one call: which node, how long, and whether another one may be asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::active::Active;
use super::budget::BudgetFigures;
use super::call_timeout;
use super::channels::Channels;
use super::decisions::{self, Decisions, Times};
use super::destination::Destination;
use super::leaving::{Leave, Waited};
use super::measure::Measure;
use super::options::CallDefaults;
use super::outlier::{Outliers, Share};
use super::stream::bounded;
use crate::call::{Body, CallOptions, Reply, Request, Retry, RetryDecision, ran_out};
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
    pub(super) async fn run(&self, to: &Destination, request: &mut Request) -> Result<Reply> {
        let streams = request.method.kind.is_stream();
        let options = &request.options;
        let started = Instant::now();
        // The sooner of ours and the parent's. A stream's call timeout bounds its opening alone.
        let own = later(started, self.settings.timeout(options));
        let deadline = request
            .cx
            .deadline()
            .map_or(own, |parents| parents.min(own));
        let mut times = Times {
            started,
            // Reading the clock costs more than much else here: it is read anew where time has passed.
            tried_at: started,
            deadline,
        };
        let mut decisions = Decisions::of(request);
        if deadline <= started {
            let error = Error::timeout(id::CLIENT, "context deadline exceeded").unprocessed();
            decisions.note(Step::Refused(Refusal::new(
                "deadline",
                "it had passed before the call began",
            )));
            return Err(decisions.explain(error, request, times));
        }
        if !streams {
            if !is_never(started, deadline) {
                request.cx.limit(deadline);
            }
        } else if let Some(timeout) = options.stream_timeout.or(self.settings.stream_timeout) {
            request.cx.limit(later(started, timeout));
        }
        if self.settings.retry_budget.is_some() {
            to.state.budget.call(self.directory.millis(started));
        }
        if request.options.hedge.or(self.settings.hedge).is_some() {
            let request = &*request;
            match self.hedge(request) {
                // Boxed, so that other calls do not carry its room.
                Ok(Some(hedge)) => {
                    return Box::pin(self.hedged(to, request, hedge, decisions, times)).await;
                }
                Ok(None) => {}
                Err(error) => {
                    decisions.note(Step::Refused(Refusal::new("policy", NOT_IDEMPOTENT)));
                    return Err(decisions.explain(error, request, times));
                }
            }
        }
        let retries = request.options.retries.unwrap_or(self.settings.retries);
        let mut tried: Vec<Arc<NodeEntry>> = Vec::new();
        let mut number = 0;
        // Whether a try has met a node that no budget has paid another one for.
        let mut owes = false;
        loop {
            let chosen = match self.choose(to, request, &tried, times.tried_at) {
                Ok(Some(entry)) => Ok(entry),
                Ok(None) => {
                    // Boxed, since few calls wait here and all would carry its room.
                    let chosen = Box::pin(self.wait_and_choose(to, request, &tried, deadline));
                    let chosen = chosen.await;
                    times.tried_at = Instant::now();
                    match chosen {
                        Ok(entry) if too_late(times.tried_at, deadline) => {
                            entry.release();
                            Err(no_time(&tried))
                        }
                        chosen => chosen,
                    }
                }
                Err(error) => Err(error),
            };
            let entry = match chosen {
                Ok(entry) => entry,
                Err(error) => {
                    let look = (times.tried_at, decisions::depth(&error));
                    decisions.note(self.census(to, request, &tried, None, look));
                    return Err(decisions.explain(error, request, times));
                }
            };
            if decisions.are_asked_for() {
                let look = (times.tried_at, decisions::LOOK);
                decisions.note(self.census(to, request, &tried, Some(&entry), look));
            }
            let mut leave = self.may_leave(request, number < retries);
            let error = match self.once(to, &entry, request, times, &mut leave).await {
                Ok(mut reply) => {
                    reply.began = Some(times.tried_at);
                    // Some protocols open streams without a word of the peer: its first message counts.
                    if !matches!(reply.message, Body::Stream(_)) {
                        self.answered(&entry, times.tried_at);
                    }
                    if decisions.are_asked_for() {
                        decisions.tried(self.channels.names(&entry), times, Ok(()));
                        decisions.finish(request, times);
                    }
                    return Ok(if streams {
                        self.bound(reply, request)
                    } else {
                        reply
                    });
                }
                Err(error) => error,
            };
            if !decisions.are_asked_for() {
                let look = (times.tried_at, decisions::depth(&error));
                decisions.note(self.census(to, request, &tried, Some(&entry), look));
            }
            decisions.tried(self.channels.names(&entry), times, Err(&error));
            self.failed(to, request, &entry, &error, times);
            if number >= retries || self.decide(request, number, &error) == RetryDecision::Stop {
                let retry = self.settings.retry(&request.options);
                decisions.stopped(&error, retry, (number, retries), times);
                return Err(decisions.explain(error, request, times));
            }
            number += 1;
            owes |= met_a_node(&error) && leave != Leave::Paid;
            let pause = self.pause(&request.options, number);
            let now = Instant::now();
            if too_late(later(now, pause), deadline) {
                let words = format!("it comes before the pause of {pause:?} is over");
                decisions.note(Step::Refused(Refusal::new("deadline", words)));
                return Err(decisions.explain(call_timeout(Some(error)), request, times));
            }
            if owes && let Err(figures) = self.pay(to, now) {
                decisions.note(Step::Refused(figures.refusal()));
                return Err(decisions.explain(error, request, times));
            }
            owes = false;
            debug!(node = entry.id(), attempt = number, %error, "trying again");
            tried.push(entry);
            if !pause.is_zero() {
                decisions.note(Step::Paused(pause));
                Box::pin(sleep(pause)).await;
            }
            times.tried_at = Instant::now();
        }
    }

    /// One try, counted and measured.
    pub(super) async fn once(
        &self,
        to: &Destination,
        entry: &Arc<NodeEntry>,
        request: &Request,
        times: Times,
        leave: &mut Leave,
    ) -> Result<Reply> {
        let began = times.tried_at;
        let measure = Measure::begin(entry, began, self.directory.millis(began));
        let result = self.answer(to, entry, request, times, leave).await;
        measure.end(result)
    }

    /// What a node answers, no later than the attempt's limit or what is left of the call; sooner where
    /// the node is found to answer nobody and the call may `leave` it.
    async fn answer(
        &self,
        to: &Destination,
        entry: &Arc<NodeEntry>,
        request: &Request,
        times: Times,
        leave: &mut Leave,
    ) -> Result<Reply> {
        let (now, deadline) = (times.tried_at, times.deadline);
        let options = &request.options;
        let limit = options
            .attempt_timeout
            .unwrap_or(self.settings.attempt_timeout);
        let until = deadline.min(later(now, limit));
        let limits = AttemptLimits {
            deadline: if request.method.kind.is_stream() {
                request.cx.deadline()
            } else {
                // What is as good as never is not told.
                Some(until).filter(|until| !is_never(now, *until))
            },
            dial_timeout: options
                .dial_timeout
                .unwrap_or(self.settings.dial_timeout)
                .min(LONGEST_DIAL),
        };
        let channel = self.channels.to(entry)?;
        let mut answer = channel.call(request, limits);
        // A try that waits long is a reason to look at its node, and goes on.
        let patience = self.outliers.patience.map(|limit| later(now, limit));
        let patience = patience.map_or(until, |patience| patience.min(until));
        let mut waited = match timeout_at(patience, &mut answer).await {
            Ok(answer) => Waited::Answered(answer),
            Err(_) => Waited::InVain,
        };
        if matches!(waited, Waited::InVain) && patience < until {
            // Before it is looked for: what is found out at once is not missed.
            let found = entry.found_silent(self.directory.millis(now));
            self.waits_long(to, request, entry, now);
            // Boxed, since few calls wait so long and all would carry its room.
            waited = Box::pin(self.wait_on(to, request, answer, found, (until, leave))).await;
        }
        let left = matches!(waited, Waited::Left);
        match waited {
            // As below, where a server noticed first that the time is up and gave the call up.
            Waited::Answered(Err(error))
                if ran_out(&error, until.saturating_duration_since(Instant::now())) => {}
            Waited::Answered(answer) => return answer.and_then(|reply| read(request, reply)),
            Waited::InVain | Waited::Left => {}
        }
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
        if until == deadline && !left {
            return Err(told(call_timeout(None)));
        }
        let (id, address) = (entry.id(), entry.address());
        let words = match (dialling, left) {
            (true, false) => format!("no connection to {id} at {address} within {limit:?}"),
            (false, false) => format!("no answer from {id} at {address} within {limit:?}"),
            (true, true) => format!("no connection to {id} at {address}, which answers nobody"),
            (false, true) => format!("no answer from {id} at {address}, which answers nobody"),
        };
        Err(told(Error::timeout(id::CLIENT, words)))
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

    /// A stream that keeps to the call's idle timeout and to its deadline.
    fn bound(&self, reply: Reply, request: &Request) -> Reply {
        let idle = request.options.idle_timeout.or(self.settings.idle_timeout);
        bounded(reply, idle, request.cx.deadline())
    }
}

/// Reads the reply of a call that another node may be asked for, so that garbage is found in time.
fn read(request: &Request, mut reply: Reply) -> Result<Reply> {
    if let (Some(reads), Body::One(bytes)) = (request.reads, &reply.message) {
        let already = reads(&*request.codec, bytes);
        reply.read = already.map_err(|error| error.or_caused_by(Cause::Garbled))?;
    }
    Ok(reply)
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
