//! Protocols: what frames calls on a connection.
//!
//! On a client a protocol gives a [`Channel`] to a node, which owns the connections to it. On a
//! server it is handed a connection whose first bytes it has recognised, and serves it with what
//! [`Core`] offers. `mucp` is Go Micro's, `grpc` everyone's, and `braid` is ours.

mod age;
pub mod braid;
mod connections;
#[cfg(feature = "grpc")]
mod exchange;
#[cfg(feature = "grpc")]
pub mod grpc;
pub(crate) mod http1;
#[cfg(feature = "grpc")]
mod http1_client;
#[cfg(feature = "grpc")]
mod http2;
mod kept;
pub mod mucp;
#[cfg(feature = "grpc")]
mod web;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::call::{Reply, Request};
use crate::error::Result;
use crate::metadata::Text;
use crate::router::Core;
use crate::tasks::Tasks;
use crate::transport::{Borrowed, Connection, Transport};

pub use braid::Braid;
pub use connections::Connections;
#[cfg(feature = "grpc")]
pub use grpc::{Compression, Connect, Grpc, GrpcWeb, HttpVersion};
#[cfg(feature = "grpc")]
pub use web::Web;

/// Frames calls: one value serves for all connections of a client or a server.
#[async_trait]
pub trait Protocol: Any + fmt::Debug + Send + Sync {
    /// Its name in settings, and in the metadata of nodes: `mucp`, `grpc`, `braid`.
    fn name(&self) -> &'static str;

    /// The name that TLS agrees on (ALPN): `http/1.1`, `h2`, `braid/1`.
    fn alpn(&self) -> &'static str;

    /// What a client offers in TLS, best first: the one [name](Protocol::alpn) as a rule.
    fn client_alpn(&self) -> Vec<&'static str> {
        vec![self.alpn()]
    }

    /// A channel to `node`; dials nothing yet.
    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel>;

    /// Whether a connection that begins with `head` speaks this protocol.
    fn recognises(&self, head: &[u8]) -> Recognised;

    /// Serves `connection` until it ends, or until the server drains and nothing is in flight on it.
    ///
    /// It must bound what a peer can make it hold, and drop a handler when its caller is gone.
    async fn serve(&self, connection: Connection, core: Arc<Core>);
}

/// What a connection's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// They are this protocol's.
    Yes,
    /// They are not.
    No,
    /// More are needed to tell.
    Perhaps,
}

/// The node that a channel goes to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its address: `host:port`.
    pub address: Text,
    /// Its id in the registry; the address where it was given by hand.
    pub id: Text,
    /// Whether it is a Go Micro node from before `protocol` metadata, which wants the legacy
    /// envelopes (`application/json` as json-rpc, `application/protobuf` as proto-rpc).
    pub legacy: bool,
}

/// What a channel works with; shared by all channels of a client.
#[derive(Clone, Debug)]
pub struct Environment {
    /// How connections are made, TLS included.
    pub transport: Arc<dyn Transport>,
    /// Who spawns.
    pub tasks: Tasks,
    /// How many idle connections a channel keeps. Go Micro's pool size, 100.
    pub pool_size: usize,
    /// How long a connection is used before a new one is made. Go Micro's pool TTL, 60 s.
    pub pool_ttl: Duration,
    /// The largest message accepted from a peer, in bytes. 64 MiB.
    pub max_message: usize,
}

/// The bounds of one try at a call.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// What time it is when the try begins, which is when its future is first polled: reading the clock
    /// is not cheap. It is older after each await.
    pub now: Instant,
    /// When the try is over. The caller enforces it by dropping the future; it is here to be told
    /// to the server.
    pub deadline: Option<Instant>,
    /// How long connecting may take.
    pub dial_timeout: Duration,
}

/// The way to one node over one protocol, with its connections.
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` once and waits for the reply; of a stream, opens it.
    ///
    /// An error is [unprocessed](crate::Error::is_unprocessed) only where the request certainly
    /// reached no handler. Dropping the future gives the call up at the server too.
    fn call<'a>(
        &'a self,
        request: &'a Request,
        limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>>;

    /// Closes idle connections and refuses new calls; those in flight go on.
    fn close(&self);

    /// The connections to the node at this moment, for a person who looks; `None` where the channel
    /// does not say.
    fn connections(&self) -> Option<Connections> {
        None
    }
}
