//! One connection: requests are read, dealt with and answered one after the other.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};
use tracing::debug;

use super::answer::{self, Answer};
use super::listening::{Held, Place};
use crate::broker::ID;
use crate::error::Error;
use crate::http1::{Bounds, Decoder, Malformed, Message, Outbox, Role, linger, poll_fill};
use crate::tasks::after;
use crate::transport::Connection;

/// What the head of a request may hold.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Serves a connection until it ends, or until the broker closes and nothing is under way.
pub(super) async fn serve(connection: Connection, place: Arc<Place>) {
    let peer = connection.peer.clone();
    let connection = match place.open(connection).await {
        Ok(connection) => connection,
        Err(error) => {
            debug!(%peer, %error, "a connection ended before its first post");
            return;
        }
    };
    let bounds = Bounds {
        head: MAX_HEAD,
        headers: MAX_HEADERS,
        body: place.options.max_post,
    };
    let mut conn = Conn {
        connection,
        decoder: Decoder::new(Role::Request, bounds),
        inbox: BytesMut::new(),
        held: None,
        place: &place,
    };
    let mut closing = place.closing.subscribe();
    loop {
        let (answer, last) = match conn.next(&mut closing).await {
            Next::Request(request) => {
                let (keep_alive, held) = (request.keep_alive, conn.held.take());
                let answer = answer::answer(request, held, &place, &mut closing).await;
                (answer, !keep_alive || *closing.borrow())
            }
            Next::Refused(answer) => (answer, true),
            Next::Gone => return,
        };
        if !conn.say(&answer, last).await {
            return;
        }
        if last {
            return linger(conn.connection.io, usize::MAX).await;
        }
    }
}

struct Conn<'a> {
    connection: Connection,
    decoder: Decoder,
    inbox: BytesMut,
    /// For what has come of the next request.
    held: Held,
    place: &'a Place,
}

/// What comes next on a connection.
enum Next {
    Request(Message),
    /// Something that is answered, after which the connection is of no use.
    Refused(Answer),
    Gone,
}

impl Conn<'_> {
    async fn next(&mut self, closing: &mut watch::Receiver<bool>) -> Next {
        let options = &self.place.options;
        let mut until = after(options.idle);
        let mut begun = false;
        // What came together with the request before it.
        if !self.place.hold(&mut self.held, self.inbox.len()) {
            return Next::Refused(no_room());
        }
        loop {
            match self.decoder.decode(&mut self.inbox) {
                Ok(Some(request)) => return Next::Request(request),
                Ok(None) => {}
                Err(malformed) => return Next::Refused(Answer::malformed(malformed)),
            }
            if !begun && !self.decoder.is_between(&self.inbox) {
                begun = true;
                until = after(options.request_read);
            }
            let room = self.decoder.room(&self.inbox);
            let read =
                poll_fn(|task| poll_fill(&mut *self.connection.io, &mut self.inbox, room, task));
            let read = tokio::select! {
                biased;
                read = timeout_at(until, read) => read,
                _ = closing.wait_for(|closing| *closing), if !begun => return Next::Gone,
            };
            match read {
                Ok(Ok(more @ 1..)) => {
                    if !self.place.hold(&mut self.held, more) {
                        return Next::Refused(no_room());
                    }
                }
                Ok(Ok(0) | Err(_)) if begun && self.decoder.has_head() => {
                    return Next::Refused(Answer::unread(Malformed::Truncated));
                }
                Ok(Ok(0) | Err(_)) => return Next::Gone,
                Err(_) if begun => {
                    let words = "the request did not come in time";
                    return Next::Refused(Answer::error(Error::timeout(ID, words)));
                }
                Err(_) => return Next::Gone,
            }
        }
    }

    /// Writes an answer; whether the peer took it.
    async fn say(&mut self, answer: &Answer, last: bool) -> bool {
        let mut out = Outbox::default();
        answer.put(&mut out, last, &self.place.tasks);
        let mut written = 0;
        let write = poll_fn(|task| out.poll_write(&mut *self.connection.io, &mut written, task));
        // An answer is small: who does not take it in this time is gone.
        matches!(
            timeout(self.place.options.request_read, write).await,
            Ok(Ok(()))
        )
    }
}

fn no_room() -> Answer {
    Answer::error(Error::unavailable(
        ID,
        "the broker has no room: posts hold as many bytes as they may",
    ))
}
