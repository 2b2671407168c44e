//! What can be said about one call before it is sent.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Unary};
use crate::call::{Backoff, Hedge, Retry};
use crate::context::Context;
use crate::metadata::Text;
use crate::selector::{Filter, SelectOptions, Strategy};
use crate::wrapper::Wrapper;

impl<K> Call<K> {
    /// The whole call with all its tries, at most the parent's deadline; of a stream, its opening.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// One try; Go Micro's `ConnectionTimeout`.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.attempt_timeout = Some(timeout);
        self
    }

    /// Connecting, within a try.
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.options.dial_timeout = Some(timeout);
        self
    }

    /// A stream's whole life, told to the server.
    pub fn stream_timeout(mut self, timeout: Duration) -> Self {
        self.options.stream_timeout = Some(timeout);
        self
    }

    /// How long a stream may be without a message from the peer.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// Tries after the first.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Which failures are tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = Some(retry);
        self
    }

    /// How long to wait before each try.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// Declares that running this call twice does no harm, so that it may be tried again.
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }

    /// Calls this node, `host:port`, in place of the registry's. Several calls name several.
    pub fn address(mut self, address: impl Into<Text>) -> Self {
        self.options.addresses.push(address.into());
        self
    }

    /// Sends `key: value` along; a value that the parent passes on gives way.
    pub fn metadata(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.metadata.set(key, value);
        self
    }

    /// Sends `Authorization: Bearer <token>` along; Go Micro's `WithServiceToken` form.
    pub fn token(self, token: impl AsRef<str>) -> Self {
        self.metadata("Authorization", format!("Bearer {}", token.as_ref()))
    }

    /// Encodes in this content type.
    pub fn content_type(mut self, content_type: impl Into<Text>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Closes the connection after the call; Go Micro's `WithConnClose`.
    pub fn close_connection(mut self) -> Self {
        self.options.close_connection = true;
        self
    }

    /// Calls only nodes that `filter` lets pass, beside the client's filters.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.select().filters.push(filter.into());
        self
    }

    /// Chooses the node by `strategy`.
    pub fn strategy(mut self, strategy: impl Into<Strategy>) -> Self {
        self.select().strategy = Some(strategy.into());
        self
    }

    /// Keeps calls of one key together where the strategy goes by keys: `user-17`.
    pub fn key(mut self, key: impl Into<Text>) -> Self {
        self.select().key = Some(key.into());
        self
    }

    /// Lets a caching wrapper answer from its cache for so long.
    pub fn cache(mut self, time: Duration) -> Self {
        self.options.cache = Some(time);
        self
    }

    /// Puts a wrapper around this call, inside the client's own.
    pub fn wrap(mut self, wrapper: impl Wrapper) -> Self {
        self.options.wrappers.push(Arc::new(wrapper));
        self
    }

    /// Makes `cx` the call's parent: its deadline, cancellation and user metadata pass on.
    ///
    /// Not needed in a handler, whose context is the parent by itself; it is for spawned tasks.
    pub fn within(mut self, cx: &Context) -> Self {
        self.parent = Some(cx.clone());
        self.watch_parent = true;
        self
    }

    /// Takes no parent: the call outlives the handler that makes it.
    pub fn detached(mut self) -> Self {
        self.parent = None;
        self.watch_parent = false;
        self
    }

    fn select(&mut self) -> &mut SelectOptions {
        self.options.select.get_or_insert_default()
    }
}

impl<Q, R> Call<Unary<Q, R>> {
    /// Also asks another node when the first has not answered for so long, and takes the first good
    /// answer. For methods that do no harm when they run twice; others are refused with a 400.
    pub fn hedge(mut self, hedge: impl Into<Hedge>) -> Self {
        self.options.hedge = Some(hedge.into());
        self
    }
}
