//! A client's connection, and the head of each call that it carries.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri};
use tokio::time::Instant;

use super::super::encoding::{Encoding, READS};
use super::super::{Grpc, content, headers, timeout};
use super::held::HeldBack;
use super::streams::{Streams, drive};
use crate::call::Request;
use crate::context::Peer;
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::protocol::exchange::{Answered, Outbound};
use crate::protocol::kept::{self, Connect, Marks};
use crate::protocol::{Destination, Environment};

/// Opens gRPC on connections.
pub(super) struct Opens(pub(super) Grpc, pub(super) Arc<HeldBack>);

/// A connection to a node.
pub(super) struct Link {
    streams: Streams,
    pub(super) marks: Marks,
    pub(super) peer: Arc<Peer>,
    pub(super) settings: Grpc,
    pub(super) held: Arc<HeldBack>,
    /// The longest message that is taken.
    pub(super) most: usize,
    scheme: Scheme,
    authority: Authority,
}

/// How a call ended that may be made on another connection.
pub(super) enum Failed {
    /// This connection took no more calls.
    Retired,
    /// The peer goes away, and has not taken the call.
    SentAway(Error),
    Call(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Connect for Opens {
    type Link = Link;

    async fn connect(&self, node: &Destination, environment: &Environment) -> Result<Arc<Link>> {
        let settings = &self.0;
        let connection = environment.transport.dial(&node.address).await?;
        if connection.secure && connection.negotiated.as_deref() != Some("h2") {
            return Err(cannot(format!(
                "{} does not agree on HTTP/2 in its TLS handshake (ALPN)",
                node.address
            ))
            .caused_by(Cause::Own));
        }
        let authority = authority(&node.address).ok_or_else(|| {
            cannot(format!(
                "{:?} cannot be named as an authority",
                node.address
            ))
            .caused_by(Cause::Own)
        })?;
        let mut peer = Peer::new(connection.peer, connection.local, "grpc");
        peer.node = node.id.clone();
        peer.secure = connection.secure;
        let (streams, driver) = Streams::open(connection.io, settings).await?;
        let link = Arc::new(Link {
            streams,
            marks: Marks::default(),
            scheme: if peer.secure {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            peer: Arc::new(peer),
            settings: settings.clone(),
            held: self.1.clone(),
            most: environment.max_message.min(settings.max_message),
            authority,
        });
        drive(&link, |link| &link.marks, driver, (node, environment));
        Ok(link)
    }
}

/// A connection could not be made.
pub(super) fn cannot(words: String) -> Error {
    Error::internal(id::CLIENT, format!("connection error: {words}")).unprocessed()
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
        self.streams.close();
    }
}

impl Link {
    /// Opens the stream of a call; the time is read where it is not known.
    pub(super) fn open(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        now: Option<Instant>,
    ) -> Result<(Answered, Outbound), Failed> {
        let now = || now.unwrap_or_else(Instant::now);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        let head = self.head(request, left)?;
        let (answered, out) = self.streams.send(head, self)?;
        Ok((Answered::Http2(answered), Outbound::Http2(out)))
    }

    /// How the messages of requests are compressed.
    pub(super) fn encoding(&self) -> Encoding {
        Encoding::of_requests(&self.settings)
    }

    fn head(&self, request: &Request, left: Option<Duration>) -> Result<http::Request<()>> {
        let path = match &request.method.path {
            Cow::Borrowed(path) => {
                PathAndQuery::from_maybe_shared(bytes::Bytes::from_static(path.as_bytes()))
            }
            Cow::Owned(path) => PathAndQuery::try_from(path.as_str()),
        };
        let path = path.map_err(|_| {
            let words = format!("{:?} cannot be a path", request.method.path);
            Error::bad_request(id::CLIENT, words).unprocessed()
        })?;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path);
        let uri = Uri::from_parts(uri)
            .map_err(|error| Error::bad_request(id::CLIENT, error.to_string()).unprocessed())?;
        let metadata = request.cx.metadata();
        let mut all = HeaderMap::with_capacity(8 + metadata.len());
        all.insert(
            CONTENT_TYPE,
            content::of_call(request.codec.content_type())?,
        );
        all.insert(TE, HeaderValue::from_static("trailers"));
        all.insert(
            USER_AGENT,
            HeaderValue::from_static(super::super::USER_AGENT),
        );
        all.insert(headers::ACCEPT_ENCODING, READS);
        if let Some(encoding) = self.encoding().name() {
            all.insert(headers::ENCODING, encoding);
        }
        if let Some(left) = left {
            all.insert(headers::GRPC_TIMEOUT, timeout::write(left));
        }
        headers::write_all(metadata, &mut all)?;
        let mut head = http::Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = uri;
        *head.headers_mut() = all;
        Ok(head)
    }
}

/// The node's address as `:authority`; a name within this process or of a file is `localhost`.
pub(super) fn authority(address: &str) -> Option<Authority> {
    match address.contains(':') && !address.contains('/') {
        true => Authority::try_from(address).ok(),
        false => Some(Authority::from_static("localhost")),
    }
}
