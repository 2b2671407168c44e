//! The listener of a broker, open as long as there is something to listen for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::desk::Desk;
use super::options::HttpOptions;
use super::serve::serve;
#[cfg(feature = "tls")]
use crate::error::Error;
use crate::error::Result;
use crate::tasks::Tasks;
#[cfg(feature = "tls")]
use crate::transport::tls::Acceptor;
use crate::transport::{self, Connection, Listener, advertised};

/// How long accepting waits after it has failed: for file descriptors, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for tasks that it has aborted; one that blocks its thread never ends.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// An open listener with what it serves. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Listening {
    /// Where others are told to post to.
    pub(super) advertised: String,
    pub(super) place: Arc<Place>,
}

/// The share of a post in the bytes that all may hold, given back when it is dropped.
pub(super) type Held = Option<OwnedSemaphorePermit>;

/// What connections and subscriptions share.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) options: HttpOptions,
    pub(super) desk: Desk,
    /// Where it is bound to loopback: the one name that a `Host` may have beside those of loopback.
    pub(super) loopback: Option<String>,
    /// Whether it takes no new requests.
    pub(super) closing: watch::Sender<bool>,
    /// A group of its own: a stop waits for it and ends it.
    pub(super) tasks: Tasks,
    /// A permit for each byte that posts may hold.
    room: Arc<Semaphore>,
    connections: AtomicUsize,
    #[cfg(feature = "tls")]
    tls: Option<Acceptor>,
}

impl Listening {
    /// Opens the listener that `options` ask for.
    ///
    /// # Errors
    /// Where the address cannot be had or TLS cannot be used.
    pub(super) async fn open(
        options: &HttpOptions,
        on_network: bool,
        tasks: &Tasks,
    ) -> Result<Self> {
        #[cfg(feature = "tls")]
        let tls = match &options.server_tls {
            Some(tls) => Some(tls.acceptor(["http/1.1"].into_iter())?),
            None => None,
        };
        let default = if on_network { ":0" } else { "127.0.0.1:0" };
        let wanted = options.address.as_deref().unwrap_or(default);
        let listener = transport::listen(&*options.transport, wanted).await?;
        let address = listener.address().to_owned();
        let advertised = advertised(&address, options.advertise.as_deref(), on_network);
        let bound = address.parse::<SocketAddr>();
        let loopback = bound.is_ok_and(|bound| bound.ip().is_loopback());
        let place = Arc::new(Place {
            options: options.clone(),
            desk: Desk::default(),
            loopback: loopback.then(|| advertised.clone()),
            closing: watch::Sender::new(false),
            tasks: tasks.group(),
            room: Arc::new(Semaphore::new(options.max_held.min(Semaphore::MAX_PERMITS))),
            connections: AtomicUsize::new(0),
            #[cfg(feature = "tls")]
            tls,
        });
        place.tasks.spawn(accept(listener, place.clone()));
        debug!(address, advertised, "the broker listens");
        Ok(Self { advertised, place })
    }

    /// Takes no new requests, answers those that are under way, and closes.
    pub(super) async fn close(&self) {
        let place = &self.place;
        place.closing.send_replace(true);
        if timeout(place.options.drain, place.tasks.idle())
            .await
            .is_err()
        {
            warn!("posts were still coming in when the broker closed");
        }
        place.end();
        if timeout(ABORT_WAIT, place.tasks.idle()).await.is_err() {
            warn!("a task of the broker blocks its thread, the close goes on without it");
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.place.end();
    }
}

impl Place {
    /// Whether requests come over TLS.
    pub(super) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Counts `bytes` more to what a post holds; whether there is room for them.
    pub(super) fn hold(&self, held: &mut Held, bytes: usize) -> bool {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.room.clone().try_acquire_many_owned(bytes).ok());
        match (held, more) {
            (_, None) => return false,
            (Some(held), Some(more)) => held.merge(more),
            (held, more) => *held = more,
        }
        true
    }

    /// The connection inside its handshake, where there is one.
    pub(super) async fn open(&self, connection: Connection) -> Result<Connection> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return match timeout(self.options.request_read, tls.accept(connection)).await {
                Ok(opened) => opened,
                Err(_) => Err(Error::timeout(super::ID, "the TLS handshake took too long")),
            };
        }
        Ok(connection)
    }

    /// Ends all that goes on, and all subscriptions.
    fn end(&self) {
        self.closing.send_replace(true);
        self.tasks.abort_all();
        self.desk.close_all();
    }
}

async fn accept(mut listener: Box<dyn Listener>, place: Arc<Place>) {
    let mut closing = place.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                let open = Open::count(&place);
                if open.others >= place.options.max_connections {
                    warn!(peer = %connection.peer, open = open.others, "too many connections, one refused");
                    continue;
                }
                place.tasks.spawn(async move {
                    serve(connection, open.place.clone()).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, as a rule: those that are open must end first.
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts a connection as long as it lives.
struct Open {
    place: Arc<Place>,
    others: usize,
}

impl Open {
    fn count(place: &Arc<Place>) -> Self {
        Self {
            others: place.connections.fetch_add(1, Ordering::AcqRel),
            place: place.clone(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.place.connections.fetch_sub(1, Ordering::AcqRel);
    }
}
