//! A connection to a node, and one exchange on it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::time::Instant;

use crate::context::Peer;
use crate::error::{Error, id, why};
use crate::http1::{Bounds, Decoder, Head, Malformed, Message, Outbox, Role, poll_fill};
use crate::metadata::Text;
use crate::protocol::connections::Open;
use crate::transport::{Connection, Io};

/// The largest head of a response. As much as Go's server takes of a request, so that what a
/// Go server echoes always fits.
const HEAD: usize = 1024 * 1024;
/// The most header fields of a response.
const HEADERS: usize = 1024;

/// A connection with its buffers.
pub(super) struct Wire {
    pub(super) io: Box<dyn Io>,
    pub(super) inbox: BytesMut,
    pub(super) decoder: Decoder,
    pub(super) out: Outbox,
    peer: Arc<Peer>,
    born: Instant,
    _open: Open,
}

/// Why an exchange failed, and how much of the request had left by then.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) written: usize,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    Io(io::Error),
    Malformed(Malformed),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let blame = match &failure.cause {
            Cause::Io(cause) => why::Cause::of_io(cause),
            Cause::Malformed(cause) => cause.cause(),
        };
        let error = match failure.cause {
            Cause::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                Error::internal(id::CLIENT_TRANSPORT, "unexpected EOF").with_source(cause)
            }
            Cause::Io(cause) => {
                Error::internal(id::CLIENT_TRANSPORT, cause.to_string()).with_source(cause)
            }
            Cause::Malformed(cause) => {
                Error::internal(id::CLIENT_TRANSPORT, cause.to_string()).with_source(cause)
            }
        };
        let error = error.caused_by(blame);
        // Of what has left even in part nobody here knows whether a handler saw it.
        if failure.written == 0 {
            error.unprocessed()
        } else {
            error
        }
    }
}

impl Wire {
    /// A connection to the node `node`.
    pub(super) fn new(connection: Connection, node: &Text, max_message: usize, open: Open) -> Self {
        let bounds = Bounds {
            head: HEAD,
            headers: HEADERS,
            body: max_message,
        };
        let mut peer = Peer::new(connection.peer, connection.local, "mucp");
        peer.node = node.clone();
        peer.secure = connection.secure;
        Self {
            io: connection.io,
            inbox: BytesMut::new(),
            decoder: Decoder::new(Role::Response, bounds),
            out: Outbox::default(),
            peer: Arc::new(peer),
            born: Instant::now(),
            _open: open,
        }
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn born(&self) -> Instant {
        self.born
    }

    /// What goes out next.
    pub(super) fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// Takes the buffers of a head that is done with.
    pub(super) fn recycle(&mut self, head: Head) {
        self.decoder.recycle(head);
    }

    /// Whether an idle connection can be used: nothing came on it, the end neither.
    pub(super) fn is_open(&mut self) -> bool {
        let task = &mut Context::from_waker(Waker::noop());
        poll_fill(&mut *self.io, &mut self.inbox, 1, task).is_pending()
    }

    /// Whether all that was asked is answered and nothing else came.
    pub(super) fn is_clean(&self) -> bool {
        self.out.is_empty() && self.decoder.is_between(&self.inbox)
    }

    /// Reads once; `false` is the end of the connection.
    pub(super) fn poll_read(&mut self, task: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let room = self.decoder.room(&self.inbox);
        poll_fill(&mut *self.io, &mut self.inbox, room, task).map_ok(|read| read > 0)
    }

    /// Writes what is in `out`, and nothing more.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        let mut written = 0;
        let wrote = poll_fn(|task| self.out.poll_write(&mut *self.io, &mut written, task)).await;
        wrote.map_err(|cause| Failure {
            written,
            cause: Cause::Io(cause),
        })
    }

    /// Writes the request that is in `out` and reads the response.
    ///
    /// The response may come before all is written; it counts, and the connection is then of no
    /// more use. Dropped before its end, the connection is of no use either.
    pub(super) async fn exchange(&mut self) -> Result<Message, Failure> {
        let mut written = 0;
        let mut broken = None;
        let exchanged = poll_fn(|task| self.poll_exchange(&mut written, &mut broken, task)).await;
        exchanged.map_err(|cause| Failure {
            written,
            // Why it could not be written says more than that nothing came.
            cause: broken.map_or(cause, Cause::Io),
        })
    }

    fn poll_exchange(
        &mut self,
        written: &mut usize,
        broken: &mut Option<io::Error>,
        task: &mut Context<'_>,
    ) -> Poll<Result<Message, Cause>> {
        if broken.is_none()
            && let Poll::Ready(Err(cause)) = self.out.poll_write(&mut *self.io, written, task)
        {
            if *written == 0 {
                return Poll::Ready(Err(Cause::Io(cause)));
            }
            // A server that refuses a request says so before it closes.
            *broken = Some(cause);
        }
        loop {
            match self.decoder.decode(&mut self.inbox) {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Err(malformed) => return Poll::Ready(Err(Cause::Malformed(malformed))),
            }
            match self.poll_read(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => {
                    let ended = self.decoder.end(&mut self.inbox);
                    return Poll::Ready(match ended {
                        Ok(Some(message)) => Ok(message),
                        Ok(None) => Err(Cause::Io(io::ErrorKind::UnexpectedEof.into())),
                        Err(malformed) => Err(Cause::Malformed(malformed)),
                    });
                }
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(Cause::Io(cause))),
            }
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
