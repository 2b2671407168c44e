//! Why a call went where it went: what was decided on its way, in order, as data and as text.
//!
//! Every [`Error`] of a client's call carries a [`Why`] ([`Error::why`]), and any call can be asked
//! for one ([`Call::explain`](crate::client::Call::explain)). It is of this process alone: no
//! protocol sends it.

mod cause;
mod json;
mod recorder;
mod tell;
mod text;

pub use cause::Cause;
pub use recorder::Recorder;

use std::borrow::Cow;
use std::time::Duration;

use super::Error;
use crate::metadata::Text;

/// The decisions of one call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Why {
    /// The service called: `go.micro.srv.greeter`.
    pub service: Text,
    /// The endpoint called: `Say.Hello`.
    pub endpoint: Text,
    /// How long the call had when it began; `None` for no limit.
    pub limit: Option<Duration>,
    /// How long it took; zero where no node was asked and nobody has looked at the clock.
    pub took: Duration,
    /// What was decided, oldest first; at most [`MAX_STEPS`]. None where a wrapper of the caller's has
    /// answered, a cache for instance, or has put an error of its own in the place of another.
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
    pub node: Option<Text>,
    /// The strategy that chose, as settings name it; `own` for a function.
    pub strategy: &'static str,
    /// How many nodes were known.
    pub known: usize,
    /// How many of them the call could have gone to. Of very many nodes only the first 1,024 are
    /// looked at one by one: what speaks against others than those is not counted, unless it is a
    /// filter. Where a node has answered with an error, and nobody has asked, none are.
    pub left: usize,
    /// The others and why, at most [`MAX_NAMED`] of them.
    pub out: Vec<LeftOut>,
    /// Whether the node is one of the canary's; `None` where no canary was in force.
    pub canary: Option<bool>,
    /// How the node stands to the zone that calls are kept in; `None` where none was in force.
    pub zone: Option<Zone>,
}

/// How a chosen node stands to the zone that calls are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zone {
    /// The zone.
    pub name: Text,
    /// Whether the node is in it.
    pub inside: bool,
    /// How many nodes are in it, of those on the node's side of a canary that the filters let pass.
    pub known: usize,
    /// How many of these could be called.
    pub callable: usize,
    /// Whether so few could that calls spilled over to other zones.
    pub spills: bool,
}

impl Choice {
    /// How many nodes were left out beside those that are named.
    pub fn unnamed(&self) -> usize {
        self.known.saturating_sub(self.left + self.out.len())
    }
}

/// A node that a call did not go to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The node's id.
    pub node: Text,
    /// What spoke against it.
    pub reason: Reason,
}

impl LeftOut {
    /// `node`, left out for `reason`.
    pub fn new(node: impl Into<Text>, reason: Reason) -> Self {
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
    /// It is being found out whether its schema fits the caller's; others get the calls meanwhile.
    SchemaAsked,
}

impl Reason {
    /// The reason in one word, as data forms name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Filtered(_) => "filtered",
            Self::Ejected(..) => "ejected",
            Self::Probed => "probed",
            Self::Tried => "tried",
            Self::Schema(_) => "schema",
            Self::SchemaAsked => "schema_asked",
        }
    }
}

/// One try at a call: where it went and how it ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The node's id, or its address where it was given by hand.
    pub node: Text,
    /// The address dialled.
    pub address: Text,
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
        node: impl Into<Text>,
        address: impl Into<Text>,
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
            error: error.words(),
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
    pub words: Cow<'static, str>,
}

impl Refusal {
    /// A refusal of `by`, because of `words`.
    pub fn new(by: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
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

    /// In which way the last try failed; `None` where it has not, or there was none. Tries that were
    /// given up beside another one do not count.
    pub fn cause(&self) -> Option<Cause> {
        let failed = |attempt: &Attempt| attempt.result.as_ref().err().map(|failed| failed.cause);
        let causes = self.attempts().map(failed);
        let counts = causes.filter(|cause| *cause != Some(Cause::GivenUp));
        counts.last().flatten()
    }

    /// `words` without the addresses of the nodes that were tried; `None` where it has none of them.
    pub(crate) fn hide(&self, words: &str) -> Option<String> {
        let mut hidden: Option<String> = None;
        for Attempt { address, .. } in self.attempts() {
            let words = hidden.as_deref().unwrap_or(words);
            if !address.is_empty() && words.contains(&**address) {
                hidden = Some(words.replace(&**address, "[node]"));
            }
        }
        hidden
    }

    /// Whether it is of a call that went as far as to a node, or to where one is chosen.
    pub(crate) fn looked_for_a_node(&self) -> bool {
        let of_nodes = |step: &Step| matches!(step, Step::Chosen(_) | Step::Tried(_));
        self.steps.iter().any(of_nodes)
    }

    /// Takes in what `later` has beside it. Decisions that both have are one.
    pub(crate) fn join(&mut self, later: Self) {
        if later.steps.starts_with(&self.steps) {
            self.steps = later.steps;
        } else {
            for step in later.steps {
                if !self.steps.contains(&step) {
                    self.push(step);
                }
            }
        }
        self.limit = self.limit.or(later.limit);
        self.took = self.took.max(later.took);
        self.name(&later.service, || later.endpoint);
    }

    /// Names the call, where it has no name yet.
    pub(crate) fn name(&mut self, service: &Text, endpoint: impl FnOnce() -> Text) {
        if self.service.is_empty() {
            self.service = service.clone();
        }
        if self.endpoint.is_empty() {
            self.endpoint = endpoint();
        }
    }

    /// Adds a step, where there is room for it.
    pub fn push(&mut self, step: Step) {
        if self.steps.len() < MAX_STEPS {
            self.steps.push(step);
        }
    }
}
