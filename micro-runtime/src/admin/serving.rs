//! One connection: one request, one answer.

use std::future::poll_fn;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{timeout, timeout_at};

use super::answer::{self, Answer};
use super::listening::Place;
use crate::http1::{Bounds, Decoder, Message, Outbox, Role, linger, poll_fill};
use crate::tasks::after;
use crate::transport::Connection;

/// What a request may hold: a head, and no body.
const BOUNDS: Bounds = Bounds {
    head: 16 * 1024,
    headers: 64,
    body: 0,
};
/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is passed over of a request that was refused unread.
const UNREAD: usize = 64 * 1024;

/// Answers the one request of a connection, and closes it.
pub(super) async fn serve(mut connection: Connection, place: &Place) {
    let answer = tokio::select! {
        biased;
        request = timeout_at(after(PATIENCE), read(&mut connection)) => match request {
            Ok(Ok(request)) => answer::answer(&request.head, place),
            Ok(Err(Some(refusal))) => refusal,
            Ok(Err(None)) => return,
            Err(_) => Answer::refuse(408, "the request did not come in time"),
        },
        () = place.closing() => return,
    };
    let mut out = Outbox::default();
    answer.put(&mut out, &place.sources.tasks);
    let mut written = 0;
    let write = poll_fn(|task| out.poll_write(&mut *connection.io, &mut written, task));
    if let Ok(Ok(())) = timeout(PATIENCE, write).await {
        linger(connection.io, UNREAD).await;
    }
}

/// The request; or what it is refused with, nothing where nobody asks any more.
async fn read(connection: &mut Connection) -> Result<Message, Option<Answer>> {
    let mut decoder = Decoder::new(Role::Request, BOUNDS);
    let mut inbox = BytesMut::new();
    loop {
        match decoder.decode(&mut inbox) {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(malformed) => {
                let (status, _) = malformed.status();
                return Err(Some(Answer::refuse(status, &malformed.to_string())));
            }
        }
        let room = decoder.room(&inbox);
        let filled = poll_fn(|task| poll_fill(&mut *connection.io, &mut inbox, room, task)).await;
        if !matches!(filled, Ok(1..)) {
            return Err(None);
        }
    }
}
