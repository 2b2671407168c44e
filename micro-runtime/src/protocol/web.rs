//! The protocols of the web, as one name for a server's settings: gRPC-Web, Connect, and plain JSON.
//!
//! They are spoken over HTTP/1.1, where a connection may carry mucp too, and over HTTP/2, where it
//! may carry gRPC too.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tracing::debug;

use super::grpc::{self, Grpc, Http2};
use super::http1::{self, Http1};
use super::{AttemptLimits, Channel, Destination, Environment, Protocol, Recognised};
use crate::call::{Reply, Request};
use crate::error::{Error, Result, id};
use crate::router::Core;
use crate::transport::{Borrowed, Connection, Rewind};

/// gRPC-Web, Connect and JSON, for servers. Clients name the one that they speak.
///
/// ```
/// use micro_runtime::protocol::{Grpc, Protocol, Web};
///
/// let mut settings = Grpc::default();
/// settings.origins.push("https://example.org".into());
/// assert_eq!(Web::with(settings).name(), "web");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Web(pub(crate) Grpc);

impl Web {
    /// With default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the settings that it shares with gRPC: origins, limits, compression.
    pub fn with(settings: Grpc) -> Self {
        Self(settings)
    }
}

#[async_trait]
impl Protocol for Web {
    fn name(&self) -> &'static str {
        "web"
    }

    fn alpn(&self) -> &'static str {
        "h2"
    }

    fn channel(&self, _node: Destination, _environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(NoChannel)
    }

    fn recognises(&self, head: &[u8]) -> Recognised {
        match grpc::recognises(head) {
            Recognised::No => http1::recognises(head),
            http2 => http2,
        }
    }

    async fn serve(&self, mut connection: Connection, core: Arc<Core>) {
        let mut head = BytesMut::new();
        let reading = async {
            while grpc::recognises(&head) == Recognised::Perhaps {
                if connection.io.read_buf(&mut head).await? == 0 {
                    break;
                }
            }
            std::io::Result::Ok(())
        };
        match timeout(core.limits().first_request, reading).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                debug!(peer = %connection.peer, "a connection said nothing in time");
                return;
            }
        }
        let is_http2 = grpc::recognises(&head) == Recognised::Yes;
        connection.io = Box::new(Rewind::new(head.freeze(), connection.io));
        let web = Some(self.0.clone());
        if is_http2 {
            Http2 { grpc: None, web }.serve(connection, core).await;
        } else {
            Http1 { mucp: None, web }.serve(connection, core).await;
        }
    }
}

/// In place of a channel.
#[derive(Debug)]
struct NoChannel;

impl Channel for NoChannel {
    fn call<'a>(
        &'a self,
        _request: &'a Request,
        _limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        let words = "web is what servers speak: a client names one of its protocols";
        Box::pin(async move { Err(Error::bad_request(id::CLIENT, words).unprocessed()) })
    }

    fn close(&self) {}
}
