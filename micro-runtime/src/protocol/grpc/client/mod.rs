//! The client's side: one connection to a node, on which all calls are streams.

mod call;
mod held;
mod link;
mod stream;
mod streams;
mod web;

pub(super) use web::{Dialect, How, WebChannel};

use std::fmt;
use std::sync::Arc;

use super::Grpc;
use crate::call::{Reply, Request, dial};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::protocol::kept::Kept;
use crate::protocol::{AttemptLimits, Channel, Connections, Destination, Environment};
use crate::transport::Borrowed;
use link::{Failed, Opens};

/// How many connections one call tries that end before it is sent.
const DIALS: usize = 3;

/// The way to one node.
pub(super) struct GrpcChannel(Kept<Opens>);

impl GrpcChannel {
    pub(super) fn new(settings: &Grpc, node: Destination, environment: &Environment) -> Self {
        Self(Kept::new(
            Opens(settings.clone(), Arc::default()),
            node,
            environment,
        ))
    }
}

impl Channel for GrpcChannel {
    fn call<'a>(
        &'a self,
        request: &'a Request,
        limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        Box::pin(async move {
            let mut last = None;
            // Known until something was waited for.
            let mut now = Some(limits.now);
            for _ in 0..DIALS {
                let link = match self.0.fresh() {
                    Some(link) => link,
                    None => {
                        now = None;
                        let link = self.0.link(limits.dial_timeout);
                        // Boxed, since few calls wait here and all would carry its room.
                        match Box::pin(dial(&request.dialling, link)).await {
                            Ok(link) => link,
                            // Why the peer has gone away says more.
                            Err(error) => return Err(last.unwrap_or(error)),
                        }
                    }
                };
                let answer = match request.method.kind {
                    Kind::Unary => link.unary(request, limits.deadline, now.take()).await,
                    kind => link.stream(request, limits.deadline, kind).await,
                };
                if request.options.close_connection {
                    self.0.leave(&link);
                }
                match answer {
                    Ok(reply) => return Ok(reply),
                    Err(Failed::Call(error)) => return Err(error),
                    // It ended, or the peer goes away, before the call was sent: a new one is dialled.
                    Err(Failed::SentAway(error)) => last = Some(error),
                    Err(Failed::Retired) => {}
                }
            }
            Err(last.unwrap_or_else(|| {
                let words = format!("{} takes no calls", self.0.node().address);
                Error::unavailable(id::CLIENT, words)
                    .unprocessed()
                    .caused_by(Cause::Refused)
            }))
        })
    }

    fn close(&self) {
        self.0.close();
    }

    fn connections(&self) -> Option<Connections> {
        let open = usize::from(self.0.open().is_some());
        Some(Connections::shared("grpc", open))
    }
}

impl fmt::Debug for GrpcChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcChannel")
            .field("node", self.0.node())
            .finish_non_exhaustive()
    }
}
