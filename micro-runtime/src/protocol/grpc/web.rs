//! The clients of Connect and of gRPC-Web: for servers that speak those and not gRPC.
//!
//! They are chosen by name (`--client=connect`), or by a node whose metadata names one as its
//! `protocol`; our own nodes are called in better ones. There is no server here: ours answers both
//! dialects beside gRPC.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Compression;
use super::client::{Dialect, How, WebChannel};
use crate::protocol::{Channel, Destination, Environment, Protocol, Recognised};
use crate::router::Core;
use crate::transport::Connection;

/// The version of HTTP that carries calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// With TLS what both ends know, HTTP/2 rather than HTTP/1.1; without TLS HTTP/1.1, which every
    /// server of these dialects knows.
    #[default]
    Auto,
    /// HTTP/1.1: a call has a connection to itself, and its input is sent before its output comes.
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
}

impl HttpVersion {
    /// What TLS offers, best first.
    fn alpn(self) -> Vec<&'static str> {
        match self {
            Self::Auto => vec![HTTP2, HTTP1],
            Self::Http1 => vec![HTTP1],
            Self::Http2 => vec![HTTP2],
        }
    }
}

const HTTP1: &str = "http/1.1";
/// The name of HTTP/2 in TLS.
pub(super) const HTTP2: &str = "h2";

/// Calls servers of Connect; its settings. Change fields of the default.
///
/// ```
/// use micro_runtime::protocol::{Connect, Protocol};
///
/// let mut connect = Connect::default();
/// connect.get = true;
/// assert_eq!(connect.name(), "connect");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connect {
    /// The version of HTTP. [`HttpVersion::Auto`].
    pub http: HttpVersion,
    /// Whether methods without side effects are called with GET, which caches can answer. Off.
    pub get: bool,
    /// Requests of so many bytes and more are compressed; messages of streams if they are 1 KiB at
    /// least, too. None for `None`, which is the default: a client cannot know what the server reads.
    /// What comes compressed is read either way.
    pub compress: Option<usize>,
    /// What they are compressed with. gzip, which most servers read.
    pub compression: Compression,
    /// The largest message that is taken, in bytes after decompression, where the client's own limit
    /// is not smaller. 64 MiB.
    pub max_message: usize,
    /// How long the opening of a stream waits for the server's metadata: see
    /// [`Grpc::opening`](super::Grpc::opening). 100 ms.
    pub opening: Duration,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            http: HttpVersion::Auto,
            get: false,
            compress: None,
            compression: Compression::Gzip,
            max_message: 64 << 20,
            opening: OPENING,
        }
    }
}

impl Connect {
    /// Connect with its default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Protocol for Connect {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn alpn(&self) -> &'static str {
        HTTP2
    }

    fn client_alpn(&self) -> Vec<&'static str> {
        self.http.alpn()
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        let how = How {
            dialect: Dialect::Connect,
            name: self.name(),
            http: self.http,
            get: self.get,
            compress: self.compress,
            compression: self.compression,
            max_message: self.max_message,
            opening: self.opening,
        };
        Arc::new(WebChannel::new(how, node, environment))
    }

    fn recognises(&self, _head: &[u8]) -> Recognised {
        Recognised::No
    }

    async fn serve(&self, connection: Connection, _core: Arc<Core>) {
        // It recognises nothing, so nothing is ever given to it.
        drop(connection);
    }
}

/// Calls servers of gRPC-Web; its settings. Change fields of the default.
///
/// ```
/// use micro_runtime::protocol::{GrpcWeb, Protocol};
///
/// assert_eq!(GrpcWeb::default().name(), "grpc-web");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcWeb {
    /// The version of HTTP. [`HttpVersion::Auto`].
    pub http: HttpVersion,
    /// Whether messages of 1 KiB and more are compressed. What comes compressed is read either way.
    /// Off.
    pub compress: bool,
    /// What they are compressed with. gzip, which most servers read.
    pub compression: Compression,
    /// The largest message that is taken, in bytes after decompression, where the client's own limit
    /// is not smaller. 4 MiB, as every gRPC has it.
    pub max_message: usize,
    /// How long the opening of a stream waits for the server's metadata: see
    /// [`Grpc::opening`](super::Grpc::opening). 100 ms.
    pub opening: Duration,
}

impl Default for GrpcWeb {
    fn default() -> Self {
        Self {
            http: HttpVersion::Auto,
            compress: false,
            compression: Compression::Gzip,
            max_message: 4 << 20,
            opening: OPENING,
        }
    }
}

impl GrpcWeb {
    /// gRPC-Web with its default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Protocol for GrpcWeb {
    fn name(&self) -> &'static str {
        "grpc-web"
    }

    fn alpn(&self) -> &'static str {
        HTTP2
    }

    fn client_alpn(&self) -> Vec<&'static str> {
        self.http.alpn()
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        let how = How {
            dialect: Dialect::GrpcWeb,
            name: self.name(),
            http: self.http,
            get: false,
            compress: self.compress.then_some(0),
            compression: self.compression,
            max_message: self.max_message,
            opening: self.opening,
        };
        Arc::new(WebChannel::new(how, node, environment))
    }

    fn recognises(&self, _head: &[u8]) -> Recognised {
        Recognised::No
    }

    async fn serve(&self, connection: Connection, _core: Arc<Core>) {
        // It recognises nothing, so nothing is ever given to it.
        drop(connection);
    }
}

/// How long the opening of a stream waits.
const OPENING: Duration = Duration::from_millis(100);
