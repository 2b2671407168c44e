//! The way to a node: one connection of HTTP/2 for all calls, or one of HTTP/1.1 for each.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::uri::{Authority, Scheme};
use tokio::time::timeout;
use tracing::debug;

use super::super::super::Grpc;
use super::super::super::web::{HTTP2, HttpVersion};
use super::super::held::HeldBack;
use super::super::link::{Failed, authority, cannot};
use super::super::streams::{Streams, drive};
use super::How;
use crate::context::Peer;
use crate::error::Result;
use crate::error::why::Cause;
use crate::protocol::exchange::{Answered, Outbound};
use crate::protocol::http1_client::Pool;
use crate::protocol::http2::Chunk;
use crate::protocol::kept::{self, Connect, Marks};
use crate::protocol::{Connections, Destination, Environment};
use crate::transport::Connection;

/// Finds out what a node speaks.
pub(super) struct Opens(pub(super) Arc<How>, pub(super) Arc<HeldBack>);

/// The way to a node, once it is known what carries calls.
pub(super) struct Link {
    way: Way,
    pub(super) marks: Marks,
    pub(super) peer: Arc<Peer>,
    pub(super) held: Arc<HeldBack>,
    /// The longest message that is taken.
    pub(super) most: usize,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

enum Way {
    Http2(Streams),
    Http1 {
        pool: Pool,
        /// What dials when none is free.
        environment: Environment,
        address: String,
    },
}

impl Connect for Opens {
    type Link = Link;

    async fn connect(&self, node: &Destination, environment: &Environment) -> Result<Arc<Link>> {
        let how = &self.0;
        let authority = authority(&node.address).ok_or_else(|| {
            cannot(format!("{:?} cannot be named as a host", node.address)).caused_by(Cause::Own)
        })?;
        let connection = environment.transport.dial(&node.address).await?;
        let http2 = is_http2(&connection, how.http);
        if connection.secure && how.http == HttpVersion::Http2 && !http2 {
            return Err(cannot(format!(
                "{} does not agree on HTTP/2 in its TLS handshake (ALPN)",
                node.address
            ))
            .caused_by(Cause::Own));
        }
        let mut peer = Peer::new(connection.peer, connection.local, how.name);
        peer.node = node.id.clone();
        peer.secure = connection.secure;
        let scheme = match connection.secure {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let (way, driver) = if http2 {
            let (streams, driver) = Streams::open(connection.io, &Grpc::default()).await?;
            (Way::Http2(streams), Some(driver))
        } else {
            let pool = Pool::new(
                environment.pool_size,
                environment.pool_ttl,
                environment.tasks.clone(),
            );
            pool.add(connection.io);
            let way = Way::Http1 {
                pool,
                environment: environment.clone(),
                address: node.address.to_string(),
            };
            (way, None)
        };
        let link = Arc::new(Link {
            way,
            marks: Marks::default(),
            peer: Arc::new(peer),
            held: self.1.clone(),
            most: environment.max_message.min(how.max_message),
            scheme,
            authority,
        });
        if let Some(driver) = driver {
            drive(&link, |link| &link.marks, driver, (node, environment));
        }
        Ok(link)
    }
}

/// Whether a new connection speaks HTTP/2.
fn is_http2(connection: &Connection, http: HttpVersion) -> bool {
    match connection.secure {
        true => connection.negotiated.as_deref() == Some(HTTP2),
        false => http == HttpVersion::Http2,
    }
}

impl kept::Link for Link {
    fn is_open(&self) -> bool {
        self.marks.is_open()
    }

    fn is_old(&self) -> bool {
        self.marks.is_old()
    }

    fn is_proven(&self) -> bool {
        self.marks.is_proven()
    }

    fn retire(&self) {
        self.marks.retire();
        match &self.way {
            Way::Http2(streams) => streams.close(),
            Way::Http1 { pool, .. } => pool.close(),
        }
    }
}

impl Link {
    /// Sends the head of a call, and all of its input where that is there; gives the way to send
    /// more where it is not.
    pub(super) async fn open(
        &self,
        head: Request<()>,
        whole: Option<Chunk>,
        dial_timeout: Duration,
    ) -> Result<(Answered, Option<Outbound>), Failed> {
        match &self.way {
            Way::Http2(streams) => self.open_stream(streams, head, whole),
            Way::Http1 {
                pool,
                environment,
                address,
            } => {
                let (answered, out) = match pool.send(&head, whole.as_ref()) {
                    Some(sent) => sent,
                    None => {
                        let dialled = environment.transport.dial(address);
                        let connection = timeout(dial_timeout, dialled).await.map_err(|_| {
                            let words = format!("dial {address}: no connection within");
                            cannot(format!("{words} {dial_timeout:?}"))
                        })??;
                        if connection.negotiated.as_deref() == Some(HTTP2) {
                            // It has changed its mind since the first connection.
                            kept::Link::retire(self);
                            return Err(Failed::Retired);
                        }
                        pool.send_on(connection.io, &head, whole.as_ref())
                    }
                };
                Ok((
                    Answered::Http1Client(Box::new(answered)),
                    out.map(Outbound::Http1Client),
                ))
            }
        }
    }

    /// Those that carry calls.
    pub(super) fn connections(&self) -> Connections {
        match &self.way {
            Way::Http2(_) => Connections::shared(self.peer.protocol, 1),
            Way::Http1 { pool, .. } => {
                let (open, idle) = pool.counts();
                Connections::pooled(self.peer.protocol, open, idle)
            }
        }
    }

    fn open_stream(
        &self,
        streams: &Streams,
        head: Request<()>,
        whole: Option<Chunk>,
    ) -> Result<(Answered, Option<Outbound>), Failed> {
        let (answered, mut out) = streams.send(head, self)?;
        if let Some(whole) = whole
            && let Err(fault) = out.send(whole, true)
        {
            // The server may have answered already: that says more.
            debug!(%fault, "a request could not be sent whole");
        }
        Ok((Answered::Http2(answered), Some(Outbound::Http2(out))))
    }
}
