//! Calls that go to another node before the first has failed.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::attempts::{Attempts, is_idempotent, met_a_node, no_time, too_late};
use super::call_timeout;
use super::decisions::{self, Decisions, Times};
use super::destination::Destination;
use super::learning::says_so;
use super::leaving::Leave;
use crate::call::{Hedge, Reply, Request, RetryDecision};
use crate::error::why::{Cause, Refusal, Step};
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::registry::NodeEntry;
use crate::tasks::{after, later};

impl Attempts {
    /// How the call is hedged, if it is.
    ///
    /// # Errors
    /// 400 where its caller asks for what could run it twice.
    pub(super) fn hedge(&self, request: &Request) -> Result<Option<Hedge>> {
        let asked = request.options.hedge;
        if request.method.kind != Kind::Unary {
            return Ok(None);
        }
        if !is_idempotent(request) {
            // The client's own setting is for all its methods; a caller means this one.
            return match asked {
                None => Ok(None),
                Some(_) => Err(not_idempotent(request)),
            };
        }
        let hedge = asked.or(self.settings.hedge);
        Ok(hedge.filter(|hedge| hedge.at_once > 1))
    }

    /// Sends `request` to a node, and to others as long as none has answered in time, until the
    /// call's deadline. Those that are not needed are dropped, which gives the call up at their nodes.
    pub(super) async fn hedged(
        &self,
        to: &Destination,
        request: &Request,
        hedge: Hedge,
        decisions: Decisions,
        times: Times,
    ) -> Result<Reply> {
        let mut call = Hedged {
            attempts: self,
            to,
            request,
            hedge,
            decisions,
            times,
            retries: request.options.retries.unwrap_or(self.settings.retries),
            tried: Vec::new(),
            running: Vec::new(),
            owed: 0,
            next: Some(times.started),
            stopped: false,
            last: None,
        };
        loop {
            if let Err(error) = call.begin().await {
                return Err(call.end(error));
            }
            let Some((index, result)) = call.event().await else {
                continue;
            };
            let ended = call.running.swap_remove(index);
            let error = match result {
                Ok(mut reply) => {
                    reply.began = Some(ended.at);
                    call.won(&ended);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if let Some(error) = call.lost(&ended, error) {
                return Err(call.end(error));
            }
        }
    }
}

/// One hedged call on its way.
struct Hedged<'a> {
    attempts: &'a Attempts,
    to: &'a Destination,
    request: &'a Request,
    hedge: Hedge,
    decisions: Decisions,
    times: Times,
    retries: u32,
    /// The nodes that were asked, in order.
    tried: Vec<Arc<NodeEntry>>,
    running: Vec<Running<'a>>,
    /// How many tries have met a node, or still may, that no budget has paid another one for.
    owed: u32,
    /// When another node is asked; `None` where none is any more.
    next: Option<Instant>,
    /// Whether the retry policy wants no other node asked.
    stopped: bool,
    /// What the last try that ended has said.
    last: Option<Error>,
}

/// A try that has not ended.
struct Running<'a> {
    entry: Arc<NodeEntry>,
    /// How many nodes were asked before.
    number: usize,
    at: Instant,
    answer: Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>,
}

impl<'a> Hedged<'a> {
    /// Begins the next try where it is time for it. Fails where nothing runs then.
    async fn begin(&mut self) -> Result<()> {
        let now = Instant::now();
        let full = self.running.len() >= self.hedge.at_once as usize;
        if full || self.next.is_none_or(|next| next > now) {
            return Ok(());
        }
        self.next = None;
        let deadline = self.times.deadline;
        let alone = self.running.is_empty();
        let attempts = self.attempts;
        let mut chosen = attempts.choose(self.to, self.request, &self.tried, now);
        if alone && matches!(chosen, Ok(None)) {
            let waited = attempts.wait_and_choose(self.to, self.request, &self.tried, deadline);
            chosen = waited.await.map(Some);
            if too_late(Instant::now(), deadline) {
                if let Ok(Some(entry)) = &chosen {
                    entry.release();
                }
                chosen = chosen.and(Err(no_time(&self.tried)));
            }
        }
        let entry = match chosen {
            Ok(Some(entry)) => entry,
            Err(error) if alone => {
                let look = (now, decisions::depth(&error));
                let census = attempts.census(self.to, self.request, &self.tried, None, look);
                self.decisions.note(census);
                return Err(error);
            }
            // Those that run may answer still.
            Ok(None) | Err(_) => return Ok(()),
        };
        // Whom the call waits for already is no other node.
        if self.running.iter().any(|run| run.entry.is_same(&entry)) {
            return Ok(());
        }
        if self.owed > 0 {
            if let Err(figures) = attempts.pay(self.to, now) {
                entry.release();
                self.decisions.note(Step::Refused(figures.refusal()));
                return match alone {
                    true => Err(self.last.take().unwrap_or_else(|| call_timeout(None))),
                    false => Ok(()),
                };
            }
            self.owed -= 1;
        }
        self.owed += 1;
        if self.decisions.are_asked_for() {
            let look = (now, decisions::LOOK);
            let census = attempts.census(self.to, self.request, &self.tried, Some(&entry), look);
            self.decisions.note(census);
        }
        let number = self.tried.len();
        if number > 0 {
            debug!(node = entry.id(), attempt = number, "asking another node");
        }
        self.tried.push(entry.clone());
        let (to, asked, at) = (self.to, entry.clone(), Instant::now());
        let times = Times {
            tried_at: at,
            ..self.times
        };
        // A request of its own, since it notes how far its try has come.
        let request = self.request.try_clone();
        let shared = self.request;
        self.running.push(Running {
            entry,
            number,
            at,
            answer: Box::pin(async move {
                let request = request.as_ref().unwrap_or(shared);
                attempts
                    .once(to, &asked, request, times, &mut Leave::Never)
                    .await
            }),
        });
        if self.running.len() < self.hedge.at_once as usize && self.may_ask_more() {
            self.next = Some(later(at, self.hedge.after));
        }
        Ok(())
    }

    /// Waits for the end of a try, which it gives, or until it is time for the next.
    async fn event(&mut self) -> Option<(usize, Result<Reply>)> {
        let full = self.running.len() >= self.hedge.at_once as usize;
        let running = &mut self.running;
        let mut ended = poll_fn(|task| poll_any(running, task));
        match self.next.filter(|_| !full) {
            None => Some(ended.await),
            Some(next) => {
                let mut due = pin!(sleep_until(next));
                tokio::select! {
                    biased;
                    ended = &mut ended => Some(ended),
                    () = &mut due => None,
                }
            }
        }
    }

    fn may_ask_more(&self) -> bool {
        self.tried.len() <= self.retries as usize
    }

    fn times(&self, run: &Running<'_>) -> Times {
        Times {
            tried_at: run.at,
            ..self.times
        }
    }

    fn won(&mut self, run: &Running<'_>) {
        self.attempts.answered(&run.entry, run.at);
        if self.decisions.are_asked_for() {
            let times = self.times(run);
            self.give_up();
            let node = self.attempts.channels.names(&run.entry);
            self.decisions.tried(node, times, Ok(()));
            std::mem::take(&mut self.decisions).finish(self.request, times);
        }
    }

    /// A try has failed: gives the error of the call, where no other may answer.
    fn lost(&mut self, run: &Running<'_>, error: Error) -> Option<Error> {
        let (attempts, times) = (self.attempts, self.times(run));
        // The number of the try that failed, from 0.
        let number = u32::try_from(self.tried.len()).unwrap_or(u32::MAX) - 1;
        let stop = attempts.decide(self.request, number, &error) == RetryDecision::Stop;
        self.stopped |= stop;
        // What a handler says any node's would most likely say. Another failure is this node's alone:
        // those that run may answer still.
        if stop && Cause::of(&error) == Cause::Answered && !says_so(&error) {
            // Before what they are given up for, which is the last that the log tells.
            self.give_up();
        }
        if !self.decisions.are_asked_for() {
            let before = self.tried.get(..run.number).unwrap_or_default();
            let look = (run.at, decisions::depth(&error));
            let census = attempts.census(self.to, self.request, before, Some(&run.entry), look);
            self.decisions.note(census);
        }
        self.decisions
            .tried(attempts.channels.names(&run.entry), times, Err(&error));
        attempts.failed(self.to, self.request, &run.entry, &error, times);
        if !met_a_node(&error) {
            self.owed = self.owed.saturating_sub(1);
        }
        let alone = self.running.is_empty();
        if self.stopped || !self.may_ask_more() {
            self.next = None;
            if !alone {
                return None;
            }
            let retry = attempts.settings.retry(&self.request.options);
            let tries = (number, self.retries);
            self.decisions.stopped(&error, retry, tries, times);
            return Some(error);
        }
        let pause = attempts.pause(&self.request.options, number + 1);
        let at = after(pause);
        if too_late(at, times.deadline) {
            self.next = None;
            if !alone {
                return None;
            }
            let words = format!("it comes before the pause of {pause:?} is over");
            let refusal = Refusal::new("deadline", words);
            self.decisions.note(Step::Refused(refusal));
            return Some(call_timeout(Some(error)));
        }
        if alone && !pause.is_zero() {
            self.decisions.note(Step::Paused(pause));
        }
        self.next = Some(at);
        self.last = Some(error);
        None
    }

    /// Notes those that still run, and ends them.
    fn give_up(&mut self) {
        for run in std::mem::take(&mut self.running) {
            let times = self.times(&run);
            let node = self.attempts.channels.names(&run.entry);
            self.decisions.given_up(node, times);
        }
    }

    fn end(self, error: Error) -> Error {
        self.decisions.explain(error, self.request, self.times)
    }
}

fn poll_any(running: &mut [Running<'_>], task: &mut Task<'_>) -> Poll<(usize, Result<Reply>)> {
    for (index, run) in running.iter_mut().enumerate() {
        if let Poll::Ready(result) = run.answer.as_mut().poll(task) {
            return Poll::Ready((index, result));
        }
    }
    Poll::Pending
}

fn not_idempotent(request: &Request) -> Error {
    let words = format!(
        "{} is not called twice at once, since it is not known to do no harm: say .idempotent() on the call, or idempotency_level in the .proto",
        request.method.endpoint
    );
    Error::bad_request(id::CLIENT, words).unprocessed()
}
