//! One port: accepts connections, sees what they speak, and hands them to that protocol.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::port::{Port, Spoken};
use crate::error::{Error, Result, id};
use crate::protocol::Protocol;
use crate::router::Core;
use crate::tasks::after;
use crate::transport::clash::{self, Clashes};
#[cfg(feature = "tls")]
use crate::transport::tls::{Acceptor, ServerTls};
use crate::transport::{Connection, Listener, Rewind};

/// How many of a connection's first bytes are read before it must be known.
const SNIFFED: usize = 16 * 1024;
/// How long accepting waits after it has failed: for file descriptors, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a new connection that has said nothing may still say something once the server stops.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long a stop waits for tasks that it has aborted; one that blocks its thread never ends.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// Serves a [`Core`] on listeners.
pub struct Server {
    core: Arc<Core>,
    port: Arc<Port>,
    #[cfg(feature = "tls")]
    tls: Option<Acceptor>,
    connections: Arc<AtomicUsize>,
    clashes: Arc<Clashes>,
}

impl Server {
    /// Serves `core` to peers that speak one of `protocols`.
    ///
    /// # Errors
    /// 400 without any protocol.
    pub fn new(core: Core, protocols: Vec<Arc<dyn Protocol>>) -> Result<Self> {
        if protocols.is_empty() {
            return Err(Error::bad_request(
                id::SERVER,
                "a server without a protocol can serve nobody",
            ));
        }
        Ok(Self {
            core: Arc::new(core),
            port: Arc::new(Port::new(protocols)),
            #[cfg(feature = "tls")]
            tls: None,
            connections: Arc::default(),
            clashes: Arc::default(),
        })
    }

    /// Speaks TLS, and only TLS.
    ///
    /// # Errors
    /// 400 where certificate and key do not fit.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: &ServerTls) -> Result<Self> {
        self.tls = Some(tls.acceptor(self.port.alpn().into_iter())?);
        Ok(self)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The count of open connections, for who looks at it later.
    pub(crate) fn open_connections(&self) -> Arc<AtomicUsize> {
        self.connections.clone()
    }

    /// What is served.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The names of the protocols served, in order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.port.names()
    }

    /// Accepts connections on `listener` in a task of the server's, until it [stops](Server::stop).
    pub fn start(&self, mut listener: Box<dyn Listener>) {
        let core = self.core.clone();
        let handling = self.handling();
        let mut draining = core.draining();
        let tasks = core.tasks().clone();
        tasks.clone().spawn(async move {
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = draining.begun() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok(connection) => {
                        if let Some(serving) = handling.serve(connection) {
                            // Boxed: what a task captures takes its room twice.
                            tasks.spawn(Box::pin(serving));
                        }
                    }
                    Err(error) => {
                        // Out of file descriptors, as a rule: those that are open must end first.
                        warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    /// Serves one connection, as [`start`](Server::start) does each that it accepts.
    pub fn attach(&self, connection: Connection) {
        if let Some(serving) = self.handling().serve(connection) {
            self.core.tasks().spawn(Box::pin(serving));
        }
    }

    /// Takes no new connection and no new call, waits up to `limit` for those that run, then stops them.
    ///
    /// Gives how many calls had to be stopped.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.core.start_drain();
        let deadline = after(limit);
        let drained = timeout_at(deadline, self.core.tasks().idle()).await;
        let left = self.core.running();
        if drained.is_err() {
            debug!(
                calls = left,
                "the drain limit has passed, stopping what runs"
            );
        }
        self.abort();
        // What they held is let go before the stop is done.
        if timeout(ABORT_WAIT, self.core.tasks().idle()).await.is_err() {
            warn!("a handler blocks its thread, the stop goes on without it");
        }
        left
    }

    /// Stops at once all that runs.
    pub(crate) fn abort(&self) {
        self.core.start_drain();
        self.core.tasks().abort_all();
    }

    fn handling(&self) -> Handling {
        Handling {
            core: self.core.clone(),
            port: self.port.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
            connections: self.connections.clone(),
            clashes: self.clashes.clone(),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("core", &self.core)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What a connection's task needs.
#[derive(Clone)]
struct Handling {
    core: Arc<Core>,
    port: Arc<Port>,
    #[cfg(feature = "tls")]
    tls: Option<Acceptor>,
    connections: Arc<AtomicUsize>,
    clashes: Arc<Clashes>,
}

impl Handling {
    /// The connection's life, unless there are too many already.
    fn serve(&self, connection: Connection) -> Option<impl Future<Output = ()> + Send + 'static> {
        let open = Open::count(&self.connections);
        if open.others >= self.core.limits().connections {
            warn!(peer = %connection.peer, open = open.others, "too many connections, one refused");
            return None;
        }
        let this = self.clone();
        Some(async move {
            let _open = open;
            let peer = connection.peer.clone();
            let mut draining = this.core.draining();
            let deadline = after(this.core.limits().first_request);
            // Apart from what lives as long as the connection: handshakes are large.
            let opening = Box::pin(this.opening(connection));
            let opened = tokio::select! {
                biased;
                opened = timeout_at(deadline, opening) => opened,
                // It has not asked for anything; what is on its way already may come.
                () = async { draining.begun().await; sleep(LAST_WORDS).await } => return,
            };
            match opened {
                Ok(Ok(Some((spoken, connection)))) => {
                    this.port.serve(spoken, connection, this.core.clone()).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => debug!(%peer, %error, "a connection ended before its first call"),
                Err(_) => debug!(%peer, "a connection said nothing in time"),
            }
        })
    }

    /// What the connection's first bytes speak; `None` where it closed without any.
    async fn opening(&self, connection: Connection) -> Result<Option<(Spoken, Connection)>> {
        #[cfg(feature = "tls")]
        let connection = match &self.tls {
            Some(tls) => tls.accept(connection).await?,
            None => connection,
        };
        let mut connection = connection;
        let mut head = BytesMut::with_capacity(1024);
        loop {
            if connection.io.read_buf(&mut head).await? == 0 {
                return Ok(None);
            }
            let undecided = match self.port.spoken(connection.negotiated.as_deref(), &head) {
                Ok(spoken) => {
                    if matches!(spoken, Spoken::Gob) {
                        self.clashes.note(&connection.peer, GOB);
                    }
                    connection.io = Box::new(Rewind::new(head.freeze(), connection.io));
                    return Ok(Some((spoken, connection)));
                }
                Err(undecided) => undecided,
            };
            if head.first() == Some(&clash::HANDSHAKE) {
                let words = "the caller speaks TLS, and TLS is not on here";
                self.clashes.note(&connection.peer, words);
                clash::answer_handshake(connection.io).await;
                return Err(Error::bad_request(id::SERVER, words));
            }
            if !undecided || head.len() >= SNIFFED {
                let names: Vec<_> = self.port.names().collect();
                return Err(Error::bad_request(
                    id::SERVER,
                    format!("it speaks none of {}", names.join(", ")),
                ));
            }
        }
    }
}

/// What is said of a caller that speaks gob.
const GOB: &str = "the caller speaks Go's gob, as Go Micro does with the transport tcp, which is not \
                   served: have it use the transport http (--transport=http)";

/// Counts a connection as long as it lives.
struct Open {
    connections: Arc<AtomicUsize>,
    others: usize,
}

impl Open {
    fn count(connections: &Arc<AtomicUsize>) -> Self {
        let others = connections.fetch_add(1, Ordering::AcqRel);
        Self {
            connections: connections.clone(),
            others,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}
