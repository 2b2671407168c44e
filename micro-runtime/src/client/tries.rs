//! One call on its way: the nodes that were asked, and what follows from what they said.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::attempts::{Attempts, met_a_node, too_late};
use super::call_timeout;
use super::decisions::{self, Decisions, Times};
use super::destination::Destination;
use super::leaving::Leave;
use crate::call::{Reply, Request, RetryDecision};
use crate::error::why::{Refusal, Step};
use crate::error::{Error, Result};
use crate::registry::NodeEntry;
use crate::tasks::later;

/// One call that is tried at one node after another.
pub(super) struct Tries<'a> {
    pub(super) attempts: &'a Attempts,
    pub(super) to: &'a Destination,
    pub(super) request: &'a Request,
    pub(super) decisions: Decisions,
    pub(super) times: Times,
    /// The nodes that were asked, in order.
    pub(super) tried: Vec<Arc<NodeEntry>>,
    /// How many tries have failed.
    pub(super) number: u32,
    /// Whether one of them has met a node that no budget has paid another try for.
    pub(super) owes: bool,
}

impl Tries<'_> {
    pub(super) fn retries(&self) -> u32 {
        let own = self.request.options.retries;
        own.unwrap_or(self.attempts.settings.retries)
    }

    pub(super) fn choose(&self) -> Result<Option<Arc<NodeEntry>>> {
        let millis = self.times.millis;
        self.attempts
            .choose(self.to, self.request, &self.tried, millis)
    }

    pub(super) fn wait_and_choose(&self) -> impl Future<Output = Result<Arc<NodeEntry>>> + Send {
        let deadline = self.times.deadline;
        self.attempts
            .wait_and_choose(self.to, self.request, &self.tried, deadline)
    }

    /// The node of the next try, noted where somebody asks, or why there is none.
    pub(super) fn chosen(
        &mut self,
        chosen: Result<Option<Arc<NodeEntry>>>,
    ) -> Result<Arc<NodeEntry>> {
        let chosen = chosen.and_then(|chosen| chosen.ok_or_else(|| call_timeout(None)));
        match &chosen {
            Ok(entry) if self.decisions.are_asked_for() => {
                self.note_choice(Some(entry), decisions::LOOK);
            }
            Ok(_) => {}
            Err(error) => self.note_choice(None, decisions::depth(error)),
        }
        chosen
    }

    #[cold]
    fn note_choice(&mut self, chosen: Option<&NodeEntry>, depth: usize) {
        let look = (self.times.millis, depth);
        let attempts = self.attempts;
        let step = attempts.census(self.to, self.request, &self.tried, chosen, look);
        self.decisions.note(step);
    }

    pub(super) fn won(&mut self, entry: &NodeEntry, reply: &mut Reply) {
        let (attempts, times) = (self.attempts, self.times);
        attempts.succeeded(entry, self.request, reply, &times);
        if self.decisions.are_asked_for() {
            let node = attempts.channels.names(entry);
            self.decisions.tried(node, times, Ok(()));
            std::mem::take(&mut self.decisions).finish(self.request, times);
        }
    }

    /// What follows where a try has failed: the next one after a pause, or the error of the call.
    #[cold]
    pub(super) fn lost(
        &mut self,
        entry: &Arc<NodeEntry>,
        error: Error,
        leave: Leave,
    ) -> Result<Duration> {
        let (attempts, request, times) = (self.attempts, self.request, self.times);
        if !self.decisions.are_asked_for() {
            self.note_choice(Some(entry), decisions::depth(&error));
        }
        let node = attempts.channels.names(entry);
        self.decisions.tried(node, times, Err(&error));
        attempts.failed(self.to, request, entry, &error, times);
        let (number, retries) = (self.number, self.retries());
        if number >= retries || attempts.decide(request, number, &error) == RetryDecision::Stop {
            let retry = attempts.settings.retry(&request.options);
            self.decisions
                .stopped(&error, retry, (number, retries), times);
            return Err(error);
        }
        self.number += 1;
        self.owes |= met_a_node(&error) && leave != Leave::Paid;
        let pause = attempts.pause(&request.options, self.number);
        let now = Instant::now();
        if too_late(later(now, pause), times.deadline) {
            let words = format!("it comes before the pause of {pause:?} is over");
            let refusal = Refusal::new("deadline", words);
            self.decisions.note(Step::Refused(refusal));
            return Err(call_timeout(Some(error)));
        }
        if self.owes
            && let Err(figures) = attempts.pay(self.to, now)
        {
            self.decisions.note(Step::Refused(figures.refusal()));
            return Err(error);
        }
        self.owes = false;
        debug!(node = entry.id(), attempt = self.number, %error, "trying again");
        if !pause.is_zero() {
            self.decisions.note(Step::Paused(pause));
        }
        Ok(pause)
    }

    #[cold]
    pub(super) fn end(&mut self, error: Error) -> Error {
        std::mem::take(&mut self.decisions).explain(error, self.request, self.times)
    }
}
