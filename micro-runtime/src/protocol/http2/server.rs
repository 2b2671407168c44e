//! The accepting end of a connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use h2::Reason;
use h2::server::{Builder, Connection, SendResponse};
use http::request::Parts;
use http::{HeaderMap, Response};
use tokio::time::{Instant, Sleep, sleep_until};

use super::cork::{Cork, Corked, cork};
use super::gate::Gate;
use super::keepalive::Keepalive;
use super::meter::{Meter, meter};
use super::{Chunk, FRAME, Fault, Inbound, Outbound, Settings};
use crate::tasks::later;
use crate::transport::Io;

/// How long a peer that floods may take to read that it is sent away.
const GOODBYE: Duration = Duration::from_secs(1);
/// How many streams a peer may open and reset before anyone has seen them (rapid reset).
const UNSEEN_RESETS: usize = 20;

/// Opens HTTP/2 on `io`. The peer has `opening` to show its SETTINGS; the caller bounds what comes
/// before them.
pub(in crate::protocol) async fn accept(
    io: Box<dyn Io>,
    settings: &Settings,
    opening: Duration,
) -> Result<Server, Fault> {
    let opening = sleep_until(later(Instant::now(), opening));
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .max_header_list_size(settings.head)
        .max_frame_size(FRAME)
        .initial_window_size(settings.window())
        .initial_connection_window_size(settings.connection_window())
        .max_pending_accept_reset_streams(UNSEEN_RESETS);
    let (io, meter) = meter(io);
    let (io, cork) = cork(Box::new(io));
    let mut connection = builder.handshake(io).await?;
    Ok(Server {
        cork,
        gate: None,
        meter,
        opening: Some(Box::pin(opening)),
        goodbye: None,
        keepalive: Keepalive::new(connection.ping_pong(), settings),
        connection,
    })
}

/// The accepting end. Streams move while it is polled.
pub(in crate::protocol) struct Server {
    connection: Connection<Corked, Chunk>,
    cork: Cork,
    gate: Option<Gate>,
    meter: Arc<Meter>,
    /// Until when the peer must have begun.
    opening: Option<Pin<Box<Sleep>>>,
    /// Until when a peer that floods is told so.
    goodbye: Option<Pin<Box<Sleep>>>,
    keepalive: Option<Keepalive>,
}

/// A stream that the peer has opened.
pub(in crate::protocol) struct Incoming {
    pub(in crate::protocol) head: Parts,
    pub(in crate::protocol) input: Inbound,
    pub(in crate::protocol) answer: Answer,
}

impl Server {
    /// The next stream; `None` when the connection is over. Cancel safe.
    ///
    /// Who was given a stream asks again before it waits for anything else: until then the connection
    /// wakes nobody.
    pub(in crate::protocol) async fn next(&mut self) -> Option<Result<Incoming, Fault>> {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// Ready when a peer that does not begin, or does not see that it is sent away, is waited for no
    /// longer.
    fn poll_patience(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if let Some(opening) = &mut self.opening {
            if !self.meter.has_begun() {
                return opening.as_mut().poll(task);
            }
            self.opening = None;
        }
        if !self.meter.is_flooded() {
            return Poll::Pending;
        }
        let connection = &mut self.connection;
        let goodbye = self.goodbye.get_or_insert_with(|| {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            // It is sent at the next poll.
            task.waker().wake_by_ref();
            Box::pin(sleep_until(later(Instant::now(), GOODBYE)))
        });
        goodbye.as_mut().poll(task)
    }

    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Incoming, Fault>>> {
        let gate = match &mut self.gate {
            Some(gate) if gate.is_of(task.waker()) => gate,
            gate => gate.insert(Gate::new(task.waker())),
        };
        let next = self
            .connection
            .poll_accept(&mut Task::from_waker(gate.open()));
        if let Poll::Ready(next) = next {
            gate.shut();
            return Poll::Ready(next.map(|next| {
                let (request, answer) = next?;
                let (head, input) = request.into_parts();
                Ok(Incoming {
                    head,
                    input: Inbound::new(input),
                    answer: Answer(answer),
                })
            }));
        }
        // What was made of all that came leaves together.
        self.cork.flush(task);
        if self.poll_patience(task).is_ready() {
            let flooded = self.meter.is_flooded();
            return Poll::Ready(Some(Err(if flooded {
                Fault::Flood
            } else {
                Fault::Silent
            })));
        }
        if let Some(keepalive) = &mut self.keepalive
            && keepalive.poll(true, task).is_ready()
        {
            self.keepalive = None;
            return Poll::Ready(Some(Err(Fault::Silent)));
        }
        Poll::Pending
    }

    /// Whether no stream is open.
    pub(in crate::protocol) fn is_idle(&self) -> bool {
        !self.connection.has_streams()
    }

    /// Tells the peer to open no more streams, and ends when those that are open have.
    pub(in crate::protocol) fn drain(&mut self) {
        self.connection.graceful_shutdown();
    }
}

/// The way to answer a stream.
pub(in crate::protocol) struct Answer(SendResponse<Chunk>);

impl Answer {
    /// Sends the head, and with `end` nothing else.
    pub(in crate::protocol) fn respond(
        &mut self,
        status: http::StatusCode,
        headers: HeaderMap,
        end: bool,
    ) -> Result<Outbound, Fault> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        Ok(Outbound::new(self.0.send_response(head, end)?))
    }

    /// Ready when the peer has reset the stream or is gone.
    pub(in crate::protocol) fn poll_reset(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.0.poll_reset(task).map(|_| ())
    }
}
