//! What stands around a call: the trait, and the rest of the way.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Dispatch, Inspected, Invoke, Reply, Request};
use crate::error::Result;

/// Code around a call.
///
/// On a client it ends when the reply is there or the stream is open; on a server when the handler
/// ends, also for streams. It may change the request, answer itself, or call on more than once.
#[async_trait]
pub trait Wrapper: Send + Sync + 'static {
    /// Handles `request`, as a rule by `next.run(request).await`.
    ///
    /// # Errors
    /// Those of the call, or its own: the caller gets them as they are.
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply>;

    /// How it stands, for a person who looks at the running service (`/breakers` of the admin
    /// listener); nothing where it does not say. Not on the path of calls: it may allocate, and must
    /// not hold up calls for longer than a moment.
    fn inspect(&self) -> Option<Inspected> {
        None
    }
}

impl fmt::Debug for dyn Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapper")
    }
}

/// The rest of the way: the wrappers further in and then the call itself.
#[derive(Clone)]
pub struct Next {
    wrappers: Arc<[Arc<dyn Wrapper>]>,
    at: usize,
    end: End,
}

#[derive(Clone)]
enum End {
    Invoke(Arc<dyn Invoke>),
    Dispatch(Arc<dyn Dispatch>, u16),
}

impl Next {
    /// The way through `wrappers`, the first outermost, to `end`.
    pub fn to_invoke(wrappers: Arc<[Arc<dyn Wrapper>]>, end: Arc<dyn Invoke>) -> Self {
        Self {
            wrappers,
            at: 0,
            end: End::Invoke(end),
        }
    }

    /// The way through `wrappers`, the first outermost, to method `index` of `end`.
    pub fn to_dispatch(
        wrappers: Arc<[Arc<dyn Wrapper>]>,
        end: Arc<dyn Dispatch>,
        index: u16,
    ) -> Self {
        Self {
            wrappers,
            at: 0,
            end: End::Dispatch(end, index),
        }
    }

    /// Goes on with `request`.
    ///
    /// # Errors
    /// Those of the call and of the wrappers further in.
    pub async fn run(mut self, request: Request) -> Result<Reply> {
        match self.wrappers.get(self.at).cloned() {
            Some(wrapper) => {
                self.at += 1;
                wrapper.wrap(request, self).await
            }
            None => match self.end {
                End::Invoke(end) => end.invoke(request).await,
                End::Dispatch(end, index) => end.call(index, request).await,
            },
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("wrappers_left", &(self.wrappers.len() - self.at))
            .finish_non_exhaustive()
    }
}
