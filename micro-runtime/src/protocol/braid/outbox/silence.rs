//! A peer that says nothing: it is asked whether it is there.

use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::super::wire::{CallId, Head, Kind};
use super::{Beside, Flush, Outbox, Room};

/// When a peer that says nothing is asked whether it is there.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Patience {
    /// How long it may be silent; for ever where it is `None`.
    pub(in super::super) silence: Option<Duration>,
    /// How long its answer may take.
    pub(in super::super) answer: Duration,
    /// How long it may take nothing of what is written to it.
    pub(in super::super) stall: Duration,
}

impl<S: Beside> Outbox<S> {
    /// Notes that bytes of the peer have come.
    pub(in super::super) fn hear(&self) {
        // Looked at first: storing what is there already would take the line from the other thread.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
    }

    /// Pings a peer that was silent, until one does not answer.
    ///
    /// One timer and no clock: what is heard is noted, and looked at now and then. So a peer is asked
    /// after one to two times the silence that it is allowed.
    pub(super) async fn ask_the_silent(&self) -> io::Error {
        let Some(silence) = self.patience.silence else {
            return pending().await;
        };
        let mut asked = 0_u64;
        loop {
            sleep(silence).await;
            if self.heard.swap(false, Ordering::Relaxed) {
                continue;
            }
            asked += 1;
            let _ = self.append(Room::Ignored, |queue, _, _| {
                queue.frame(
                    Head::new(Kind::Ping, 0, CallId::NONE),
                    &Bytes::new(),
                    |out| out.extend_from_slice(&asked.to_le_bytes()),
                );
                ((), Flush::Soon)
            });
            sleep(self.patience.answer).await;
            if !self.heard.swap(false, Ordering::Relaxed) {
                let words = "the peer was silent and has not answered a ping";
                return io::Error::new(io::ErrorKind::TimedOut, words);
            }
        }
    }
}
