//! gRPC over HTTP/2: the one protocol that everyone speaks, Go Micro's gRPC plugins included.
//!
//! A call is a stream of HTTP/2: a head with path and metadata, messages with a length before each,
//! and a status in the trailers. A method is found by its full name, or by the last part of the
//! service's as Go Micro does. What Go Micro's plugins do otherwise than the standard is honoured
//! where their clients are recognised by what they send.
//!
//! This module frames calls. HTTP/2 itself is next door, in `http2`.

mod client;
mod content;
mod encoding;
mod gzip;
mod headers;
mod message;
mod names;
mod server;
mod status;
mod text;
mod timeout;
mod web;
#[cfg(feature = "zstd")]
mod zstd;

pub use encoding::Compression;
pub use web::{Connect, GrpcWeb, HttpVersion};

pub(crate) use server::Http2;
pub(in crate::protocol) use server::{Served, Web};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::http2::PREFACE;
use super::{Channel, Destination, Environment, Protocol, Recognised};
use crate::router::Core;
use crate::transport::Connection;

/// gRPC with its settings. Change fields of the default.
///
/// ```
/// use micro_runtime::protocol::{Grpc, Protocol};
///
/// let mut grpc = Grpc::default();
/// grpc.max_message = 16 << 20;
/// assert_eq!((grpc.name(), grpc.alpn()), ("grpc", "h2"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Grpc {
    /// Web origins whose pages may call (`https://example.org`). None: a request with any other
    /// `Origin` is refused. `*` stands for any.
    pub origins: Vec<String>,
    /// Whether `:authority` must name this machine, so that no web page reaches a server on loopback
    /// by a name of its own (DNS rebinding). Set it where the listener is bound to loopback. Off.
    pub loopback_only: bool,
    /// The largest message that is taken, in bytes after decompression, where the server's or the
    /// client's own limit is not smaller. 4 MiB, as every gRPC has it.
    pub max_message: usize,
    /// Whether messages of 1 KiB and more are compressed: requests always, since a client cannot know
    /// what the server reads; replies where the caller takes them so. What comes compressed is read
    /// either way. Off.
    pub compress: bool,
    /// What they are compressed with, replies with another one that the caller reads where it does
    /// not read this one. gzip.
    pub compression: Compression,
    /// How many bytes of a call's input are taken before its handler reads them. 256 KiB.
    ///
    /// A connection holds at most so much for each of its calls.
    pub stream_window: u32,
    /// How long a server's connection is silent before its caller is asked whether it is there;
    /// never for `None`. 60 s.
    pub ping_after: Option<Duration>,
    /// The same of a client's connection, while a call is open on it. 5 min, which is as often as
    /// other servers suffer it.
    pub client_ping_after: Option<Duration>,
    /// How long the answer to that may take. 20 s.
    pub ping_answer: Duration,
    /// After how long a server has a caller make a new connection, give or take a tenth, so that calls
    /// find nodes that came later; calls that run go on. Never for `None`, which is the default.
    pub max_age: Option<Duration>,
    /// How long they may go on then, before the connection is closed; for ever for `None`, which is
    /// the default.
    pub max_age_grace: Option<Duration>,
    /// How long the opening of a stream waits for the server's metadata. Many servers send none
    /// before their first message; after one that did not, a connection waits no more. 100 ms.
    pub opening: Duration,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            loopback_only: false,
            max_message: 4 << 20,
            compress: false,
            compression: Compression::Gzip,
            stream_window: 256 << 10,
            ping_after: Some(Duration::from_secs(60)),
            client_ping_after: Some(Duration::from_secs(5 * 60)),
            ping_answer: Duration::from_secs(20),
            max_age: None,
            max_age_grace: None,
            opening: Duration::from_millis(100),
        }
    }
}

impl Grpc {
    /// gRPC with its default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// gRPC with its default settings, on a listener that is, or is not, for this machine alone, and
    /// that pages of `origins` may call.
    pub(crate) fn for_listener(loopback_only: bool, origins: &[String]) -> Self {
        Self {
            loopback_only,
            origins: origins.to_vec(),
            ..Self::default()
        }
    }
}

#[async_trait]
impl Protocol for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn alpn(&self) -> &'static str {
        "h2"
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(client::GrpcChannel::new(self, node, environment))
    }

    fn recognises(&self, head: &[u8]) -> Recognised {
        recognises(head)
    }

    async fn serve(&self, connection: Connection, core: Arc<Core>) {
        let port = Http2 {
            grpc: Some(self.clone()),
            web: None,
        };
        port.serve(connection, core).await;
    }
}

/// Whether a connection that begins with `head` speaks HTTP/2.
pub(crate) fn recognises(head: &[u8]) -> Recognised {
    if head.starts_with(PREFACE) {
        Recognised::Yes
    } else if PREFACE.starts_with(head) {
        Recognised::Perhaps
    } else {
        Recognised::No
    }
}

/// By which our clients are known.
const USER_AGENT: &str = concat!("micro-rust/", env!("CARGO_PKG_VERSION"));
