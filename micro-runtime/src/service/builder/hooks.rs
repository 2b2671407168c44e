//! What runs around start and stop, and between them.

use std::future::Future;
use std::time::Duration;

use super::super::Service;
use super::super::guarded::Function;
use super::super::hooks::Moment;
use crate::context::Context;
use crate::error::Result;

impl Service {
    /// Runs `hook` before the service listens; where it fails, the start does.
    pub fn before_start<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::BeforeStart, hook);
        self
    }

    /// Runs `hook` once the service serves and has registered, or has tried to; where it fails, the
    /// service stops again.
    pub fn after_start<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::AfterStart, hook);
        self
    }

    /// Runs `hook` before the service is deregistered; a failure is told and stops nothing.
    pub fn before_stop<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::BeforeStop, hook);
        self
    }

    /// Runs `hook` when nothing is served any more; a failure is told and stops nothing.
    pub fn after_stop<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.add(Moment::AfterStop, hook);
        self
    }

    /// Runs `task` when the service has started, after its hooks, and again each time that `every` has
    /// passed.
    ///
    /// It holds up no start. There is one run at a time: the intervals that one takes longer than are
    /// left out. A run that fails or panics is logged, and the next one comes. A stop
    /// begins no run, waits for one that runs as it waits for calls ([`drain`](Service::drain)), and
    /// ends it then. Calls made in it have its context as their parent, which is given up with it.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use micro_runtime::{Context, Result, Service};
    /// # async fn refresh() -> Result<()> { Ok(()) }
    /// # async fn example() -> Result<()> {
    /// Service::new("prices").every(Duration::from_secs(60), |_cx| refresh()).run().await
    /// # }
    /// ```
    pub fn every<F, R>(mut self, every: Duration, task: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.periodic.push((every, Function::new(task)));
        self
    }
}
