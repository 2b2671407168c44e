//! What carries calls over HTTP/2: the streams of one connection, and the task that drives it.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use tracing::debug;

use super::super::Grpc;
use super::link::{Failed, cannot};
use crate::error::Result;
use crate::protocol::age::Age;
use crate::protocol::http2::{self, Answered, Driver, Outbound, Requests, Settings};
use crate::protocol::kept::{self, Marks};
use crate::protocol::{Destination, Environment};
use crate::transport::Io;

/// The largest head that a server may send, in bytes as HTTP/2 counts them.
const HEAD: u32 = 64 * 1024;
/// How many streams the connection's window is for; each call has its own beside it.
const STREAMS: u32 = 1_000;

/// The way to open streams: `None` once the connection takes no more calls. With the last handle and
/// stream it ends.
pub(super) struct Streams(Mutex<Option<Requests>>);

impl Streams {
    /// Opens HTTP/2 on `io`, as `settings` say; the driver is for [`drive`].
    pub(super) async fn open(io: Box<dyn Io>, settings: &Grpc) -> Result<(Self, Driver)> {
        let offered = Settings {
            streams: STREAMS,
            stream_window: settings.stream_window,
            head: HEAD,
            ping_after: settings.client_ping_after,
            ping_answer: settings.ping_answer,
        };
        let (requests, driver) = http2::connect(io, &offered)
            .await
            .map_err(|fault| cannot(fault.to_string()).caused_by(fault.cause()))?;
        Ok((Self(Mutex::new(Some(requests))), driver))
    }

    /// Opens a stream of `link`, whose connection this is.
    pub(super) fn send(
        &self,
        head: Request<()>,
        link: &impl kept::Link,
    ) -> Result<(Answered, Outbound), Failed> {
        let requests = {
            let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            requests.clone()
        };
        let sent = requests.ok_or(Failed::Retired)?.send(head);
        sent.map_err(|fault| {
            debug!(%fault, "a connection takes no more calls");
            link.retire();
            Failed::Retired
        })
    }

    /// Takes no more calls.
    pub(super) fn close(&self) {
        let requests = {
            let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            requests.take()
        };
        // Its end may wake the connection's task.
        drop(requests);
    }
}

/// Drives the connection of `link` to its end, in a task that does not keep the link alive.
pub(super) fn drive<L: kept::Link>(
    link: &Arc<L>,
    marks: fn(&L) -> &Marks,
    driver: Driver,
    (node, environment): (&Destination, &Environment),
) {
    let link = Arc::downgrade(link);
    let address = node.address.clone();
    let age = Age::new(Some(environment.pool_ttl), &environment.tasks);
    environment.tasks.spawn(async move {
        let mut running = pin!(driver.run());
        let ended = tokio::select! {
            biased;
            ended = &mut running => ended,
            () = age.over() => {
                if let Some(link) = link.upgrade() {
                    marks(&link).grow_old();
                }
                running.await
            }
        };
        if let Some(link) = link.upgrade() {
            link.retire();
        }
        if let Err(fault) = ended {
            debug!(node = %address, %fault, "a connection has ended");
        }
    });
}
