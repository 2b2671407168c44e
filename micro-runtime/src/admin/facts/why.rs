//! The last calls that failed, with their decisions.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Sources, unix_ms};
use crate::call::Failed;

/// What `/why` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Whys {
    pub(in crate::admin) failed: Vec<Failure>,
}

/// A call that failed.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Failure {
    pub(in crate::admin) at_unix_ms: u64,
    pub(in crate::admin) error: Error,
    /// The decisions in the form that they have everywhere.
    pub(in crate::admin) why: Option<Box<RawValue>>,
    /// The same for a person.
    pub(in crate::admin) text: String,
}

/// What its caller got.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Error {
    pub(in crate::admin) id: String,
    pub(in crate::admin) code: i32,
    pub(in crate::admin) detail: String,
}

pub(in crate::admin) fn why(sources: &Sources) -> Whys {
    let last = sources.client.failures().last();
    Whys {
        failed: last.into_iter().map(failure).collect(),
    }
}

fn failure(failed: Failed) -> Failure {
    Failure {
        at_unix_ms: unix_ms(failed.at),
        why: RawValue::from_string(failed.why.to_json()).ok(),
        text: failed.why.to_string(),
        error: Error {
            id: failed.id,
            code: failed.code,
            detail: failed.detail,
        },
    }
}
