//! How a topic is subscribed to, and by whom.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::delivered::{Delivered, Handler};
use crate::call::{Backoff, Invoke};
use crate::context::Context;
use crate::error::Result;
use crate::metadata::Text;
use crate::registry::{Endpoint, Value};

/// How a topic is subscribed to, and what happens where its handler fails.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::event::Subscriber;
///
/// let orders = Subscriber::new("shop.ordered")
///     .queue("billing")
///     .concurrency(1)
///     .retries(3)
///     .timeout(Duration::from_secs(10))
///     .dead_letter("shop.ordered.dead");
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `Service::subscribe_with`"]
pub struct Subscriber {
    pub(super) topic: Text,
    pub(super) queue: String,
    pub(super) concurrency: usize,
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
    pub(super) timeout: Option<Duration>,
    pub(super) dead_letter: Option<Text>,
}

impl Subscriber {
    /// Every event of `topic`, 16 at once, each handled once and without a limit of time.
    pub fn new(topic: impl Into<Text>) -> Self {
        Self {
            topic: topic.into(),
            queue: String::new(),
            concurrency: 16,
            retries: 0,
            backoff: Backoff::default(),
            timeout: None,
            dead_letter: None,
        }
    }

    /// Of all subscribers that name this queue, in whatever process, one gets each event. An empty name
    /// means no queue, as in Go Micro: each gets all.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// How many events are handled at once; 16. With 1 they are handled in the order in which they come,
    /// those that are tried again before those behind them.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events.max(1);
        self
    }

    /// How often a handler that failed is run again; 0, since it may have done half its work.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before a handler is run again; see [`Backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long one run of the handler may take: it is then dropped, and has failed. No limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The topic that events go to whose handler has failed for good, with headers that tell why:
    /// `Micro-Dead-Topic`, `Micro-Dead-Error`, `Micro-Dead-Attempts`. None: they are refused.
    pub fn dead_letter(mut self, topic: impl Into<Text>) -> Self {
        self.dead_letter = Some(topic.into());
        self
    }
}

/// A subscriber with its handler.
#[derive(Clone)]
pub(crate) struct Subscribed {
    pub(super) options: Subscriber,
    pub(super) handler: Arc<dyn Invoke>,
    /// Whether the handler takes any content type.
    pub(super) raw: bool,
    schema: Option<Value>,
}

impl Subscribed {
    pub(crate) fn new<T, F, R>(options: Subscriber, handler: F) -> Self
    where
        T: Delivered,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            options,
            handler: Arc::new(Handler::new(handler)),
            raw: T::RAW,
            schema: T::schema(),
        }
    }

    /// The endpoints of `all` as Go Micro registers them, behind those of handlers: by topic, the last
    /// first. It calls those of plain functions `Func`.
    pub(crate) fn endpoints(all: &[Self]) -> Vec<Endpoint> {
        let mut all: Vec<_> = all.iter().collect();
        all.sort_by(|a, b| b.options.topic.cmp(&a.options.topic));
        let metadata = |topic: &Text| {
            [("topic", &**topic), ("subscriber", "true")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        };
        all.into_iter()
            .map(|subscribed| Endpoint {
                name: "Func".to_owned(),
                request: subscribed.schema.clone(),
                response: None,
                metadata: metadata(&subscribed.options.topic),
            })
            .collect()
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.options, f)
    }
}
