//! What stands around a call: the trait, and the rest of the way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Dispatch, Inspected, Invoke, Reply, Request};
use crate::context::Context;
use crate::error::{Result, id};
use crate::tasks::{is_never, later};

/// Code around a call.
///
/// On a client it ends when the reply is there or the stream is open; on a server when the handler
/// ends, also for streams. It may change the request, answer itself, or call on more than once.
#[async_trait]
pub trait Wrapper: Send + Sync + 'static {
    /// Handles `request`, as a rule by `next.run(request).await`.
    ///
    /// # Errors
    /// Those of the call, or its own: the caller gets them as they are. One that a server's wrapper
    /// returns in place of going on may be [unprocessed](crate::Error::unprocessed): the caller then
    /// tries another node. Of a request that has come to the handler no error is.
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
    /// The time of the whole call, which begins when this runs first.
    time: Option<Duration>,
}

#[derive(Clone)]
enum End {
    Invoke(Arc<dyn Invoke>),
    /// A subscriber's handler.
    Event(Arc<dyn Invoke>),
    /// With the context that the server watches, since wrappers may give the request another.
    Dispatch(Arc<dyn Dispatch>, u16, Context),
}

impl Next {
    /// The way through `wrappers`, the first outermost, to `end`.
    pub fn to_invoke(wrappers: Arc<[Arc<dyn Wrapper>]>, end: Arc<dyn Invoke>) -> Self {
        Self {
            wrappers,
            at: 0,
            end: End::Invoke(end),
            time: None,
        }
    }

    /// The way through `wrappers`, the first outermost, to a subscriber's handler.
    pub(crate) fn to_event(wrappers: Arc<[Arc<dyn Wrapper>]>, end: Arc<dyn Invoke>) -> Self {
        Self {
            wrappers,
            at: 0,
            end: End::Event(end),
            time: None,
        }
    }

    /// The way through `wrappers`, the first outermost, to method `index` of `end`, which is noted in
    /// the call's context.
    pub fn to_dispatch(
        wrappers: Arc<[Arc<dyn Wrapper>]>,
        end: Arc<dyn Dispatch>,
        index: u16,
        cx: Context,
    ) -> Self {
        Self {
            wrappers,
            at: 0,
            end: End::Dispatch(end, index, cx),
            time: None,
        }
    }

    /// Whether it leads to a handler of this server, and not to another service or a subscriber.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.end, End::Dispatch(..))
    }

    /// The id of what fails on the way: this client's, or this server's.
    pub(crate) fn id(&self) -> &'static str {
        match self.end {
            End::Invoke(_) => id::CLIENT,
            End::Event(_) | End::Dispatch(..) => id::SERVER,
        }
    }

    /// Whether `request` asks this server how it is. What limits a server lets it pass: one that is
    /// busy is not ill, and whoever asks might end it or keep callers away from it.
    pub(crate) fn is_asked(&self, request: &Request) -> bool {
        self.serves() && HEALTH.contains(&&*request.method.path)
    }

    /// The same, which gives the call its time before the first wrapper, whose time is part of it.
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Goes on with `request`.
    ///
    /// # Errors
    /// Those of the call and of the wrappers further in.
    pub async fn run(mut self, mut request: Request) -> Result<Reply> {
        if let Some(time) = self.time.take() {
            let now = Instant::now();
            let deadline = later(now, time);
            if !is_never(now, deadline) {
                request.cx.limit(deadline);
            }
        }
        match self.wrappers.get(self.at).cloned() {
            Some(wrapper) => {
                self.at += 1;
                wrapper.wrap(request, self).await
            }
            None => match self.end {
                End::Invoke(end) | End::Event(end) => end.invoke(request).await,
                End::Dispatch(end, index, cx) => {
                    cx.reach();
                    end.call(index, request).await
                }
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

/// The questions how a server is.
const HEALTH: [&str; 3] = [
    "/debug.Debug/Health",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
];
