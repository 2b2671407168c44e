//! How long a connection waits for what, with one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{Conn, End};
use crate::router::Limits;

/// Since when a connection waits. Each is set where it rests and cleared where something moves.
#[derive(Debug)]
pub(super) struct Timing {
    /// Until when the first request's head must be there.
    first: Option<Instant>,
    /// Since when a request is incomplete.
    request: Option<Instant>,
    /// Since when the peer has read nothing.
    write: Option<Instant>,
    /// Since when nothing is open.
    idle: Option<Instant>,
    /// Until when handlers without caller may go on.
    alone: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timing {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            first: Some(Instant::now() + limits.first_request),
            request: None,
            write: None,
            idle: None,
            alone: None,
            timer: None,
        }
    }

    /// A whole request came.
    pub(super) fn message(&mut self) {
        self.first = None;
        self.request = None;
        self.idle = None;
    }

    /// The peer has read something.
    pub(super) fn wrote(&mut self) {
        self.write = None;
    }

    /// Handlers go on without their caller for at most so long.
    pub(super) fn alone(&mut self, limit: Duration) {
        self.alone = Some(Instant::now() + limit);
    }
}

impl Conn<'_> {
    /// Waits for the soonest limit. Whether one was reached that leaves the connection open.
    ///
    /// # Errors
    /// How the connection ends, where a limit ends it.
    pub(super) fn poll_timer(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        loop {
            let Some(due) = self.due() else {
                return Ok(false);
            };
            let timer = self
                .timing
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            // A timer that fires too soon is cheaper than one that is set back with each request.
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(task) == Poll::Pending {
                return Ok(false);
            }
            if self.expire(Instant::now())? {
                return Ok(true);
            }
        }
    }

    /// When the soonest limit is.
    fn due(&mut self) -> Option<Instant> {
        let limits = *self.core.limits();
        if self.alone {
            return self.timing.alone;
        }
        let now = Instant::now();
        let idle = self.is_idle() && self.wire.out.is_empty();
        let partial = !self.wire.decoder.is_between(&self.wire.inbox) && self.takes();
        let rest = if self.rests {
            self.settings.stream_rest.min(limits.idle)
        } else {
            limits.idle
        };
        if self.wire.decoder.has_head() {
            self.timing.first = None;
        }
        let Timing {
            first,
            request,
            write,
            idle: idle_since,
            ..
        } = &mut self.timing;
        let mut due = *first;
        let mut consider = |applies: bool, since: &mut Option<Instant>, limit: Duration| {
            if applies {
                let at = *since.get_or_insert(now) + limit;
                due = Some(due.map_or(at, |due| due.min(at)));
            } else {
                *since = None;
            }
        };
        consider(!self.wire.out.is_empty(), write, limits.write);
        consider(partial, request, limits.request_read);
        consider(idle && !partial && first.is_none(), idle_since, rest);
        let calls = self.unary.iter().filter_map(|unary| unary.deadline);
        let streams = self.streams.iter().filter_map(|slot| slot.deadline);
        calls.chain(streams).chain(due).min()
    }

    /// Does what the limits reached at `now` ask for. Whether anything was answered.
    fn expire(&mut self, now: Instant) -> Result<bool, End> {
        let limits = *self.core.limits();
        let passed = |since: Option<Instant>, limit: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let timing = &self.timing;
        if passed(timing.alone, Duration::ZERO)
            || passed(timing.write, limits.write)
            || passed(timing.first, Duration::ZERO)
        {
            self.drop_streams("the connection was given up");
            return Err(End::Gone);
        }
        if passed(timing.request, limits.request_read) {
            self.drop_streams("the rest of a request did not come");
            return Err(End::Gone);
        }
        let rest = if self.rests {
            self.settings.stream_rest.min(limits.idle)
        } else {
            limits.idle
        };
        if passed(timing.idle, rest) {
            return Err(End::Linger);
        }
        let mut answered = false;
        if let Some(unary) = &mut self.unary
            && unary.deadline.is_some_and(|deadline| deadline <= now)
        {
            let error = unary.serving.expire();
            self.answer(Err(error));
            answered = true;
        }
        let mut at = 0;
        while let Some(slot) = self.streams.get_mut(at) {
            if slot.deadline.is_some_and(|deadline| deadline <= now) {
                let error = slot.serving.expire();
                self.end_stream(at, Some(error));
                answered = true;
            } else {
                at += 1;
            }
        }
        Ok(answered)
    }
}
