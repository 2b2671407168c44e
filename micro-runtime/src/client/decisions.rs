//! Notes what is decided on a call's way, where it fails or was asked for that.

use std::sync::Arc;

use tokio::time::Instant;

use super::attempts::Attempts;
use super::destination::Destination;
use crate::call::Request;
use crate::error::Error;
use crate::error::why::{
    Attempt, Cause, Choice, Failure, LeftOut, MAX_NAMED, Reason, Recorder, Step, Why,
};
use crate::registry::NodeEntry;

/// The decisions of one call. Nothing is kept until a try has failed, unless the call was asked for
/// its decisions.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    why: Option<Box<Why>>,
    recorder: Option<Recorder>,
}

impl Decisions {
    /// Of a call that is asked for them where it has a recorder.
    pub(super) fn of(request: &Request) -> Self {
        Self {
            why: None,
            recorder: request.options.recorder.clone(),
        }
    }

    /// Whether the call was asked for its decisions, so that also what goes well is noted.
    pub(super) fn are_asked_for(&self) -> bool {
        self.recorder.is_some()
    }

    pub(super) fn note(&mut self, step: Step) {
        match &self.recorder {
            Some(recorder) => recorder.note(step),
            None => self.why.get_or_insert_default().push(step),
        }
    }

    /// Notes how a try ended.
    pub(super) fn tried(&mut self, entry: &NodeEntry, times: Times, result: Result<(), &Error>) {
        self.note(Step::Tried(Attempt::new(
            entry.id(),
            entry.address(),
            times.tried_at.saturating_duration_since(times.started),
            times.tried_at.elapsed(),
            result.map_err(Failure::from),
        )));
    }

    /// Notes a try that was given up, since the call has ended without it.
    pub(super) fn given_up(&mut self, entry: &NodeEntry, times: Times) {
        let failure = Failure {
            cause: Cause::GivenUp,
            code: 0,
            error: "given up: the call ended without it".to_owned(),
        };
        self.note(Step::Tried(Attempt::new(
            entry.id(),
            entry.address(),
            times.tried_at.saturating_duration_since(times.started),
            times.tried_at.elapsed(),
            Err(failure),
        )));
    }

    /// The call's end, for who has asked.
    pub(super) fn finish(self, request: &Request, times: Times) {
        if let Some(recorder) = self.recorder {
            recorder.with(|why| fill(why, request, times));
        }
    }

    /// The error of the call with what led to it.
    pub(super) fn explain(self, error: Error, request: &Request, times: Times) -> Error {
        let mut why = match self.recorder {
            Some(recorder) => {
                recorder.with(|why| fill(why, request, times));
                Box::new(recorder.why())
            }
            None => self.why.unwrap_or_default(),
        };
        fill(&mut why, request, times);
        error.with_why(why)
    }
}

/// When a call and its last try began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) started: Instant,
    pub(super) tried_at: Instant,
    pub(super) deadline: Instant,
}

fn fill(why: &mut Why, request: &Request, times: Times) {
    why.service = request.service.to_string();
    why.endpoint = request.method.endpoint.to_string();
    why.limit = Some(times.deadline.saturating_duration_since(times.started));
    why.took = times.started.elapsed();
}

impl Attempts {
    /// How the nodes stood for a try at `now`, which has gone to `chosen`.
    pub(super) fn census(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        chosen: Option<&NodeEntry>,
        now: Instant,
    ) -> Step {
        let nodes = to.view.nodes();
        let now = self.directory.millis(now);
        let mut choice = Choice {
            node: chosen.map(|entry| entry.id().to_owned()),
            known: nodes.list.len(),
            ..Choice::default()
        };
        if !request.options.addresses.is_empty() {
            choice.known = request.options.addresses.len();
            choice.left = choice.known;
            return Step::Chosen(choice);
        }
        for entry in &nodes.list {
            let reason = if tried.iter().any(|tried| tried.is_same(entry)) {
                Reason::Tried
            } else if entry.is_ejected(now) && chosen.is_none_or(|chosen| !chosen.is_same(entry)) {
                Reason::Probed
            } else {
                choice.left += 1;
                continue;
            };
            if choice.out.len() < MAX_NAMED {
                choice.out.push(LeftOut::new(entry.id(), reason));
            }
        }
        Step::Chosen(choice)
    }
}
