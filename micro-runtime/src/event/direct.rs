//! Events that come as calls, by the service's own port: Go Micro takes a request that names a topic
//! for one.

use std::fmt;
use std::sync::Arc;

use super::consumer::Consumer;
use super::header;
use crate::broker::Message;
use crate::call::{Body, BoxFuture, Dispatch, Reply, Request};
use crate::error::{Error, Result, id};
use crate::method::{Idempotency, Kind, Method, ServiceDescriptor};

/// Gives such an event to the subscribers of its topic.
pub(super) struct Direct(pub(super) Vec<Arc<Consumer>>);

impl Direct {
    /// Who is to have an event of `topic`: of those that share a queue, the first.
    fn consumers(&self, topic: &str) -> Vec<Arc<Consumer>> {
        let mut chosen: Vec<Arc<Consumer>> = Vec::new();
        for consumer in self.0.iter().filter(|consumer| consumer.topic() == topic) {
            let queue = consumer.queue();
            let served = chosen.iter().any(|other| other.queue() == queue);
            if queue.is_empty() || !served {
                chosen.push(consumer.clone());
            }
        }
        chosen
    }
}

impl Dispatch for Direct {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &DESCRIPTOR
    }

    /// That nobody has subscribed is no error; where handlers fail, all have run.
    fn call(&self, _index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        let message = Message {
            header: request.cx.metadata().clone(),
            body: request.body.into_bytes(),
        };
        let topic = message.header.get(header::TOPIC).unwrap_or_default();
        let consumers = self.consumers(topic);
        Box::pin(async move {
            let mut failures = Vec::new();
            for consumer in consumers {
                if let Err(error) = consumer.handle_direct(&message).await {
                    failures.push(error.to_wire());
                }
            }
            if failures.is_empty() {
                return Ok(Reply::new(Body::Empty));
            }
            // Go Micro's words.
            let words = format!("subscriber error: {}", failures.join("\n"));
            Err(Error::internal(id::SERVER, words))
        })
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

static METHODS: [Method; 1] = [Method::new(
    "",
    "Event.Publish",
    "/Event/Publish",
    Kind::Unary,
    Idempotency::Unknown,
    0,
)];
static DESCRIPTOR: ServiceDescriptor = ServiceDescriptor::new("Event", "Event", &METHODS, &[], &[]);
