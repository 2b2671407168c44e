//! The last calls that failed, with their decisions.

use serde::Serialize;

use super::{Sources, ms, unix_ms};
use crate::client::Failed;
use crate::error::why::{Attempt, Choice, Reason, Refusal, Step};

/// What `/why` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Whys {
    pub(in crate::admin) failed: Vec<Failure>,
}

/// A call that failed.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Failure {
    pub(in crate::admin) at_unix_ms: u64,
    pub(in crate::admin) service: String,
    pub(in crate::admin) endpoint: String,
    pub(in crate::admin) error: Error,
    pub(in crate::admin) limit_ms: Option<f64>,
    pub(in crate::admin) took_ms: f64,
    pub(in crate::admin) steps: Vec<Decision>,
    /// All of it for a person.
    pub(in crate::admin) text: String,
}

/// What its caller got.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Error {
    pub(in crate::admin) id: String,
    pub(in crate::admin) code: i32,
    pub(in crate::admin) detail: String,
}

/// One decision.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(in crate::admin) enum Decision {
    Chosen {
        node: Option<String>,
        strategy: String,
        known: usize,
        left: usize,
        out: Vec<LeftOut>,
    },
    Tried {
        node: String,
        address: String,
        began_ms: f64,
        took_ms: f64,
        cause: Option<&'static str>,
        code: Option<i32>,
        error: Option<String>,
    },
    Paused {
        for_ms: f64,
    },
    Refused {
        by: &'static str,
        words: String,
    },
    Other {
        words: String,
    },
}

/// A node that the call did not go to.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct LeftOut {
    pub(in crate::admin) node: String,
    pub(in crate::admin) reason: &'static str,
    pub(in crate::admin) words: Option<String>,
}

pub(in crate::admin) fn why(sources: &Sources) -> Whys {
    let last = sources.client.failures();
    let last = last.map(|failures| failures.last()).unwrap_or_default();
    Whys {
        failed: last.iter().filter_map(failure).collect(),
    }
}

fn failure(failed: &Failed) -> Option<Failure> {
    let error = &failed.error;
    let why = error.why()?;
    Some(Failure {
        at_unix_ms: unix_ms(failed.at),
        service: why.service.clone(),
        endpoint: why.endpoint.clone(),
        error: Error {
            id: error.id().to_owned(),
            code: error.code(),
            detail: error.detail().to_owned(),
        },
        limit_ms: why.limit.map(ms),
        took_ms: ms(why.took),
        steps: why.steps.iter().map(decision).collect(),
        text: why.to_string(),
    })
}

#[allow(unreachable_patterns, reason = "steps may come to be")]
fn decision(step: &Step) -> Decision {
    match step {
        Step::Chosen(choice) => chosen(choice),
        Step::Tried(attempt) => tried(attempt),
        Step::Paused(time) => Decision::Paused { for_ms: ms(*time) },
        Step::Refused(Refusal { by, words, .. }) => Decision::Refused {
            by,
            words: words.clone(),
        },
        other => Decision::Other {
            words: format!("{other:?}"),
        },
    }
}

fn chosen(choice: &Choice) -> Decision {
    let out = choice.out.iter().map(|out| {
        let (reason, words) = reason(&out.reason);
        LeftOut {
            node: out.node.clone(),
            reason,
            words,
        }
    });
    Decision::Chosen {
        node: choice.node.clone(),
        strategy: choice.strategy.clone(),
        known: choice.known,
        left: choice.left,
        out: out.collect(),
    }
}

fn tried(attempt: &Attempt) -> Decision {
    let failure = attempt.result.as_ref().err();
    Decision::Tried {
        node: attempt.node.clone(),
        address: attempt.address.clone(),
        began_ms: ms(attempt.began),
        took_ms: ms(attempt.took),
        cause: failure.map(|failure| failure.cause.name()),
        code: failure.map(|failure| failure.code),
        error: failure.map(|failure| failure.error.clone()),
    }
}

#[allow(unreachable_patterns, reason = "reasons may come to be")]
fn reason(reason: &Reason) -> (&'static str, Option<String>) {
    match reason {
        Reason::Filtered(filter) => ("filtered", Some(filter.clone())),
        Reason::Ejected(left, cause) => {
            let words = format!("for {left:?} still: {}", cause.name());
            ("ejected", Some(words))
        }
        Reason::Probed => ("probed", None),
        Reason::Tried => ("tried", None),
        Reason::Schema(words) => ("schema", Some(words.clone())),
        other => ("other", Some(format!("{other:?}"))),
    }
}
