//! What an HTTP broker can be told.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, ServerTls};
use crate::transport::{Tcp, Transport};

/// Settings and bounds of an HTTP broker. Change fields of the default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Where it listens once something is subscribed to: `host:port`, or `host:5000-6000` for the
    /// first free port of a range. Where `None`: any port, on loopback where the registry knows this
    /// machine alone, else on every interface.
    pub address: Option<String>,
    /// The host, or host and port, that others are told to post to, where it is not the one that it
    /// listens on.
    pub advertise: Option<String>,
    /// What posts travel on. Tcp.
    pub transport: Arc<dyn Transport>,
    /// What the listener shows of itself: it speaks TLS, and only TLS. `None`.
    #[cfg(feature = "tls")]
    pub server_tls: Option<ServerTls>,
    /// Whom publishing trusts: it posts over TLS, and only over TLS. `None`.
    #[cfg(feature = "tls")]
    pub client_tls: Option<ClientTls>,
    /// How long a subscription stays known without being registered again. 60 s, as in Go Micro.
    pub register_ttl: Duration,
    /// How often it is registered again; zero for once. 30 s, as in Go Micro.
    pub register_interval: Duration,
    /// The largest post that is taken, in bytes: a message's body in base64, which is a third longer,
    /// and its header. 6 MiB: messages of 4 MiB.
    pub max_post: usize,
    /// How many bytes may have come of all posts together that are being read, wait in a queue or have
    /// a handler that runs. One more is refused at once. 256 MiB.
    pub max_held: usize,
    /// How many connections are open at once. 1,024.
    pub max_connections: usize,
    /// How long a post may take to come in once its first byte is there. 30 s.
    pub request_read: Duration,
    /// How long a connection is kept without a post. 90 s: longer than publishers of ours keep one.
    pub idle: Duration,
    /// How long a post waits for room in its subscription's queue before it is refused. 3 s.
    pub room: Duration,
    /// How long a post of Go Micro's waits for its handler, as it does with receivers of Go Micro's;
    /// then it is answered while the handler goes on. Posts of ours are answered once they are in the
    /// queue. 30 s.
    pub settle: Duration,
    /// How long connecting to a subscriber may take. 3 s.
    pub dial: Duration,
    /// How long a publisher waits for a subscriber's answer. Who has taken a post and does not
    /// answer by then is taken to deal with it still. 5 s.
    pub answer: Duration,
    /// How long a subscription that is closed, and a disconnect, serve on after the deregistration:
    /// publishers hear of that a moment later. 500 ms.
    pub linger: Duration,
    /// How long a disconnect waits for posts that are just coming in. 5 s.
    pub drain: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            address: None,
            advertise: None,
            transport: Arc::new(Tcp),
            #[cfg(feature = "tls")]
            server_tls: None,
            #[cfg(feature = "tls")]
            client_tls: None,
            register_ttl: Duration::from_secs(60),
            register_interval: Duration::from_secs(30),
            max_post: 6 << 20,
            max_held: 256 << 20,
            max_connections: 1024,
            request_read: Duration::from_secs(30),
            idle: Duration::from_secs(90),
            room: Duration::from_secs(3),
            settle: Duration::from_secs(30),
            dial: Duration::from_secs(3),
            answer: Duration::from_secs(5),
            linger: Duration::from_millis(500),
            drain: Duration::from_secs(5),
        }
    }
}
