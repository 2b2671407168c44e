//! The decisions of the last calls that failed, for a person who looks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::Error;
use crate::tasks::Tasks;

/// How many are kept.
const KEPT: usize = 64;

/// The last calls that failed: nothing, until somebody may look.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    on: AtomicBool,
    last: Mutex<VecDeque<Failed>>,
}

/// A call that failed, with its decisions.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) at: SystemTime,
    /// It carries its decisions.
    pub(crate) error: Error,
}

impl Failures {
    /// Keeps them from now on.
    pub(crate) fn switch_on(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    /// Keeps a call's error, where somebody may look.
    pub(super) fn note(&self, error: &Error, tasks: &Tasks) {
        if !self.on.load(Ordering::Relaxed) || error.why().is_none() {
            return;
        }
        let failed = Failed {
            at: tasks.now(),
            error: error.clone(),
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
