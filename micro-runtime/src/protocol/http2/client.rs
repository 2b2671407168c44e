//! The opening end of a connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, ready};

use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::Request;
use http::response::Parts;

use super::cork::{Cork, Corked, cork};
use super::keepalive::Keepalive;
use super::{Chunk, FRAME, Fault, Inbound, Outbound, Settings};
use crate::transport::Io;

/// Opens HTTP/2 on `io`, whose time the caller bounds. The connection lives while the driver runs.
pub(in crate::protocol) async fn connect(
    io: Box<dyn Io>,
    settings: &Settings,
) -> Result<(Requests, Driver), Fault> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(settings.head)
        .max_frame_size(FRAME)
        .initial_window_size(settings.window())
        .initial_connection_window_size(settings.connection_window());
    let (io, cork) = cork(io);
    let (requests, mut connection) = builder.handshake(io).await?;
    let open = Arc::new(AtomicUsize::new(0));
    let requests = Requests {
        requests,
        open: open.clone(),
    };
    let driver = Driver {
        keepalive: Keepalive::new(connection.ping_pong(), settings),
        connection,
        cork,
        open,
        gathers: false,
    };
    Ok((requests, driver))
}

/// Opens streams; a handle that is cheap to clone. With the last one the connection ends when its
/// streams have.
#[derive(Clone)]
pub(in crate::protocol) struct Requests {
    requests: SendRequest<Chunk>,
    open: Arc<AtomicUsize>,
}

impl Requests {
    /// Opens a stream with `head`. Where the peer takes no more at once, it waits its turn.
    ///
    /// A handle opens one, so that any number of them may wait, each with its caller.
    ///
    /// # Errors
    /// When the connection takes no more streams: then nothing was sent.
    pub(in crate::protocol) fn send(
        mut self,
        head: Request<()>,
    ) -> Result<(Answered, Outbound), Fault> {
        let (response, stream) = self.requests.send_request(head, false)?;
        self.open.fetch_add(1, Ordering::Relaxed);
        let answered = Answered {
            response,
            open: Some(Open(self.open.clone())),
        };
        Ok((answered, Outbound::new(stream)))
    }
}

/// The peer's answer to a stream, which may be far away.
pub(in crate::protocol) struct Answered {
    response: ResponseFuture,
    open: Option<Open>,
}

impl Answered {
    /// The answer's head and what follows it. Not to be polled again after it.
    pub(in crate::protocol) fn poll(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<(Parts, Inbound), Fault>> {
        let (head, input) = ready!(Pin::new(&mut self.response).poll(task))?.into_parts();
        Poll::Ready(Ok((head, Inbound::of_client(input, self.open.take()))))
    }
}

/// Counts a stream that waits for its answer or the end of it.
pub(super) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Moves a connection's bytes.
pub(in crate::protocol) struct Driver {
    connection: Connection<Corked, Chunk>,
    cork: Cork,
    keepalive: Option<Keepalive>,
    open: Arc<AtomicUsize>,
    /// Whether other callers had their turn to add what they send.
    gathers: bool,
}

impl Driver {
    /// Runs until the connection ends; gives why, where it did not end well.
    pub(in crate::protocol) async fn run(mut self) -> Result<(), Fault> {
        poll_fn(|task| {
            if let Poll::Ready(end) = Pin::new(&mut self.connection).poll(task) {
                return Poll::Ready(end.map_err(Fault::from));
            }
            if self.cork.holds() {
                // Callers that are ready, too, have their turn first: then all leave together.
                let alone = self.open.load(Ordering::Relaxed) < 2;
                self.gathers = !alone && !self.gathers;
                match self.gathers {
                    true => task.waker().wake_by_ref(),
                    false => self.cork.flush(task),
                }
            }
            // Servers take it ill if they are asked while nothing is open.
            let wanted = self.open.load(Ordering::Relaxed) > 0;
            if let Some(keepalive) = &mut self.keepalive
                && keepalive.poll(wanted, task).is_ready()
            {
                return Poll::Ready(Err(Fault::Silent));
            }
            Poll::Pending
        })
        .await
    }
}
