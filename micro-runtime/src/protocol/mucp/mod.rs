//! Go Micro's protocol, mucp, over HTTP/1.1.
//!
//! A message is one HTTP request or one HTTP response; a stream is any number of either on one
//! connection, not paired. Replies are always `200 OK`, errors stand in the header `Micro-Error`.
//! `docs/WIRE.md` says where what we send differs from Go Micro's, and why.
//!
//! This module frames calls. It knows nothing of names, retries or registries.

mod client;
mod envelope;
mod names;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub(in crate::protocol) use server::serve;

use super::http1::{self, Http1};
use super::{Channel, Destination, Environment, Protocol, Recognised};
use crate::router::Core;
use crate::transport::Connection;

/// mucp with its settings. Change fields of the default.
///
/// ```
/// use micro_runtime::protocol::{Protocol, mucp::Mucp};
///
/// let mut mucp = Mucp::default();
/// mucp.loopback_only = true;
/// assert_eq!(mucp.name(), "mucp");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mucp {
    /// Web origins whose pages may call (`https://example.org`). None: a request with any other
    /// `Origin` is refused. `*` stands for any.
    pub origins: Vec<String>,
    /// Whether `Host` must name this machine, so that no web page reaches a server on loopback by
    /// a name of its own (DNS rebinding). Set it where the listener is bound to loopback. Off.
    pub loopback_only: bool,
    /// How long a client waits, after its own end of a bidirectional stream, for one more message
    /// of a Go server, which does not say when it is done. Servers of ours do say. 2 s.
    pub linger: Duration,
    /// How long a client waits, after its own end of a bidirectional stream, for the first sign of
    /// any kind from the server; then the stream fails. 10 s.
    pub silence: Duration,
    /// How long a server keeps a connection whose stream has ended, for the client to close it. 10 s.
    pub stream_rest: Duration,
    /// How long a stream's handler may go on after its caller has ended the input and gone. 60 s.
    pub farewell: Duration,
}

impl Default for Mucp {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            loopback_only: false,
            linger: Duration::from_secs(2),
            silence: Duration::from_secs(10),
            stream_rest: Duration::from_secs(10),
            farewell: Duration::from_secs(60),
        }
    }
}

impl Mucp {
    /// mucp with its default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Protocol for Mucp {
    fn name(&self) -> &'static str {
        "mucp"
    }

    fn alpn(&self) -> &'static str {
        "http/1.1"
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(client::MucpChannel::new(
            node,
            environment.clone(),
            self.clone(),
        ))
    }

    fn recognises(&self, head: &[u8]) -> Recognised {
        http1::recognises(head)
    }

    async fn serve(&self, connection: Connection, core: Arc<Core>) {
        let port = Http1 {
            mucp: Some(self.clone()),
            #[cfg(feature = "grpc")]
            web: None,
        };
        port.serve(connection, core).await;
    }
}
