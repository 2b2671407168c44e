//! Events as programs see them: publishing what is typed, and running what has subscribed.
//!
//! [`Client::publisher`](crate::Client::publisher) encodes an event as a call's message is encoded and
//! hands it to the [broker](crate::broker). [`Service::subscribe`](crate::Service::subscribe) has a
//! handler run for each event of a topic: its context carries the publisher's metadata and trace, and
//! its own calls and events have it as their parent.
//!
//! ```
//! use micro_runtime::broker::Memory;
//! use micro_runtime::call::Frame;
//! use micro_runtime::{Context, Service};
//! # use micro_runtime::registry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> micro_runtime::Result<()> {
//! let (told, mut heard) = tokio::sync::mpsc::channel(1);
//! let service = Service::new("listener")
//! #     .registry(registry::Memory::new())
//! #     .linger(std::time::Duration::ZERO)
//!     .broker(Memory::new())
//!     .subscribe("greeted", "", move |cx: Context, event: Frame| {
//!         let told = told.clone();
//!         async move {
//!             let tenant = cx.metadata().get("Tenant").unwrap_or("nobody").to_owned();
//!             told.send((tenant, event)).await.expect("somebody waits");
//!             Ok(())
//!         }
//!     })
//!     .start()
//!     .await?;
//!
//! let greeted = service.client().publisher("greeted");
//! greeted.publish(Frame("John".into())).metadata("tenant", "blue").await?;
//! assert_eq!(heard.recv().await, Some(("blue".to_owned(), Frame("John".into()))));
//! service.stop().await
//! # }
//! ```
//!
//! # Header and body
//! A subscriber of [`Message`](crate::broker::Message)s gets them as they came, whatever they are encoded
//! as, and [`Client::broker`](crate::Client::broker) publishes them so.
//! ```
//! use micro_runtime::broker::{Memory, Message};
//! use micro_runtime::{Context, Service};
//! # use micro_runtime::registry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> micro_runtime::Result<()> {
//! # let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
//! let service = Service::new("listener")
//! #     .registry(registry::Memory::new())
//! #     .linger(std::time::Duration::ZERO)
//!     .broker(Memory::new())
//!     .subscribe("greeted", "queue", move |_cx: Context, message: Message| {
//!         println!("{:?}", message.header.get("Content-Type"));
//! #         told.send(message.body).expect("somebody waits");
//!         async { Ok(()) }
//!     })
//!     .start()
//!     .await?;
//!
//! let message = Message::new("<name>John</name>").with("Content-Type", "text/xml");
//! service.broker().publish("greeted", message).await?;
//! # assert_eq!(heard.recv().await.as_deref(), Some(&b"<name>John</name>"[..]));
//! service.stop().await
//! # }
//! ```
//!
//! # When a handler fails
//! An error and a panic are the same: the handler failed. It is run again as often as
//! [`Subscriber::retries`] says (not at all by default: it may have done half its work), then the event
//! goes to the [dead letter topic](Subscriber::dead_letter), or, where there is none, is refused with a
//! warning in the log. What cannot be decoded is not tried twice.
//!
//! # The content type
//! Events are published in the client's content type, `application/protobuf` unless the service says
//! otherwise, as calls are; Go Micro's own default is `application/json`. Subscribers of both take
//! both.

mod consumer;
mod delivered;
mod direct;
mod header;
mod publisher;
mod reader;
mod schema;
mod subscriber;
mod subscribers;

pub use delivered::Delivered;
pub use header::{DEAD_ATTEMPTS, DEAD_ERROR, DEAD_TOPIC, DEADLINE};
pub(crate) use publisher::Outlet;
pub use publisher::{Publish, Publisher};
pub(crate) use subscriber::Subscribed;
pub use subscriber::Subscriber;
pub(crate) use subscribers::{Shared, Subscribers};

use crate::codec::Payload;

/// A message that belongs to one topic: generated where a `.proto` says so.
///
/// ```proto
/// import "micro/event.proto";
///
/// message Greeted {
///   option (micro.event).topic = "greeter.greeted";
///   string name = 1;
/// }
/// ```
/// It is then published with [`Client::publish`](crate::Client::publish) and subscribed to with
/// [`Service::on`](crate::Service::on), which need no topic.
pub trait Event: Payload + Default {
    /// Its topic.
    const TOPIC: &'static str;
}
