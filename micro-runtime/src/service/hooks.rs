//! What runs around a service's start and stop.

use std::fmt;
use std::future::Future;

use tracing::warn;

use crate::call::BoxFuture;
use crate::error::Result;

type Hook = Box<dyn FnOnce() -> BoxFuture<Result<()>> + Send>;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    BeforeStart,
    AfterStart,
    BeforeStop,
    AfterStop,
}

/// Hooks in the order in which they were given.
#[derive(Default)]
pub(super) struct Hooks(Vec<(Moment, Hook)>);

impl Hooks {
    pub(super) fn add<F, R>(&mut self, moment: Moment, hook: F)
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.0.push((moment, Box::new(move || Box::pin(hook()))));
    }

    /// Runs the hooks of a start; the first that fails is the last that runs.
    pub(super) async fn run(&mut self, moment: Moment) -> Result<()> {
        for hook in self.take(moment) {
            hook().await?;
        }
        Ok(())
    }

    /// Runs the hooks of a stop: all of them, since each may hold something that must be let go.
    /// Gives the first failure.
    pub(super) async fn run_all(&mut self, moment: Moment) -> Result<()> {
        let mut first = Ok(());
        for hook in self.take(moment) {
            if let Err(error) = hook().await {
                warn!(%error, ?moment, "a hook failed");
                first = first.and(Err(error));
            }
        }
        first
    }

    fn take(&mut self, moment: Moment) -> Vec<Hook> {
        let (now, later) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(when, _)| *when == moment);
        self.0 = later;
        let now: Vec<(Moment, Hook)> = now;
        now.into_iter().map(|(_, hook)| hook).collect()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(moment, _)| moment))
            .finish()
    }
}
