//! Calls in Connect and in gRPC-Web: gRPC's messages and streams with other heads and other ends.

mod begin;
mod closing;
mod head;
mod link;
mod unary;
mod wrong;

pub(super) use closing::Closing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::encoding::Compression;
use super::super::message::{Encoding, frame};
use super::super::web::HttpVersion;
use super::DIALS;
use super::call::body;
use super::link::Failed;
use super::stream::Opening;
use crate::call::{Reply, Request, dial};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::protocol::kept::Kept;
use crate::protocol::{AttemptLimits, Channel, Connections, Destination, Environment};
use crate::transport::Borrowed;
use begin::Reads;
use head::Heading;
use link::{Link, Opens};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::grpc) enum Dialect {
    Connect,
    GrpcWeb,
}

/// How a node is called.
#[derive(Clone, Debug)]
pub(in crate::protocol::grpc) struct How {
    pub(in crate::protocol::grpc) dialect: Dialect,
    /// The name of the protocol.
    pub(in crate::protocol::grpc) name: &'static str,
    pub(in crate::protocol::grpc) http: HttpVersion,
    /// Whether methods without side effects are called with GET.
    pub(in crate::protocol::grpc) get: bool,
    /// From how many bytes on messages are compressed.
    pub(in crate::protocol::grpc) compress: Option<usize>,
    /// And with what.
    pub(in crate::protocol::grpc) compression: Compression,
    pub(in crate::protocol::grpc) max_message: usize,
    /// How long a stream's opening waits for the server's head.
    pub(in crate::protocol::grpc) opening: Duration,
}

impl How {
    /// How the messages of streams are compressed.
    fn encoding(&self) -> Encoding {
        match self.compress {
            Some(_) => Encoding::With(self.compression),
            None => Encoding::Identity,
        }
    }
}

/// The way to one node.
pub(in crate::protocol::grpc) struct WebChannel {
    kept: Kept<Opens>,
    how: Arc<How>,
}

impl WebChannel {
    pub(in crate::protocol::grpc) fn new(
        how: How,
        node: Destination,
        environment: &Environment,
    ) -> Self {
        let how = Arc::new(how);
        let opens = Opens(how.clone(), Arc::default());
        Self {
            kept: Kept::new(opens, node, environment),
            how,
        }
    }

    async fn once(
        &self,
        link: &Link,
        request: &Request,
        limits: AttemptLimits,
    ) -> Result<Reply, Failed> {
        let heading = Heading::new(&self.how, link, request, limits.deadline)?;
        let kind = request.method.kind;
        if (self.how.dialect, kind) == (Dialect::Connect, Kind::Unary) {
            return unary::call(&self.how, link, heading, request, limits).await;
        }
        let encoding = self.how.encoding();
        let reads = Reads {
            dialect: self.how.dialect,
            subtype: heading.subtype().to_owned().into(),
            most: link.most,
        };
        let whole = match kind {
            Kind::Unary | Kind::ServerStream => Some(frame(body(request)?, encoding)?),
            Kind::ClientStream | Kind::Bidi => None,
        };
        let finished = whole.is_some();
        let opened = link.open(heading.of_frames()?, whole, limits.dial_timeout);
        let (answered, out) = dial(&request.dialling, opened).await?;
        if kind == Kind::Unary {
            return Ok(begin::unary(answered, &reads, link.peer.clone()).await?);
        }
        let opening = Opening {
            encoding,
            finished,
            begin: reads,
            peer: link.peer.clone(),
            path: &request.method.path,
            held: &link.held,
            marks: &link.marks,
            limit: self.how.opening,
        };
        Ok(opening.stream(answered, out).await?)
    }
}

impl Channel for WebChannel {
    fn call<'a>(
        &'a self,
        request: &'a Request,
        limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        Box::pin(async move {
            for _ in 0..DIALS {
                let link = self.kept.link(limits.dial_timeout);
                let link = dial(&request.dialling, link).await?;
                let answer = self.once(&link, request, limits).await;
                if request.options.close_connection {
                    self.kept.leave(&link);
                }
                match answer {
                    Ok(reply) => {
                        link.marks.prove();
                        return Ok(reply);
                    }
                    Err(Failed::Call(error) | Failed::SentAway(error)) => return Err(error),
                    // It ended before the call was sent: a new one is dialled.
                    Err(Failed::Retired) => {}
                }
            }
            let words = format!("{} takes no calls", self.kept.node().address);
            Err(Error::unavailable(id::CLIENT, words)
                .unprocessed()
                .caused_by(Cause::Refused))
        })
    }

    fn close(&self) {
        self.kept.close();
    }

    fn connections(&self) -> Option<Connections> {
        Some(match self.kept.open() {
            Some(link) => link.connections(),
            None => Connections::shared(self.how.name, 0),
        })
    }
}

impl fmt::Debug for WebChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebChannel")
            .field("dialect", &self.how.dialect)
            .field("node", self.kept.node())
            .finish_non_exhaustive()
    }
}
