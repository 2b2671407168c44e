//! The accepting end of a connection.

use std::future::poll_fn;
use std::task::{Context as Task, Poll};

use h2::server::{Builder, Connection, SendResponse};
use http::request::Parts;
use http::{HeaderMap, Response};

use super::cork::{Cork, Corked, cork};
use super::keepalive::Keepalive;
use super::{Chunk, Fault, Inbound, Outbound, Settings};
use crate::transport::Io;

/// How many streams a peer may open and reset before anyone has seen them (rapid reset).
const UNSEEN_RESETS: usize = 20;

/// Opens HTTP/2 on `io`, whose time the caller bounds.
pub(in crate::protocol) async fn accept(
    io: Box<dyn Io>,
    settings: &Settings,
) -> Result<Server, Fault> {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .max_header_list_size(settings.head)
        .initial_window_size(settings.window())
        .initial_connection_window_size(settings.connection_window())
        .max_pending_accept_reset_streams(UNSEEN_RESETS);
    let (io, cork) = cork(io);
    let mut connection = builder.handshake(io).await?;
    Ok(Server {
        cork,
        keepalive: Keepalive::new(connection.ping_pong(), settings),
        connection,
    })
}

/// The accepting end. Streams move while it is polled.
pub(in crate::protocol) struct Server {
    connection: Connection<Corked, Chunk>,
    cork: Cork,
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
    pub(in crate::protocol) async fn next(&mut self) -> Option<Result<Incoming, Fault>> {
        poll_fn(|task| self.poll_next(task)).await
    }

    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Incoming, Fault>>> {
        if let Poll::Ready(next) = self.connection.poll_accept(task) {
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
