//! The tries of one call: which node, how long, and whether another one may be asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::call_timeout;
use super::channels::Channels;
use super::decisions::{Decisions, Times};
use super::destination::Destination;
use super::options::CallDefaults;
use super::stream::{bounded, ran_out};
use crate::call::{CallOptions, Reply, Request, Retry, RetryDecision};
use crate::error::why::{Refusal, Step};
use crate::error::{Error, Result, id};
use crate::protocol::AttemptLimits;
use crate::registry::{Directory, NodeEntry};
use crate::selector::SelectOptions;
use crate::tasks::{Tasks, after, is_never, later};

/// What all calls of a client share.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) directory: Directory,
    pub(super) channels: Channels,
    pub(super) settings: CallDefaults,
    pub(super) tasks: Tasks,
    pub(super) select: SelectOptions,
    pub(super) proxy: Option<String>,
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
        let retries = request.options.retries.unwrap_or(self.settings.retries);
        let mut tried: Vec<Arc<NodeEntry>> = Vec::new();
        let mut number = 0;
        loop {
            let chosen = match self.choose(to, request, &tried, times.tried_at) {
                Ok(Some(entry)) => Ok(entry),
                Ok(None) => {
                    // Boxed, since few calls wait here and all would carry its room.
                    let chosen = Box::pin(self.wait_and_choose(to, request, &tried, deadline));
                    let chosen = chosen.await;
                    times.tried_at = Instant::now();
                    chosen
                }
                Err(error) => Err(error),
            };
            let entry = match chosen {
                Ok(entry) => entry,
                Err(error) => {
                    decisions.note(self.census(to, request, &tried, None, times.tried_at));
                    return Err(decisions.explain(error, request, times));
                }
            };
            if decisions.are_asked_for() {
                decisions.note(self.census(to, request, &tried, Some(&entry), times.tried_at));
            }
            let error = match self.once(&entry, request, times.tried_at, deadline).await {
                Ok(reply) => {
                    self.answered(&entry, times.tried_at);
                    if decisions.are_asked_for() {
                        decisions.tried(&entry, times, Ok(()));
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
                decisions.note(self.census(to, request, &tried, Some(&entry), times.tried_at));
            }
            decisions.tried(&entry, times, Err(&error));
            self.failed(&entry, &error, times.tried_at);
            if number >= retries || self.decide(request, number, &error) == RetryDecision::Stop {
                return Err(decisions.explain(error, request, times));
            }
            number += 1;
            debug!(node = entry.id(), attempt = number, %error, "trying again");
            tried.push(entry);
            let pause = self.pause(&request.options, number);
            if after(pause) >= deadline {
                let words = format!("it comes before the pause of {pause:?} is over");
                decisions.note(Step::Refused(Refusal::new("deadline", words)));
                return Err(decisions.explain(call_timeout(Some(error)), request, times));
            }
            if !pause.is_zero() {
                decisions.note(Step::Paused(pause));
                Box::pin(sleep(pause)).await;
            }
            times.tried_at = Instant::now();
        }
    }

    /// One try, no longer than the attempt's limit or what is left of the call.
    async fn once(
        &self,
        entry: &NodeEntry,
        request: &Request,
        now: Instant,
        deadline: Instant,
    ) -> Result<Reply> {
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
        match timeout_at(until, channel.call(request, limits)).await {
            // As below, where a server noticed first that the time is up and gave the call up.
            Ok(Err(error)) if ran_out(&error, until.saturating_duration_since(Instant::now())) => {}
            Ok(answer) => return answer,
            Err(_) => {}
        }
        if until == deadline {
            return Err(call_timeout(None));
        }
        Err(Error::timeout(
            id::CLIENT,
            format!(
                "no answer from {} at {} within {limit:?}",
                entry.id(),
                entry.address()
            ),
        ))
    }

    fn decide(&self, request: &Request, number: u32, error: &Error) -> RetryDecision {
        let again = match request
            .options
            .retry
            .as_ref()
            .unwrap_or(&self.settings.retry)
        {
            Retry::Never => false,
            Retry::GoMicro => error.code() == 408,
            Retry::Custom(policy) => return policy(request, number, error),
            Retry::Safe => {
                let idempotent =
                    request.options.idempotent || request.method.idempotency.is_idempotent();
                error.is_unprocessed()
                    || (idempotent && (error.code() == 408 || error.id() == id::CLIENT_TRANSPORT))
            }
        };
        if again {
            RetryDecision::Again
        } else {
            RetryDecision::Stop
        }
    }

    fn pause(&self, options: &CallOptions, number: u32) -> Duration {
        let backoff = options.backoff.as_ref().unwrap_or(&self.settings.backoff);
        backoff.pause(number, &self.tasks)
    }

    /// A stream that keeps to the call's idle timeout and to its deadline.
    fn bound(&self, reply: Reply, request: &Request) -> Reply {
        let idle = request.options.idle_timeout.or(self.settings.idle_timeout);
        bounded(reply, idle, request.cx.deadline())
    }
}

/// A caller's "no limit" is one that protocols can reckon with.
const LONGEST_DIAL: Duration = Duration::from_secs(24 * 60 * 60);
