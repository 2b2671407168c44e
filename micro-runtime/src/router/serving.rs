//! A handler that runs.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::counters::CallCounters;
use super::watch::{End, Ticket};
use crate::call::{BoxFuture, Reply};
use crate::context::Context;
use crate::error::{Error, Result, Why, id};
use crate::wrapper::panicked;

/// A started call: poll it, or [finish](Serving::finish) it under its deadline.
///
/// Dropped before it is done, it drops the handler and marks its context as cancelled.
#[must_use = "a handler runs only while it is polled"]
pub struct Serving {
    handler: BoxFuture<Result<Reply>>,
    cx: Context,
    counters: Arc<CallCounters>,
    /// Its place among the calls that somebody may look at.
    ticket: Option<Box<Ticket>>,
    done: bool,
}

impl Serving {
    /// Takes over a call that is counted already; a panic of `begin` is the handler's.
    pub(crate) fn start(
        cx: Context,
        counters: Arc<CallCounters>,
        begin: impl FnOnce() -> BoxFuture<Result<Reply>>,
    ) -> Self {
        let handler = catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|panic| {
            let error = panicked(id::SERVER, &*panic);
            Box::pin(async move { Err(error) })
        });
        Self {
            handler,
            cx,
            counters,
            ticket: None,
            done: false,
        }
    }

    /// With a place among the calls that somebody may look at.
    pub(super) fn watched(mut self, ticket: Option<Box<Ticket>>) -> Self {
        self.ticket = ticket;
        self
    }

    /// Counts it as failed.
    fn failed(&mut self) {
        self.counters.failed();
        self.ended(End::Failed);
    }

    fn ended(&mut self, end: End) {
        if let Some(ticket) = &mut self.ticket {
            ticket.ended(end);
        }
    }

    /// Runs the handler to its end, or to the call's deadline, where it is dropped and the answer is a 408.
    ///
    /// # Errors
    /// The handler's, a panic's, or the deadline's.
    pub async fn finish(mut self) -> Result<Reply> {
        match self.cx.deadline() {
            None => (&mut self).await,
            Some(deadline) => match tokio::time::timeout_at(deadline, &mut self).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.failed();
                    Err(deadline_passed())
                }
            },
        }
    }

    /// Drops the handler because the call's deadline has passed: the answer is this 408.
    ///
    /// For a protocol that keeps its own timer; [`finish`](Serving::finish) does the same.
    pub fn expire(&mut self) -> Error {
        self.failed();
        self.done = true;
        self.cx.cancel();
        self.handler = Box::pin(std::future::pending());
        deadline_passed()
    }

    /// The context of the call.
    pub fn context(&self) -> &Context {
        &self.cx
    }
}

/// What a caller gets whose deadline passed on the server.
pub(super) fn deadline_passed() -> Error {
    Error::timeout(
        id::SERVER,
        "the deadline passed before the handler was done",
    )
}

impl Future for Serving {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<Reply>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(Err(Error::internal(
                id::SERVER,
                "the call was polled after it had ended",
            )));
        }
        let answer = match catch_unwind(AssertUnwindSafe(|| this.handler.as_mut().poll(task))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(panic) => Err(panicked(id::SERVER, &*panic)),
        };
        this.done = true;
        if answer.is_ok() {
            this.ended(End::Answered);
        }
        Poll::Ready(answer.map_err(|error| {
            this.failed();
            if this.cx.is_reached() {
                // What it says of a call that the handler made is not true of the one that it served.
                error.processed()
            } else {
                // A wrapper has refused it, or a call of the wrapper's own has failed, which says
                // nothing of this one.
                let is_of_a_call = error.why().is_some_and(Why::looked_for_a_node);
                match is_of_a_call {
                    true => error.processed(),
                    false => error,
                }
            }
        }))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.done {
            self.cx.cancel();
        }
        self.counters.ended();
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
