//! Publishing typed events.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;

use super::header;
use crate::broker::{Broker, Message};
use crate::call::BoxFuture;
use crate::codec::{self, Codec, Codecs, Payload};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::metadata::{Metadata, Text};
use crate::tasks::{Tasks, after};

/// What a client publishes with.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// Or why there is none.
    pub(crate) broker: Result<Arc<dyn Broker>>,
    pub(crate) codecs: Codecs,
    /// The codec of events that name no content type.
    pub(crate) codec: Arc<dyn Codec>,
    /// Keys that pass on though they are of one hop or secret.
    pub(crate) forward: Vec<String>,
    pub(crate) tasks: Tasks,
    /// The longest that handing on one event may take.
    pub(crate) timeout: Duration,
}

/// Publishes events of type `T` under one topic; a handle that is cheap to clone.
///
/// ```no_run
/// # async fn example(service: micro_runtime::Service) -> micro_runtime::Result<()> {
/// use micro_runtime::call::Frame;
///
/// let greeted = service.client().publisher("greeted");
/// greeted.publish(Frame("John".into())).await?;
/// greeted.publish(Frame("Jane".into())).metadata("tenant", "blue").await?;
/// # Ok(())
/// # }
/// ```
pub struct Publisher<T> {
    outlet: Arc<Outlet>,
    topic: Text,
    event: PhantomData<fn(T)>,
}

impl<T: Payload> Publisher<T> {
    pub(crate) fn new(outlet: Arc<Outlet>, topic: Text) -> Self {
        Self {
            outlet,
            topic,
            event: PhantomData,
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// An event to publish: set options, then `.await`.
    pub fn publish(&self, event: T) -> Publish<T> {
        Publish {
            outlet: self.outlet.clone(),
            topic: self.topic.clone(),
            event,
            // Taken now, not when it is awaited: the future may be moved to another task.
            parent: Context::current(),
            watch_parent: false,
            metadata: Metadata::new(),
            content_type: None,
            carry_deadline: false,
            timeout: None,
        }
    }
}

impl<T> Clone for Publisher<T> {
    fn clone(&self) -> Self {
        Self {
            outlet: self.outlet.clone(),
            topic: self.topic.clone(),
            event: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// An event that has not been published: set options, then `.await`.
///
/// It is done when the broker has taken the event; who handles it, and how, is not known here. It fails
/// with 408 where that takes longer than the client's limit of a call, or than its parent waits, and with
/// what the codec or the broker says.
#[must_use = "an event is not published unless awaited"]
pub struct Publish<T> {
    outlet: Arc<Outlet>,
    topic: Text,
    event: T,
    parent: Option<Context>,
    watch_parent: bool,
    metadata: Metadata,
    content_type: Option<Text>,
    carry_deadline: bool,
    timeout: Option<Duration>,
}

impl<T> Publish<T> {
    /// Sends `key: value` along; a value that the parent passes on gives way.
    pub fn metadata(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.metadata.set(key, value);
        self
    }

    /// Encodes in this content type; the client's.
    pub fn content_type(mut self, content_type: impl Into<Text>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// How long the broker may take; the client's limit of a call, 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tells the parent's deadline to subscribers of ours, whose handlers then end by it: in the header
    /// `Micro-Deadline`, as a point in time, so that the machines' clocks must agree. Without a parent
    /// that has a deadline it does nothing.
    pub fn carry_deadline(mut self) -> Self {
        self.carry_deadline = true;
        self
    }

    /// Makes `cx` the event's parent: its user metadata passes on, and publishing ends with it.
    ///
    /// Not needed in a handler, whose context is the parent by itself; it is for spawned tasks.
    pub fn within(mut self, cx: &Context) -> Self {
        self.parent = Some(cx.clone());
        self.watch_parent = true;
        self
    }

    /// Takes no parent: nothing of the handler that publishes goes along.
    pub fn detached(mut self) -> Self {
        self.parent = None;
        self.watch_parent = false;
        self
    }
}

impl<T: Payload> Publish<T> {
    fn message(&self, cx: &Context) -> Result<Message> {
        let outlet = &*self.outlet;
        if self.topic.trim().is_empty() {
            return Err(Error::bad_request(id::CLIENT, "an event needs a topic"));
        }
        let codec = match self.content_type.as_deref() {
            None => &outlet.codec,
            Some(content_type) => outlet.codecs.require(content_type)?,
        };
        let mut message = Message::new(codec::encode(&**codec, &self.event)?);
        let id = outlet.tasks.uuid();
        message.header = header::outgoing(cx.metadata(), codec.content_type(), &self.topic, id);
        if let Some(deadline) = cx.deadline().filter(|_| self.carry_deadline) {
            header::set_deadline(&mut message.header, deadline, &outlet.tasks);
        }
        Ok(message)
    }

    fn send(self) -> impl Future<Output = Result<()>> + Send + 'static {
        let metadata = self.metadata.clone();
        let mut cx = Context::outgoing(self.parent.as_ref(), metadata, &self.outlet.forward);
        // The event's own deadline is the parent's alone: how long the broker may take is not its matter.
        let message = self.message(&cx);
        let Self {
            outlet,
            topic,
            parent,
            watch_parent,
            timeout,
            ..
        } = self;
        async move {
            let message = message?;
            let broker = outlet.broker.clone()?;
            cx.limit(after(timeout.unwrap_or(outlet.timeout)));
            let publish = broker.publish(&topic, message);
            let late =
                |_| Error::timeout(id::CLIENT, format!("publishing to {topic} took too long"));
            let within = async {
                match cx.deadline() {
                    Some(deadline) => timeout_at(deadline, publish).await.map_err(late)?,
                    None => publish.await,
                }
            };
            match parent.filter(|_| watch_parent) {
                None => within.await,
                Some(parent) => tokio::select! {
                    biased;
                    () = parent.cancelled() => Err(Error::timeout(
                        id::CLIENT,
                        "the call that this event belongs to was given up",
                    )),
                    published = within => published,
                },
            }
        }
    }
}

impl<T: Payload> IntoFuture for Publish<T> {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<T> fmt::Debug for Publish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
