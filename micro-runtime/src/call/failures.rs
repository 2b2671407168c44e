//! The decisions of the last calls that failed, for a person who looks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::error::why::{Reason, Step};
use crate::error::{Error, Why};
use crate::tasks::Tasks;

/// How many are kept.
const KEPT: usize = 64;
/// How many bytes of an error's words are kept.
const MAX_DETAIL: usize = 4096;
/// How many bytes are kept of each text within the decisions.
const MAX_TEXT: usize = 1024;

/// The last calls that failed: nothing, until somebody may look.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Tells the time, where they are kept.
    on: OnceLock<Tasks>,
    last: Mutex<VecDeque<Failed>>,
}

/// A call that failed, with its decisions; long words are cut.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) at: SystemTime,
    /// Of its error.
    pub(crate) id: String,
    pub(crate) code: i32,
    pub(crate) detail: String,
    pub(crate) why: Why,
}

impl Failures {
    /// Keeps them from now on.
    pub(crate) fn switch_on(&self, tasks: &Tasks) {
        self.on.get_or_init(|| tasks.clone());
    }

    /// Whether they are kept.
    pub(crate) fn are_kept(&self) -> bool {
        self.on.get().is_some()
    }

    /// Keeps a call's error with its decisions, where somebody may look.
    pub(crate) fn note(&self, error: &Error) {
        let (Some(tasks), Some(why)) = (self.on.get(), error.why()) else {
            return;
        };
        let failed = Failed {
            at: tasks.now(),
            id: cut(error.id(), MAX_TEXT),
            code: error.code(),
            detail: cut(error.detail(), MAX_DETAIL),
            why: cut_why(why),
        };
        let mut last = self.lock();
        let oldest = match last.len() {
            KEPT.. => last.pop_front(),
            _ => None,
        };
        last.push_back(failed);
        drop(last);
        drop(oldest);
    }

    /// The last first.
    pub(crate) fn last(&self) -> Vec<Failed> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Failed>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most `most` bytes of a text, whose end shows that it was cut.
fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(most)]),
    }
}

/// The decisions without what is long in them: peers and filters may say much.
fn cut_why(why: &Why) -> Why {
    let mut why = why.clone();
    let shorten = |text: &mut String| {
        if text.len() > MAX_TEXT {
            *text = cut(text, MAX_TEXT);
        }
    };
    for step in &mut why.steps {
        match step {
            Step::Chosen(choice) => {
                for out in &mut choice.out {
                    if let Reason::Filtered(words) | Reason::Schema(words) = &mut out.reason {
                        shorten(words);
                    }
                }
            }
            Step::Tried(attempt) => {
                if let Err(failure) = &mut attempt.result {
                    shorten(&mut failure.error);
                }
            }
            Step::Refused(refusal) => {
                if refusal.words.len() > MAX_TEXT {
                    refusal.words = cut(&refusal.words, MAX_TEXT).into();
                }
            }
            Step::Paused(_) => {}
        }
    }
    why
}
