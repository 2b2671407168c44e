//! HTTP/1.1 on the one port: mucp and the protocols of the web, in any order on one connection.
//!
//! A connection is read by one parser and owned by who speaks what comes next; it changes hands
//! between two requests, when nothing of the former owner is in flight, with all that was read of it
//! and all that is still to be written.

#[cfg(feature = "grpc")]
mod connection;
#[cfg(feature = "grpc")]
mod exchange;
#[cfg(feature = "grpc")]
mod heads;
mod kind;
#[cfg(feature = "grpc")]
mod refusal;
#[cfg(feature = "grpc")]
mod timing;

use std::sync::Arc;

use bytes::BytesMut;

#[cfg(feature = "grpc")]
pub(in crate::protocol) use exchange::{Answer, Inbound, Outbound};

use self::kind::Kind;
use super::Recognised;
#[cfg(feature = "grpc")]
use super::grpc::Grpc;
use super::mucp::{self, Mucp};
use crate::http1::{Bounds, Decoder, Head, Outbox, Role};
use crate::metadata::Text;
use crate::router::Core;
use crate::transport::{Connection, Io};

/// Who is served on connections of HTTP/1.1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http1 {
    /// mucp; where it is off, its callers are told so.
    pub(crate) mucp: Option<Mucp>,
    /// gRPC-Web, Connect and JSON, with these settings.
    #[cfg(feature = "grpc")]
    pub(crate) web: Option<Grpc>,
}

impl Http1 {
    /// Serves a connection to its end.
    pub(crate) async fn serve(&self, connection: Connection, core: Arc<Core>) {
        let off = Mucp::default();
        let mucp = self.mucp.as_ref();
        let mut wire = Wire::new(connection, &core, self.is_shared());
        loop {
            let served = mucp::serve(mucp.unwrap_or(&off), mucp.is_some(), wire, &core);
            let Some(left) = served.await else {
                return;
            };
            let Some(left) = self.serve_web(left, &core).await else {
                return;
            };
            wire = left;
        }
    }

    #[cfg(feature = "grpc")]
    fn is_shared(&self) -> bool {
        self.web.is_some()
    }

    #[cfg(not(feature = "grpc"))]
    fn is_shared(&self) -> bool {
        false
    }

    #[cfg(feature = "grpc")]
    async fn serve_web(&self, wire: Wire, core: &Arc<Core>) -> Option<Wire> {
        connection::serve(self.web.as_ref()?, wire, core).await
    }

    #[cfg(not(feature = "grpc"))]
    async fn serve_web(&self, _wire: Wire, _core: &Arc<Core>) -> Option<Wire> {
        None
    }
}

/// A connection as it changes hands.
pub(in crate::protocol) struct Wire {
    pub(in crate::protocol) io: Box<dyn Io>,
    /// What was read and not used.
    pub(in crate::protocol) inbox: BytesMut,
    pub(in crate::protocol) decoder: Decoder,
    /// What is to be written.
    pub(in crate::protocol) out: Outbox,
    pub(in crate::protocol) peer: Text,
    pub(in crate::protocol) local: Text,
    pub(in crate::protocol) secure: bool,
    /// Whether others than mucp are served on it.
    pub(in crate::protocol) shared: bool,
}

impl Wire {
    fn new(connection: Connection, core: &Core, shared: bool) -> Self {
        let limits = core.limits();
        let bounds = Bounds {
            head: limits.head,
            headers: limits.headers,
            body: limits.message,
        };
        Self {
            io: connection.io,
            inbox: BytesMut::new(),
            decoder: Decoder::new(Role::Request, bounds),
            out: Outbox::default(),
            peer: connection.peer,
            local: connection.local,
            secure: connection.secure,
            shared,
        }
    }
}

/// Whether a request is for mucp.
pub(in crate::protocol) fn is_mucp(head: &Head) -> bool {
    Kind::of(head) == Kind::Mucp
}

/// Whether a connection that begins with `head` speaks HTTP/1.
pub(crate) fn recognises(head: &[u8]) -> Recognised {
    /// Longer than any method that is in use.
    const METHOD: usize = 24;
    match head.iter().position(|byte| !byte.is_ascii_uppercase()) {
        // The preface of HTTP/2 looks like a request of this method.
        Some(3) if head.starts_with(b"PRI") => Recognised::No,
        Some(end @ 1..=METHOD) if head.get(end) == Some(&b' ') => Recognised::Yes,
        Some(_) => Recognised::No,
        None if head.len() > METHOD => Recognised::No,
        None => Recognised::Perhaps,
    }
}
