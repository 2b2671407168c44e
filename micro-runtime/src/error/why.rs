//! Why a call went where it went: what was decided on its way, in order, as data and as text.
//!
//! Every [`Error`] of a client's call carries a [`Why`] ([`Error::why`]), and any call can be asked
//! for one ([`Call::explain`](crate::client::Call::explain)). It is of this process alone: no
//! protocol sends it.

use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Error, id};

/// The decisions of one call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Why {
    /// The service called; empty where the call got no further than a wrapper.
    pub service: String,
    /// The endpoint called: `Say.Hello`.
    pub endpoint: String,
    /// How long the call had when it began; `None` for no limit.
    pub limit: Option<Duration>,
    /// How long it took.
    pub took: Duration,
    /// What was decided, oldest first; at most [`MAX_STEPS`].
    pub steps: Vec<Step>,
}

/// How many steps are kept of one call: a call with more tries than that is told by its first.
pub const MAX_STEPS: usize = 64;

/// How many left-out nodes are named in one [`Choice`].
pub const MAX_NAMED: usize = 16;

/// One decision.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// A node was chosen, or none could be.
    Chosen(Choice),
    /// A node was tried.
    Tried(Attempt),
    /// So long was waited before the next try.
    Paused(Duration),
    /// Something kept the call, or a further try of it, from being made.
    Refused(Refusal),
}

/// How one node was chosen among those that were known.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The node's id; `None` where none could be chosen.
    pub node: Option<String>,
    /// The strategy that chose, as settings name it.
    pub strategy: String,
    /// How many nodes were known.
    pub known: usize,
    /// How many of them the call could have gone to.
    pub left: usize,
    /// The others and why, at most [`MAX_NAMED`] of them.
    pub out: Vec<LeftOut>,
}

/// A node that a call did not go to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The node's id.
    pub node: String,
    /// What spoke against it.
    pub reason: Reason,
}

impl LeftOut {
    /// `node`, left out for `reason`.
    pub fn new(node: impl Into<String>, reason: Reason) -> Self {
        let node = node.into();
        Self { node, reason }
    }
}

/// What speaks against a node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// This filter did not let it pass.
    Filtered(String),
    /// It is left alone for so long still, since calls to it failed in this way.
    Ejected(Duration, Cause),
    /// Somebody is just finding out whether it is back.
    Probed,
    /// The call has tried it before.
    Tried,
    /// Its schema differs from the caller's in this.
    Schema(String),
}

/// One try at a call: where it went and how it ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The node's id, or its address where it was given by hand.
    pub node: String,
    /// The address dialled.
    pub address: String,
    /// When it began, from the call's beginning.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// How it ended; `Ok` where the node has answered, without an error.
    pub result: Result<(), Failure>,
}

impl Attempt {
    /// A try at `node` at `address` that began `began` after its call did and took `took`.
    pub fn new(
        node: impl Into<String>,
        address: impl Into<String>,
        began: Duration,
        took: Duration,
        result: Result<(), Failure>,
    ) -> Self {
        Self {
            node: node.into(),
            address: address.into(),
            began,
            took,
            result,
        }
    }
}

/// How a try failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// In which way.
    pub cause: Cause,
    /// The code of its error.
    pub code: i32,
    /// Its error in words.
    pub error: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            cause: Cause::of(error),
            code: error.code(),
            error: error.to_string(),
        }
    }
}

/// In which way a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// No connection could be made: nothing listens there, or nothing answers there.
    Unreachable,
    /// The connection was lost before the answer was there.
    Lost,
    /// No answer came in the time of the try.
    Silent,
    /// What came was no answer.
    Garbled,
    /// The node took no more calls, or refused this one before it reached a handler.
    Refused,
    /// The node has answered with an error.
    Answered,
    /// The client itself could not.
    Own,
    /// The try was given up, since another one has answered or the caller went.
    GivenUp,
}

impl Cause {
    /// What `error` tells of it.
    pub fn of(error: &Error) -> Self {
        match (error.id(), error.is_unprocessed()) {
            (id::CLIENT, _) if error.is_timeout() => Self::Silent,
            (id::CLIENT, true) => Self::Unreachable,
            (id::CLIENT, false) | (id::CLIENT_CODEC, _) => Self::Own,
            (id::CLIENT_TRANSPORT, _) => Self::Lost,
            (_, true) => Self::Refused,
            (_, false) => Self::Answered,
        }
    }

    /// The cause in one word, as data forms name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Garbled => "garbled",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Own => "own",
            Self::GivenUp => "given_up",
        }
    }
}

/// What kept a call, or a further try of it, from being made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// Who refused: `breaker`, `budget`, `deadline`, `policy`, `rate limit`, …
    pub by: &'static str,
    /// Why, for a person.
    pub words: String,
}

impl Refusal {
    /// A refusal of `by`, because of `words`.
    pub fn new(by: &'static str, words: impl Into<String>) -> Self {
        let words = words.into();
        Self { by, words }
    }
}

impl Why {
    /// The tries that were made, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.steps.iter().filter_map(|step| match step {
            Step::Tried(attempt) => Some(attempt),
            _ => None,
        })
    }

    /// What refused the call or further tries, oldest first.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.steps.iter().filter_map(|step| match step {
            Step::Refused(refusal) => Some(refusal),
            _ => None,
        })
    }

    /// Adds a step, where there is room for it.
    pub fn push(&mut self, step: Step) {
        if self.steps.len() < MAX_STEPS {
            self.steps.push(step);
        }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.endpoint)?;
        for attempt in self.attempts() {
            write!(
                f,
                "\n  tried {} at {} for {:?}",
                attempt.node, attempt.address, attempt.took
            )?;
            if let Err(failure) = &attempt.result {
                write!(f, ": {}", failure.error)?;
            }
        }
        for refusal in self.refusals() {
            write!(f, "\n  {}: {}", refusal.by, refusal.words)?;
        }
        Ok(())
    }
}

/// Where the decisions of a call that was asked for them are noted; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Why>>);

impl Recorder {
    /// Notes a step: a wrapper's.
    pub fn note(&self, step: Step) {
        self.with(|why| why.push(step));
    }

    /// What was noted until now.
    pub fn why(&self) -> Why {
        self.with(|why| why.clone())
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Why) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
