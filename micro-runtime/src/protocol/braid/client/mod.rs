//! The client's side: one connection to a node, made when a call needs it and again when it is lost.

mod calls;
mod link;
mod names;
mod reader;
mod spread;
mod stream;

pub(super) use names::answer_ping;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Braid as Settings;
use super::wire::Hello;
use crate::call::{Reply, Request, dial};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::protocol::age::Age;
use crate::protocol::kept::{self, Connect};
use crate::protocol::{AttemptLimits, Channel, Connections, Destination, Environment};
use crate::transport::Borrowed;
use link::{Failed, Link};
use spread::Spread;

/// Limits of ours that no setting names: a stream's window in messages and in bytes, a metadata
/// block's bytes and pairs.
const WINDOW: usize = 4096;
const BYTES: usize = 512 * 1024;
const METADATA: usize = 64 * 1024;
const PAIRS: usize = 256;

/// How many connections one call tries that end before it is sent.
const DIALS: usize = 3;

/// The way to one node.
pub(super) struct BraidChannel(Spread);

/// Opens braid on connections.
#[derive(Clone)]
struct Opens(Settings);

impl BraidChannel {
    pub(super) fn new(settings: &Settings, node: Destination, environment: &Environment) -> Self {
        let opens = Opens(settings.clone());
        Self(Spread::new(
            opens,
            settings.connections(),
            node,
            environment,
        ))
    }
}

impl Channel for BraidChannel {
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
                // What few calls wait for is boxed, so that the others do not carry its room.
                let other = self.0.other();
                let kept = other.as_deref().unwrap_or(self.0.first());
                let link = match kept.fresh() {
                    Some(link) => link,
                    None => {
                        now = None;
                        let link = kept.link(limits.dial_timeout);
                        Box::pin(dial(&request.dialling, link)).await?
                    }
                };
                if link.pressure.take() {
                    self.0.widen();
                }
                let answer = match request.method.kind {
                    Kind::Unary => link.unary(request, limits.deadline, now.take()).await,
                    kind => {
                        now = None;
                        let sends = kind != Kind::ServerStream;
                        Box::pin(link.stream(request, limits.deadline, sends)).await
                    }
                };
                if request.options.close_connection {
                    kept.leave(&link);
                }
                match answer {
                    Ok(reply) => return Ok(reply),
                    // The peer has gone away before it took the call, as when its connection is old: it
                    // may take it on another.
                    Err(Failed::Call(error))
                        if error.is_unprocessed() && link.calls.is_retired() =>
                    {
                        last = Some(error);
                    }
                    Err(Failed::Call(error)) => return Err(error),
                    // It ended, or the peer stops, before the call was sent: a new one is dialled.
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
        Some(Connections::shared("braid", self.0.open()))
    }
}

impl Connect for Opens {
    type Link = Link;

    async fn connect(&self, node: &Destination, environment: &Environment) -> Result<Arc<Link>> {
        let Environment {
            transport,
            tasks,
            max_message,
            pool_ttl,
            ..
        } = environment;
        let connection = transport.dial(&node.address).await?;
        let ours = Hello::ours(0, *max_message, [WINDOW, BYTES], [METADATA, PAIRS]);
        let age = Age::new(Some(*pool_ttl), tasks);
        Link::open(connection, node.id.clone(), ours, &self.0, age, tasks)
            .await
            .map_err(|error| {
                let cause = Cause::of(&error);
                Error::internal(id::CLIENT, format!("connection error: {}", error.detail()))
                    .with_source(error)
                    .unprocessed()
                    .caused_by(cause)
            })
    }
}

impl kept::Link for Link {
    fn is_open(&self) -> bool {
        !self.calls.is_retired()
    }

    fn is_old(&self) -> bool {
        self.old.load(Ordering::Acquire)
    }

    fn is_proven(&self) -> bool {
        // It has said HELLO.
        true
    }

    fn retire(&self) {
        if self.calls.retire() {
            self.out.finish();
        }
    }
}

impl fmt::Debug for BraidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BraidChannel")
            .field("node", self.0.node())
            .finish_non_exhaustive()
    }
}
