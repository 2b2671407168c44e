//! All subscribers of a service, from their start to their end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::consumer::Consumer;
use super::direct::Direct;
use super::reader::Reader;
use super::subscriber::Subscribed;
use crate::broker::Broker;
use crate::call::{Dispatch, Wrapper};
use crate::codec::Codecs;
use crate::error::Result;
use crate::metadata::Text;
use crate::router::CallCounters;
use crate::tasks::Tasks;

/// What all subscribers of a service share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The service's name.
    pub(crate) service: Text,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) codecs: Codecs,
    /// Around every handler, the first outermost.
    pub(crate) wrappers: Arc<[Arc<dyn Wrapper>]>,
    /// A group of its own: a stop waits for it and ends it.
    pub(crate) tasks: Tasks,
    /// Handlers that run.
    pub(crate) counters: Arc<CallCounters>,
}

/// The subscribers of a service.
pub(crate) struct Subscribers {
    shared: Arc<Shared>,
    consumers: Vec<Arc<Consumer>>,
    closing: watch::Sender<bool>,
    /// How many readers may still bring something new.
    open: Arc<watch::Sender<usize>>,
}

impl Subscribers {
    pub(crate) fn new(shared: Shared, all: &[Subscribed]) -> Self {
        let shared = Arc::new(shared);
        let consumer =
            |subscribed: &Subscribed| Arc::new(Consumer::new(subscribed.clone(), shared.clone()));
        Self {
            consumers: all.iter().map(consumer).collect(),
            shared,
            closing: watch::Sender::new(false),
            open: Arc::new(watch::Sender::new(0)),
        }
    }

    /// What takes events that come as calls; `None` where nobody has subscribed to anything.
    pub(crate) fn direct(&self) -> Option<Arc<dyn Dispatch>> {
        let consumers = self.consumers.clone();
        (!consumers.is_empty()).then(|| Arc::new(Direct(consumers)) as Arc<dyn Dispatch>)
    }

    /// Subscribes. Where the broker fails that is tried again in the background, as long as it takes.
    ///
    /// # Errors
    /// 400 where a topic cannot be carried, or a subscriber is not to be had: another try would not
    /// help.
    pub(crate) async fn open(&self) -> Result<()> {
        for consumer in &self.consumers {
            consumer.check()?;
        }
        for consumer in &self.consumers {
            let first = match consumer.subscribe().await {
                Ok(subscription) => Some(subscription),
                Err(error) if error.code() == 400 => return Err(error),
                Err(error) => {
                    consumer.tell_failed(&error);
                    None
                }
            };
            let reader = Reader::new(consumer.clone(), &self.closing, self.open.clone());
            self.shared.tasks.spawn(reader.run(first));
        }
        Ok(())
    }

    /// Ends the subscriptions: nothing new comes, and what has come is handled.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        let mut open = self.open.subscribe();
        let closed = open.wait_for(|open| *open == 0);
        if timeout(CLOSE, closed).await.is_err() {
            warn!("the broker does not end all subscriptions");
        }
    }

    /// Waits until all that has come is handled, at most `limit`, and ends what is left: so many
    /// events that were being handled.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        if timeout(limit, self.shared.tasks.idle()).await.is_ok() {
            return 0;
        }
        let left = self.shared.counters.running();
        self.abort();
        left
    }

    /// What counts its handlers.
    pub(crate) fn counters(&self) -> &CallCounters {
        &self.shared.counters
    }

    /// The wrappers around every handler, the first outermost.
    pub(crate) fn wrappers(&self) -> &[Arc<dyn Wrapper>] {
        &self.shared.wrappers
    }

    /// Ends all at once.
    pub(crate) fn abort(&self) {
        self.shared.tasks.abort_all();
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.consumers).finish()
    }
}

/// How long the broker may take to end subscriptions.
const CLOSE: Duration = Duration::from_secs(10);
