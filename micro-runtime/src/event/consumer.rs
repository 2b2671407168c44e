//! What happens to one event: its handler, other tries, the dead letter.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::delivered::{is_unreadable, unsupported};
use super::header;
use super::subscriber::Subscribed;
use super::subscribers::Shared;
use crate::broker::{Delivery, Message, SubscribeOptions, Subscription};
use crate::call::{Body, Next, Request};
use crate::codec::{BytesCodec, Codec};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::method::{Kind, Method, MethodRef};
use crate::router::Serving;
use crate::tasks::after;

/// Handles the events of one subscription.
pub(super) struct Consumer {
    subscribed: Subscribed,
    shared: Arc<Shared>,
    /// The topic, as wrappers see it.
    method: MethodRef,
    /// How many handlers may run at once.
    pub(super) slots: Arc<Semaphore>,
    /// The same for events that come as calls: the reader keeps a slot for the next of the broker.
    direct: Semaphore,
}

impl Consumer {
    pub(super) fn new(subscribed: Subscribed, shared: Arc<Shared>) -> Self {
        let options = &subscribed.options;
        let slots = options.concurrency.min(Semaphore::MAX_PERMITS);
        let method = Method {
            path: options.topic.to_string().into(),
            ..Method::dynamic(&*options.topic, Kind::Unary)
        };
        Self {
            method: method.into(),
            slots: Arc::new(Semaphore::new(slots)),
            direct: Semaphore::new(slots),
            subscribed,
            shared,
        }
    }

    /// Whether what was asked for makes sense.
    ///
    /// # Errors
    /// 400 where there is no topic, or dead letters would come back.
    pub(super) fn check(&self) -> Result<()> {
        let options = &self.subscribed.options;
        if options.topic.trim().is_empty() {
            return Err(Error::bad_request(id::SERVER, "a subscriber needs a topic"));
        }
        if options.dead_letter.as_ref() == Some(&options.topic) {
            let words = format!(
                "the dead letters of {0} would go to {0} again: name another topic",
                options.topic
            );
            return Err(Error::bad_request(id::SERVER, words));
        }
        Ok(())
    }

    /// Asks the broker for the topic.
    pub(super) async fn subscribe(&self) -> Result<Box<dyn Subscription>> {
        let options = &self.subscribed.options;
        let wanted = SubscribeOptions::queue(&options.queue);
        within(
            "subscribing",
            self.shared.broker.subscribe(&options.topic, wanted),
        )
        .await
    }

    pub(super) fn tell_failed(&self, error: &Error) {
        let topic = &*self.subscribed.options.topic;
        warn!(%error, topic, "subscribing failed, trying again");
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.subscribed.options.topic
    }

    /// The queue; empty for none.
    pub(super) fn queue(&self) -> &str {
        &self.subscribed.options.queue
    }

    /// What all consumers share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Handles one event to its end and tells the broker.
    pub(super) async fn settle(&self, delivery: Delivery) {
        match self.handle(&delivery.message).await {
            Ok(()) => delivery.ack(),
            Err(_) => delivery.nack(),
        }
    }

    /// Handles an event that has come as a call.
    ///
    /// # Errors
    /// As [`handle`](Consumer::handle).
    pub(super) async fn handle_direct(&self, message: &Message) -> Result<()> {
        // It is never closed.
        let _slot = self.direct.acquire().await;
        self.handle(message).await
    }

    /// Handles one event to its end.
    ///
    /// # Errors
    /// The last failure of the handler, where the event did not become a dead letter; it is logged.
    pub(super) async fn handle(&self, message: &Message) -> Result<()> {
        let options = &self.subscribed.options;
        let topic = &*options.topic;
        let mut tries = 0;
        let mut last = None;
        let error = loop {
            let cx = header::incoming(&message.header, &self.shared.tasks);
            if cx.is_cancelled() {
                break last.unwrap_or_else(too_late);
            }
            tries += 1;
            let Err(error) = self.run(cx, message).await else {
                return Ok(());
            };
            if tries > options.retries || is_unreadable(&error) {
                break error;
            }
            debug!(%error, topic, tries, "an event could not be handled, trying again");
            last = Some(error);
            sleep(options.backoff.pause(tries, &self.shared.tasks)).await;
        };
        let Some(dead) = &options.dead_letter else {
            warn!(%error, topic, tries, "an event could not be handled, it is refused");
            return Err(error);
        };
        let letter = header::dead_letter(message, topic, &error, tries);
        match within("publishing", self.shared.broker.publish(dead, letter)).await {
            Ok(()) => {
                debug!(%error, topic, tries, dead = &**dead, "an event could not be handled, it is a dead letter");
                Ok(())
            }
            Err(failed) => {
                warn!(%error, %failed, topic, tries, dead = &**dead, "an event could not be handled, nor become a dead letter");
                Err(error)
            }
        }
    }

    /// Runs the handler once, in its wrappers.
    async fn run(&self, mut cx: Context, message: &Message) -> Result<()> {
        let codec = self.codec(message)?;
        if let Some(limit) = self.subscribed.options.timeout {
            cx.limit(after(limit));
        }
        let request = Request::new(
            cx.clone(),
            self.shared.service.clone(),
            self.method.clone(),
            codec,
            Body::One(message.body.clone()),
        );
        let handler = self.subscribed.handler.clone();
        let next = Next::to_event(self.shared.wrappers.clone(), handler);
        self.shared.counters.begun();
        self.shared.counters.started();
        // An event that a wrapper has refused goes the way of one that failed.
        cx.reach();
        let serving = Serving::start(cx, self.shared.counters.clone(), || {
            Box::pin(next.run(request))
        });
        serving.finish().await.map(drop)
    }

    fn codec(&self, message: &Message) -> Result<Arc<dyn Codec>> {
        let content_type = match message.header.get(header::CONTENT_TYPE) {
            // As in Go Micro.
            None | Some("") => "application/protobuf",
            Some(content_type) => content_type,
        };
        match self.shared.codecs.get(content_type) {
            Some(codec) => Ok(codec.clone()),
            None if self.subscribed.raw => Ok(Arc::new(BytesCodec)),
            None => Err(unsupported(content_type)),
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.subscribed, f)
    }
}

fn too_late() -> Error {
    Error::timeout(
        id::SERVER,
        "the deadline passed before the event was handled",
    )
}

/// How long the broker may take to answer.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// A broker that does not answer holds nothing up.
pub(super) async fn within<T>(what: &str, asked: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(BROKER_TIMEOUT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::timeout(
            id::SERVER,
            format!("{what} took longer than {BROKER_TIMEOUT:?}"),
        )),
    }
}
