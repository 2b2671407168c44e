//! Byte streams: what protocols frame their calls on.
//!
//! A transport dials and listens; addresses are text, `host:port` for tcp, `unix:/path`, a name for memory. TLS is
//! laid over any of them, by what the client or the listener was configured with.

mod advertise;
pub(crate) mod clash;
mod memory;
mod ports;
mod rewind;
#[cfg(unix)]
mod spare;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(unix)]
mod unix;

pub(crate) use advertise::advertised;
pub use memory::Memory;
pub(crate) use ports::listen;
pub use rewind::Rewind;
pub use tcp::Tcp;
#[cfg(unix)]
pub use unix::Unix;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::error::Result;
use crate::metadata::Text;

/// Both directions of a byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {
    /// The two directions, for two tasks.
    ///
    /// Those of TCP and Unix sockets share nothing; those of other streams share a lock while bytes are moved.
    fn split(self: Box<Self>) -> (ReadSide, WriteSide);
}

/// The direction of a byte stream that is read.
pub type ReadSide = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// The direction of a byte stream that is written.
pub type WriteSide = Box<dyn AsyncWrite + Send + Sync + Unpin>;

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> Io for T {
    fn split(self: Box<Self>) -> (ReadSide, WriteSide) {
        // A trait method that each stream would have to give is the other way; no stream of a user's
        // own has anything to say here, so the three that do are found by their type.
        let own: Box<dyn Any> = self;
        let own = match own.downcast::<TcpStream>() {
            Ok(socket) => {
                let (read, write) = socket.into_split();
                return (Box::new(read), Box::new(write));
            }
            Err(own) => own,
        };
        #[cfg(unix)]
        let own = match own.downcast::<tokio::net::UnixStream>() {
            Ok(socket) => {
                let (read, write) = socket.into_split();
                return (Box::new(read), Box::new(write));
            }
            Err(own) => own,
        };
        let own = match own.downcast::<Rewind<Box<dyn Io>>>() {
            Ok(rewind) => return rewind.into_halves(),
            Err(own) => own,
        };
        let own = match own.downcast::<clash::Plain<Box<dyn Io>>>() {
            Ok(plain) => return plain.into_halves(),
            Err(own) => own,
        };
        let own = own.downcast::<T>().expect("it is what it was before");
        let (read, write) = tokio::io::split(*own);
        (Box::new(read), Box::new(write))
    }
}

/// A connection before any protocol is spoken on it.
pub struct Connection {
    /// The bytes.
    pub io: Box<dyn Io>,
    /// The other end's address.
    pub peer: Text,
    /// Our address.
    pub local: Text,
    /// Whether TLS protects it.
    pub secure: bool,
    /// The protocol that TLS agreed on (ALPN), if any.
    pub negotiated: Option<Text>,
}

impl Connection {
    /// A connection over `io` without TLS.
    pub fn new(io: impl Io, peer: impl Into<Text>, local: impl Into<Text>) -> Self {
        Self {
            io: Box::new(io),
            peer: peer.into(),
            local: local.into(),
            secure: false,
            negotiated: None,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("local", &self.local)
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

/// Dials and listens.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Its name in settings: `http` (tcp), `memory`.
    fn name(&self) -> &str;

    /// Connects to `address`. Bounded by the caller.
    ///
    /// # Errors
    /// 500 `connection error: …`, [unprocessed](crate::Error::unprocessed), when nobody answers there.
    async fn dial(&self, address: &str) -> Result<Connection>;

    /// Listens on `address`; port 0 and an empty name mean any that is free.
    ///
    /// # Errors
    /// 500 when the address is taken or not ours.
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>>;
}

/// Whether an address is a Unix socket's, which only this machine can dial.
pub(crate) fn is_unix(address: &str) -> bool {
    address.starts_with("unix:")
}

/// What a request to `address` names as its host.
pub(crate) fn host(address: &str) -> &str {
    match is_unix(address) {
        true => "localhost",
        false => address,
    }
}

/// Accepts connections.
#[async_trait]
pub trait Listener: fmt::Debug + Send + Sync {
    /// The address it listens on, with the port that was found.
    fn address(&self) -> &str;

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// When no connection can be accepted just now; the listener goes on.
    async fn accept(&mut self) -> Result<Connection>;
}

/// A boxed future that borrows: what seams return that are called once per call.
pub type Borrowed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
