//! What runs around start and stop.

use std::future::Future;

use super::super::Service;
use super::super::hooks::Moment;
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

    /// Runs `hook` once the service is registered; where it fails, the service stops again.
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
}
