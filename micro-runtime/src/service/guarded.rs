//! The program's own functions, run so that a panic in one ends nothing else.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use crate::call::BoxFuture;
use crate::error::{Result, id};
use crate::wrapper::panicked;

/// A function of the program that is run again and again, with an argument of type `T`.
pub(super) struct Function<T>(Arc<dyn Fn(T) -> BoxFuture<Result<()>> + Send + Sync>);

impl<T> Function<T> {
    pub(super) fn new<F, R>(function: F) -> Self
    where
        F: Fn(T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self(Arc::new(move |argument| Box::pin(function(argument))))
    }

    /// Runs it; a panic is an error.
    pub(super) async fn run(&self, argument: T) -> Result<()> {
        let begun = catch_unwind(AssertUnwindSafe(|| (self.0)(argument)));
        let mut future = begun.map_err(|panic| panicked(id::SERVER, &*panic))?;
        poll_fn(
            |task| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
                Ok(polled) => polled,
                Err(panic) => Poll::Ready(Err(panicked(id::SERVER, &*panic))),
            },
        )
        .await
    }
}

impl<T> Clone for Function<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Function<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}
