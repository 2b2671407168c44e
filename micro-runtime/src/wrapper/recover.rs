//! Panics that become errors.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use super::{Next, Wrapper};
use crate::call::{Reply, Request};
use crate::error::{Error, Result};

/// Turns a panic further in into Go Micro's error, 500 `panic recovered: …`, and tells it to a hook.
///
/// A server catches the panics of handlers and wrappers without it. It adds the hook, for what counts
/// or reports panics; it lets the wrappers around it see the error (an access log, a breaker); and on
/// a client it keeps a wrapper's panic from ending the task that calls. Of a stream a server's covers
/// the handler to its end, a client's the opening.
///
/// ```
/// use micro_runtime::wrapper::Recover;
///
/// let recover = Recover::new().on_panic(|panic| eprintln!("{}: {}", panic.endpoint, panic.words));
/// # let _: Box<dyn micro_runtime::wrapper::Wrapper> = Box::new(recover);
/// ```
#[derive(Clone, Default)]
pub struct Recover {
    hook: Option<Arc<Hook>>,
}

type Hook = dyn Fn(&Panic<'_>) + Send + Sync;

/// A panic that was caught.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Panic<'a> {
    /// The endpoint called: `Say.Hello`.
    pub endpoint: &'a str,
    /// What it panicked with, where that is text.
    pub words: &'a str,
}

impl Recover {
    /// Without a hook.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With `hook`, which is told of each panic; one of its own is the caller's trouble no more than
    /// the first.
    #[must_use]
    pub fn on_panic(mut self, hook: impl Fn(&Panic<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }
}

#[async_trait]
impl Wrapper for Recover {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        let id = next.id();
        let endpoint = self.hook.as_ref().map(|_| request.method.clone());
        let mut rest = Box::pin(next.run(request));
        let answer =
            poll_fn(
                |task| match catch_unwind(AssertUnwindSafe(|| rest.as_mut().poll(task))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
                    Err(panic) => Poll::Ready(Err(panic)),
                },
            );
        let panic = match answer.await {
            Ok(answer) => return answer,
            Err(panic) => panic,
        };
        if let (Some(hook), Some(method)) = (&self.hook, endpoint) {
            let told = Panic {
                endpoint: &method.endpoint,
                words: words(&*panic),
            };
            if catch_unwind(AssertUnwindSafe(|| hook(&told))).is_err() {
                tracing::error!(endpoint = told.endpoint, "the hook for panics has panicked");
            }
        }
        Err(panicked(id, &*panic))
    }
}

impl fmt::Debug for Recover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recover")
            .field("hook", &self.hook.is_some())
            .finish()
    }
}

/// Go Micro's words for a handler that panicked.
pub(crate) fn panicked(id: &'static str, panic: &(dyn Any + Send)) -> Error {
    Error::internal(id, format!("panic recovered: {}", words(panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}
