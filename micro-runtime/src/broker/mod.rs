//! Events: published under a topic, delivered to those who have subscribed to it.
//!
//! A broker carries [`Message`]s, which are Go Micro's: a header and a body. What an event is encoded
//! as, and what happens when a handler fails, is decided above it: see
//! [`Service::subscribe`](crate::Service::subscribe).
//!
//! Every subscription without a queue gets each message of its topic; of those that share a queue's
//! name, one does. A broker of a machine or of HTTP delivers at most once: who is not there when an
//! event is published never sees it.

mod http;
mod memory;

pub use http::{Http, HttpOptions};
pub use memory::Memory;

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::metadata::{Metadata, Text};

/// Carries messages between processes, or within one.
///
/// Every method may be called at any time from any task.
#[async_trait]
pub trait Broker: Debug + Send + Sync + 'static {
    /// The name that it is chosen by, and that nodes tell in their metadata: `http`, `memory`.
    fn name(&self) -> &str;

    /// Where others reach it, once it listens; `None` where it does not listen.
    fn address(&self) -> Option<String> {
        None
    }

    /// Sends `message` to who has subscribed to `topic`. The header `Micro-Topic` is set by the broker
    /// where it needs it.
    ///
    /// # Errors
    /// Where the message could not be handed on. That nobody has subscribed is no error.
    async fn publish(&self, topic: &str, message: Message) -> Result<()>;

    /// Has messages of `topic` delivered from now on.
    ///
    /// # Errors
    /// Where the broker cannot be reached or does not listen, or where the topic cannot be carried.
    async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>>;

    /// Ends subscriptions that are left, and closes what was opened. What is used after it opens again.
    ///
    /// # Errors
    /// Where something could not be closed in order; it is closed all the same.
    async fn disconnect(&self) -> Result<()>;
}

/// Messages of one topic as they come. Dropping it ends it at once.
#[async_trait]
pub trait Subscription: Debug + Send + 'static {
    /// Waits for the next message; `None` when no more come. Cancel safe.
    async fn next(&mut self) -> Option<Delivery>;

    /// Tells the broker that no more are wanted: what it gives is to be waited for, and may take a
    /// while. Until then messages may come that others have sent before they heard of it, and
    /// [`next`](Subscription::next) can be called beside it. Messages that were taken are still given
    /// after it, then `None`. Dropped before, the subscription ends all the same.
    ///
    /// # Errors
    /// Where the broker could not be told; it stops delivering all the same.
    fn close(&mut self) -> Closing;
}

/// The end of a subscription, to be waited for.
pub type Closing = Pin<Box<dyn Future<Output = Result<()>> + Send + 'static>>;

/// How a topic is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// Of all subscriptions of the topic with this name, one gets each message. `None`: each gets all.
    pub queue: Option<String>,
    /// How many messages wait in this process before the broker is held up. 64.
    pub capacity: usize,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            queue: None,
            capacity: 64,
        }
    }
}

impl SubscribeOptions {
    /// One of those that share `queue`; an empty name means no queue, as in Go Micro.
    pub fn queue(queue: impl Into<String>) -> Self {
        Self {
            queue: Some(queue.into()).filter(|queue| !queue.is_empty()),
            ..Self::default()
        }
    }
}

/// What a broker carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Text pairs: `Content-Type`, `Micro-Topic`, `Micro-ID` and the publisher's metadata.
    pub header: Metadata,
    /// The encoded event.
    pub body: Bytes,
}

impl Message {
    /// A message with an empty header.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            header: Metadata::new(),
            body: body.into(),
        }
    }

    /// The message with one more pair in its header.
    pub fn with(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.header.set(key, value);
        self
    }
}

/// A message on its way to a handler, to be settled once it is dealt with.
///
/// Dropped unsettled it counts as refused: whoever took it did not come to an end with it.
pub struct Delivery {
    /// The topic that it came by; its header may name another.
    pub topic: Text,
    /// The message.
    pub message: Message,
    receipt: Option<Box<dyn FnOnce(Settled) + Send>>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is dealt with.
    Acked,
    /// It is not; a broker that can delivers it again, to this or another subscription.
    Nacked,
}

impl Delivery {
    /// A delivery; `receipt` is told once how it ended.
    pub fn new(
        topic: impl Into<Text>,
        message: Message,
        receipt: impl FnOnce(Settled) + Send + 'static,
    ) -> Self {
        Self {
            topic: topic.into(),
            message,
            receipt: Some(Box::new(receipt)),
        }
    }

    /// The message is dealt with.
    pub fn ack(mut self) {
        self.settle(Settled::Acked);
    }

    /// The message could not be dealt with.
    pub fn nack(mut self) {
        self.settle(Settled::Nacked);
    }

    fn settle(&mut self, settled: Settled) {
        if let Some(receipt) = self.receipt.take() {
            receipt(settled);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle(Settled::Nacked);
    }
}

impl Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.topic)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// The id of the errors that brokers make themselves.
pub(crate) const ID: &str = "go.micro.broker";
