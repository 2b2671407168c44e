//! How long a connection waits for what, with one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::connection::{Conn, End};
use crate::tasks::later;

/// Since when a connection waits for one thing.
#[derive(Debug, Default)]
pub(super) struct Timing {
    since: Option<(Wait, Instant)>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The peer to read.
    Write,
    /// The rest of a body that nobody reads.
    Rest,
    /// The rest of a head.
    Head,
    /// The next request.
    Idle,
}

impl Timing {
    /// Something has moved.
    pub(super) fn moved(&mut self) {
        self.since = None;
    }
}

impl Conn<'_> {
    /// Waits for the limit of what the connection waits for.
    ///
    /// # Errors
    /// How the connection ends, when the limit has passed.
    pub(super) fn poll_timer(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        let Some((wait, limit)) = self.waits() else {
            self.timing.since = None;
            return Ok(());
        };
        let since = match self.timing.since {
            Some((known, since)) if known == wait => since,
            _ => {
                let now = Instant::now();
                self.timing.since = Some((wait, now));
                now
            }
        };
        let due = later(since, limit);
        loop {
            let timer = self
                .timing
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            // A timer that fires too soon is cheaper than one that is set back with each request.
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(task) == Poll::Pending {
                return Ok(());
            }
            if Instant::now() >= due {
                return Err(match wait {
                    Wait::Idle => End::Linger,
                    Wait::Write | Wait::Rest | Wait::Head => End::Gone,
                });
            }
        }
    }

    fn waits(&self) -> Option<(Wait, Duration)> {
        let limits = self.core.limits();
        let wire = &self.wire;
        match &self.current {
            _ if !wire.out.is_empty() => Some((Wait::Write, limits.write)),
            Some(current) if current.answered => Some((Wait::Rest, limits.first_request)),
            Some(_) => None,
            None if wire.decoder.is_between(&wire.inbox) => Some((Wait::Idle, limits.idle)),
            None => Some((Wait::Head, limits.first_request)),
        }
    }
}
