//! Go Micro's HTTP broker: subscribers listen, the registry names them, publishers post to them.
//!
//! A subscription is a node of the service `micro.http.broker`, whose version is the queue. A message
//! goes as JSON to every node of its topic without a queue, and to one of each queue; Go Micro's
//! processes take part on both sides. [`HttpOptions`] has the bounds, `docs/WIRE.md` the bytes.
//!
//! A message is delivered at most once. A subscription is known to publishers a moment after it was
//! made: they watch the registry.

mod answer;
mod desk;
mod listening;
mod message;
mod options;
mod outcome;
mod patient;
mod publish;
mod registration;
mod serve;
mod subscription;

pub use options::HttpOptions;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use self::listening::Listening;
use self::publish::Publisher;
use self::registration::{Entry, Registration};
use self::subscription::HttpSubscription;
use super::{Broker, ID, Message, SubscribeOptions, Subscription};
use crate::error::{Error, Result};
use crate::registry::{Node, Reach, Registry, Service};
use crate::tasks::{Tasks, later};

/// What all subscriptions are registered under.
const SERVICE: &str = "micro.http.broker";
/// The version of those without a queue.
const BROADCAST: &str = "ff.http.broadcast";
/// How long a subscription waits for its registration before it goes on without.
const REGISTERING: Duration = Duration::from_secs(2);

/// Go Micro's HTTP broker. A clone is the same broker.
///
/// It listens from the first subscription on; who only publishes opens nothing.
///
/// ```
/// use std::sync::Arc;
///
/// use micro_runtime::broker::{Broker, Http, Message, SubscribeOptions};
/// use micro_runtime::registry::Memory;
/// use micro_runtime::tasks::Tasks;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_runtime::Result<()> {
/// let broker = Http::new(Arc::new(Memory::new()), &Tasks::new());
/// let mut greetings = broker.subscribe("greetings", SubscribeOptions::default()).await?;
/// broker.publish("greetings", Message::new("hello")).await?;
/// let delivery = greetings.next().await.expect("it is open");
/// assert_eq!(delivery.message.body, "hello");
/// delivery.ack();
/// broker.disconnect().await
/// # }
/// ```
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    options: HttpOptions,
    registry: Arc<dyn Registry>,
    tasks: Tasks,
    publisher: Publisher,
    listening: Mutex<Option<Arc<Listening>>>,
    /// Held while the listener opens or closes, so that there is never a second one; the time that
    /// takes is bounded.
    turn: tokio::sync::Mutex<()>,
}

impl Http {
    /// A broker with the default options, whose subscribers `registry` knows.
    pub fn new(registry: Arc<dyn Registry>, tasks: &Tasks) -> Self {
        Self::with(registry, tasks, HttpOptions::default())
            .expect("only TLS settings can be wrong, and there are none")
    }

    /// A broker with options of its own.
    ///
    /// # Errors
    /// 400 where the TLS settings are of no use.
    pub fn with(registry: Arc<dyn Registry>, tasks: &Tasks, options: HttpOptions) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            publisher: Publisher::new(registry.clone(), tasks, &options)?,
            options,
            registry,
            tasks: tasks.clone(),
            listening: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })))
    }
}

impl Inner {
    fn listening(&self) -> Option<Arc<Listening>> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Listening>>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The listener, opened where there is none. To be called in turn.
    async fn listen(&self) -> Result<Arc<Listening>> {
        if let Some(listening) = self.listening() {
            return Ok(listening);
        }
        let on_network = self.registry.reach() == Reach::Network;
        let opened = Listening::open(&self.options, on_network, &self.tasks).await?;
        let opened = Arc::new(opened);
        *self.slot() = Some(opened.clone());
        Ok(opened)
    }

    /// What the registry is told of a subscription. Each has an id of its own, also beside others of
    /// the same topic and queue: then each is found, and what it gets is its own copy.
    fn service(&self, listening: &Listening, topic: &str, queue: Option<&str>) -> Service {
        let id = format!("{}-{}", short(topic), self.tasks.uuid());
        let mut node = Node::new(id, &*listening.advertised);
        let secure = if listening.place.is_secure() {
            "true"
        } else {
            "false"
        };
        node.metadata = [("broker", "http"), ("topic", topic), ("secure", secure)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let mut service = Service::new(SERVICE, queue.unwrap_or(BROADCAST));
        service.nodes = vec![node];
        service
    }
}

#[async_trait]
impl Broker for Http {
    fn name(&self) -> &str {
        "http"
    }

    fn address(&self) -> Option<String> {
        let listening = self.0.listening()?;
        Some(listening.advertised.clone())
    }

    /// As in the trait. It gives when all have taken the message, which those of ours do when it has a
    /// place in the subscription's queue, and Go Micro's when their handler is done; who is still busy
    /// with it after 5 s has taken it too. Dropped before, some may have it and others not.
    ///
    /// # Errors
    /// 503 where one queue, or all subscribers without a queue, could not be reached, with the nodes;
    /// 500 where the registry fails and nothing is known from before. Others may have got it. It is
    /// [unprocessed](Error::is_unprocessed) where certainly nobody has.
    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        named(topic)?;
        self.0.publisher.publish(topic, &message).await
    }

    /// As in the trait. It gives when the subscription is registered, or after 2 s: where the
    /// registry fails it goes on trying.
    ///
    /// # Errors
    /// 400 where the topic or queue has no name that can be had, also where the registry says so
    /// within that time; else where the broker cannot listen.
    async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        named(topic)?;
        let queue = options.queue.as_deref().filter(|queue| !queue.is_empty());
        if queue == Some(BROADCAST) {
            return Err(Error::bad_request(
                ID,
                format!("{BROADCAST} stands for no queue and cannot be one"),
            ));
        }
        let turn = self.0.turn.lock().await;
        let listening = self.0.listen().await?;
        let service = self.0.service(&listening, topic, queue);
        let id = service
            .nodes
            .first()
            .map(|node| node.id.clone())
            .unwrap_or_default();
        let (sender, inbox) = mpsc::channel(options.capacity.max(1));
        let place = listening.place.clone();
        let entry = Entry {
            registry: self.0.registry.clone(),
            service,
            ttl: self.0.options.register_ttl,
            interval: self.0.options.register_interval,
        };
        let registration = Arc::new(Registration::keep(entry, &place.tasks));
        place.desk.open(&id, topic, sender, registration.clone());
        drop(turn);
        let subscription = HttpSubscription {
            id,
            inbox,
            registration,
            place,
        };
        // Dropped, what was refused is taken back: it may have been done in part.
        if let Ok(tried) = timeout(REGISTERING, subscription.registration.tried()).await {
            tried?;
        }
        Ok(Box::new(subscription))
    }

    /// As in the trait: deregisters what is left, serves on for a moment, answers what is under way,
    /// and closes. What has its place in a subscription's queue is still given by it.
    async fn disconnect(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        let Some(listening) = self.0.slot().take() else {
            return Ok(());
        };
        let registrations = listening.place.desk.registrations();
        for registration in &registrations {
            registration.leave();
        }
        let mut result = Ok(());
        for registration in &registrations {
            result = result.and(registration.left().await);
        }
        let left = match registrations.is_empty() {
            false => Some(Instant::now()),
            true => listening.place.desk.last_closed(),
        };
        if let Some(left) = left {
            sleep_until(later(left, self.0.options.linger)).await;
        }
        listening.close().await;
        result
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("options", &self.0.options)
            .field("registry", &self.0.registry)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

fn named(topic: &str) -> Result<()> {
    match topic {
        "" => Err(Error::bad_request(ID, "a topic needs a name")),
        _ => Ok(()),
    }
}

/// The topic as the beginning of a node's id. mDNS has the id in a name whose parts between dots
/// hold 63 bytes, of which the uuid and its dash take 37; the whole topic is in the metadata.
fn short(topic: &str) -> &str {
    const PART: usize = 63 - 37;
    let last = topic.rfind('.').map_or(0, |dot| dot + 1);
    let end = topic.floor_char_boundary(topic.len().min(last + PART));
    topic.get(..end).unwrap_or_default()
}
