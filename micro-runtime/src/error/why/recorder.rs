//! Where a call that was asked for its decisions notes them.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Step, Why};

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
