//! The tries of one call: which node, how long, and whether another one may be asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::call_timeout;
use super::channels::Channels;
use super::options::CallDefaults;
use super::probe::Probe;
use super::stream::{bounded, ran_out};
use crate::call::{CallOptions, Reply, Request, Retry, RetryDecision};
use crate::error::{Attempt, Error, Result, id};
use crate::protocol::AttemptLimits;
use crate::registry::{Directory, NodeEntry, Nodes, View};
use crate::selector::{SelectOptions, select};
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
}

impl Attempts {
    /// Sends `request` to a node of `view`, to others where the retry policy allows it, until the
    /// call's deadline.
    pub(super) async fn run(&self, view: &View, request: &mut Request) -> Result<Reply> {
        let streams = request.method.kind.is_stream();
        let options = &request.options;
        let started = Instant::now();
        // The sooner of ours and the parent's. A stream's call timeout bounds its opening alone.
        let own = later(started, self.settings.timeout(options));
        let deadline = request
            .cx
            .deadline()
            .map_or(own, |parents| parents.min(own));
        if deadline <= started {
            return Err(Error::timeout(id::CLIENT, "context deadline exceeded").unprocessed());
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
        let mut history: Vec<Attempt> = Vec::new();
        let mut number = 0;
        // Reading the clock costs more than much else here: it is read anew where time has passed.
        let mut tried_at = started;
        loop {
            let options = &request.options;
            let entry = match self.choose(view, options, &tried, tried_at) {
                Ok(Some(entry)) => Ok(entry),
                Ok(None) => {
                    // Boxed, since few calls wait here and all would carry its room.
                    let chosen = Box::pin(self.wait_and_choose(view, options, &tried, deadline));
                    let chosen = chosen.await;
                    tried_at = Instant::now();
                    chosen
                }
                Err(error) => Err(error),
            };
            let entry = entry.map_err(|error| error.with_attempts(history.clone()))?;
            let error = match self.once(&entry, request, tried_at, deadline).await {
                Ok(reply) => {
                    // That it has answered since the try began is all that is noted.
                    entry.restore(self.directory.millis(tried_at));
                    return Ok(if streams {
                        self.bound(reply, request)
                    } else {
                        reply
                    });
                }
                Err(error) => error,
            };
            self.learn(&entry, &error, tried_at);
            if number >= retries || self.decide(request, number, &error) == RetryDecision::Stop {
                return Err(if history.is_empty() {
                    error
                } else {
                    note(history, &entry, tried_at, error)
                });
            }
            number += 1;
            debug!(node = entry.id(), attempt = number, %error, "trying again");
            history.push(Attempt::new(
                entry.id(),
                entry.address(),
                tried_at.elapsed(),
                &error,
            ));
            tried.push(entry);
            let pause = self.pause(&request.options, number);
            if after(pause) >= deadline {
                return Err(call_timeout(Some(error)).with_attempts(history));
            }
            if !pause.is_zero() {
                Box::pin(sleep(pause)).await;
            }
            tried_at = Instant::now();
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

    /// The node for this try: of those given by hand, or of the snapshot. `None` where the snapshot
    /// has none: then [`wait_and_choose`](Attempts::wait_and_choose).
    fn choose(
        &self,
        view: &View,
        options: &CallOptions,
        tried: &[Arc<NodeEntry>],
        now: Instant,
    ) -> Result<Option<Arc<NodeEntry>>> {
        if !options.addresses.is_empty() {
            let given = self.directory.addresses(&options.addresses);
            return self.select(&given, options, tried, now).map(Some);
        }
        if !view.is_ready() {
            return Ok(None);
        }
        Ok(self.select(&view.nodes(), options, tried, now).ok())
    }

    async fn wait_and_choose(
        &self,
        view: &View,
        options: &CallOptions,
        tried: &[Arc<NodeEntry>],
        deadline: Instant,
    ) -> Result<Arc<NodeEntry>> {
        if !view.is_ready() {
            view.ready(deadline).await?;
            let chosen = self.select(&view.nodes(), options, tried, Instant::now());
            if chosen.is_ok() {
                return chosen;
            }
        }
        // Nothing known, or nothing fits: ask once before saying so.
        view.refresh(deadline).await?;
        self.select(&view.nodes(), options, tried, Instant::now())
    }

    fn select(
        &self,
        nodes: &Nodes,
        options: &CallOptions,
        tried: &[Arc<NodeEntry>],
        now: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let now = self.directory.millis(now);
        select(nodes, &options.select, &self.select, tried, now)
    }

    /// Tells the node's entry what the failure of a try that began at `tried_at` says about it.
    fn learn(&self, entry: &Arc<NodeEntry>, error: &Error, tried_at: Instant) {
        let ours = [id::CLIENT, id::CLIENT_TRANSPORT, id::CLIENT_CODEC].contains(&error.id());
        if !ours {
            // An answer, whatever it says, proves it alive. The watch tells the rest.
            entry.restore(self.now());
            return;
        }
        if error.id() != id::CLIENT {
            return;
        }
        let Ok(transport) = self.channels.transport(entry) else {
            return;
        };
        let probe = || Probe::new(entry, self.now(), transport.clone(), &self.tasks);
        if error.is_timeout() {
            // A caller's time says nothing against the node, unless nobody can reach it: a host that
            // is gone swallows what is sent to it, and shows in no other way to calls in a hurry.
            if !entry.answers(self.directory.millis(tried_at)) && entry.suspect() {
                probe().check();
            }
        } else if error.is_unprocessed() && entry.eject(self.now()) {
            probe().begin();
        }
    }

    fn now(&self) -> u64 {
        self.directory.millis(Instant::now())
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

fn note(mut history: Vec<Attempt>, entry: &NodeEntry, tried_at: Instant, error: Error) -> Error {
    history.push(Attempt::new(
        entry.id(),
        entry.address(),
        tried_at.elapsed(),
        &error,
    ));
    error.with_attempts(history)
}
