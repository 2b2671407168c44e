//! What carries the service's events, and who handles them.

use std::future::Future;
use std::sync::Arc;

use super::super::Service;
use crate::broker::Broker;
use crate::context::Context;
use crate::error::Result;
use crate::event::{Delivered, Event, Subscribed, Subscriber};
use crate::metadata::Text;
use crate::wrapper::Wrapper;

impl Service {
    /// What carries its events; Go Micro's HTTP broker where it is there, else one in memory.
    pub fn broker(self, broker: impl Broker) -> Self {
        self.shared_broker(Arc::new(broker))
    }

    /// As [`broker`](Service::broker), with one that is shared. A service that stops disconnects it.
    pub fn shared_broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.options.broker = Some(broker);
        self
    }

    /// Has `handler` run for each event of `topic`; of those that name the same `queue`, in whatever
    /// process, one gets each event. An empty queue means none: each gets all.
    ///
    /// The handler takes a message that codecs can read, or the raw
    /// [`Message`](crate::broker::Message) with header and body. Each subscriber gets each event once,
    /// also where a service subscribes to a topic twice.
    pub fn subscribe<T, F, R>(
        self,
        topic: impl Into<Text>,
        queue: impl Into<String>,
        handler: F,
    ) -> Self
    where
        T: Delivered,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.subscribe_with(Subscriber::new(topic).queue(queue), handler)
    }

    /// As [`subscribe`](Service::subscribe), with options: how many events at once, what happens where
    /// the handler fails.
    pub fn subscribe_with<T, F, R>(mut self, subscriber: Subscriber, handler: F) -> Self
    where
        T: Delivered,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.subscribers.push(Subscribed::new(subscriber, handler));
        self
    }

    /// As [`subscribe`](Service::subscribe), to the topic that the event's `.proto` names.
    pub fn on<T, F, R>(self, queue: impl Into<String>, handler: F) -> Self
    where
        T: Event,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.subscribe(T::TOPIC, queue, handler)
    }

    /// One more wrapper around the handlers of events, inside those given before. To it an event is a
    /// request whose method is the topic; one that is tried again passes it again.
    pub fn wrap_subscriber(mut self, wrapper: impl Wrapper) -> Self {
        self.options.subscriber_wrappers.push(Arc::new(wrapper));
        self
    }
}
