//! How many calls a server runs at once, found out from how long they take.
//!
//! While there is room, calls take what they take. Beyond that they only wait for each other: each one
//! more makes all of them slower, and none is done sooner. The limit stays near that point, the knee,
//! between it and twice as many calls. What comes beyond is refused at once with 503,
//! [unprocessed](crate::Error::is_unprocessed), so that another node is asked, or waits for
//! [a moment](AdaptiveLimit::queue) first. Streams pass: how long they last is no sign of load.
//!
//! ```
//! use micro_runtime::{Service, wrapper::AdaptiveLimit};
//!
//! let service = Service::new("greeter").wrap_handler(AdaptiveLimit::new());
//! # let _ = service;
//! ```

mod gradient;
#[cfg(test)]
mod tests;

pub use gradient::AdaptiveSettings;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::panicking;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::refuse;
use crate::call::{Inspected, Next, Reply, Request, Standing, Wrapper};
use crate::error::{Error, Result};
use crate::tasks::later;

use gradient::{Gradient, Took};

/// A limit of calls at once that finds itself; see the [module](self).
///
/// A handle: clones share the limit. As a client's wrapper it bounds the calls that are sent.
#[derive(Clone)]
pub struct AdaptiveLimit {
    settings: AdaptiveSettings,
    /// How many calls may wait, and how long.
    queue: (usize, Duration),
    gate: Arc<Mutex<Gate>>,
}

struct Gate {
    gradient: Gradient,
    running: u32,
    /// Calls that wait for a place, the longest first; some of them may be gone.
    waiting: VecDeque<oneshot::Sender<()>>,
    refused: u64,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl AdaptiveLimit {
    /// With the default settings.
    pub fn new() -> Self {
        Self::with(AdaptiveSettings::default())
    }

    /// With these settings.
    pub fn with(settings: AdaptiveSettings) -> Self {
        let gate = Gate {
            gradient: Gradient::new(&settings, Instant::now()),
            running: 0,
            waiting: VecDeque::new(),
            refused: 0,
        };
        Self {
            settings,
            queue: (0, Duration::ZERO),
            gate: Arc::new(Mutex::new(gate)),
        }
    }

    /// Up to `calls` wait for `patience` at most, and no longer than their deadline, before they are
    /// refused: for bursts. None, where nothing is said.
    #[must_use]
    pub fn queue(mut self, calls: usize, patience: Duration) -> Self {
        self.queue = (calls, patience);
        self
    }

    /// How many calls may run at once at the moment.
    pub fn limit(&self) -> u32 {
        self.gate().gradient.limit()
    }

    /// How many run.
    pub fn running(&self) -> u32 {
        self.gate().running
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those that run.
    ///
    /// # Errors
    /// How many run, where there is none, nor one in the time that the call may wait.
    async fn place(&self, request: &Request) -> Result<Place<'_>, u32> {
        let (most_waiting, patience) = self.queue;
        let mut waiter = {
            let mut gate = self.gate();
            if gate.running < gate.gradient.limit() {
                gate.running += 1;
                return Ok(Place::new(self));
            }
            if gate.waiting.len() >= most_waiting {
                gate.waiting.retain(|waiting| !waiting.is_closed());
            }
            if gate.waiting.len() >= most_waiting {
                gate.refused += 1;
                return Err(gate.running);
            }
            let (tell, told) = oneshot::channel();
            gate.waiting.push_back(tell);
            Waiter { told, limit: self }
        };
        let until = later(Instant::now(), patience);
        let until = request
            .cx
            .deadline()
            .map_or(until, |deadline| deadline.min(until));
        if let Ok(Ok(())) = timeout_at(until, &mut waiter.told).await {
            return Ok(Place::new(self));
        }
        waiter.take().ok_or_else(|| {
            let mut gate = self.gate();
            gate.refused += 1;
            gate.running
        })
    }

    /// Gives a place back, of a call that began then and tells what it took.
    fn leave(&self, took: Option<(Instant, Took)>) {
        let mut next = {
            let mut gate = self.gate();
            if let Some(took) = took {
                let before = gate.gradient.limit();
                let running = gate.running;
                gate.gradient
                    .note(&self.settings, Instant::now(), took, running);
                let after = gate.gradient.limit();
                if before != after {
                    debug!(before, after, "the limit of calls at once has changed");
                }
            }
            gate.running = gate.running.saturating_sub(1);
            gate.next()
        };
        // Not under the lock: it wakes.
        while let Some(waiting) = next {
            let is_gone = waiting.send(()).is_err();
            let mut gate = self.gate();
            if is_gone {
                gate.running = gate.running.saturating_sub(1);
            }
            next = gate.next();
        }
    }
}

impl Gate {
    /// Who waits and has a place now.
    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        if self.running >= self.gradient.limit() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running += 1;
        Some(next)
    }
}

#[async_trait]
impl Wrapper for AdaptiveLimit {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        if request.method.kind.is_stream() || next.is_asked(&request) {
            return next.run(request).await;
        }
        let mut place = match self.place(&request).await {
            Ok(place) => place,
            Err(running) => {
                let words = format!("{running} calls run already, as many as there is room for");
                let error = Error::unavailable(next.id(), words.clone());
                return Err(refuse(&request, "concurrency limit", words, error));
            }
        };
        let result = next.run(request).await;
        // How soon a call fails does not tell how long one takes.
        place.took = result.is_ok().then_some(Took::SoLong);
        result
    }

    fn inspect(&self) -> Option<Inspected> {
        let gate = self.gate();
        let standing = Standing::new("", "on")
            .figure("limit", gate.gradient.limit())
            .figure("running", gate.running)
            .figure("waiting", gate.waiting.len())
            .figure("refused", gate.refused);
        let standing = match gate.gradient.baseline() {
            Some(baseline) => standing.figure("without_queue", baseline),
            None => standing,
        };
        let inspected = Inspected::new("concurrency limit")
            .setting("min", self.settings.min)
            .setting("max", self.settings.max)
            .setting("tolerance", self.settings.tolerance)
            .setting("queue", self.queue.0)
            .setting("patience", self.queue.1);
        Some(inspected.standing(standing))
    }
}

impl fmt::Debug for AdaptiveLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = self.gate();
        f.debug_struct("AdaptiveLimit")
            .field("limit", &gate.gradient.limit())
            .field("running", &gate.running)
            .finish_non_exhaustive()
    }
}

/// A call that waits for a place; one that it was given and does not take goes to the next.
struct Waiter<'a> {
    told: oneshot::Receiver<()>,
    limit: &'a AdaptiveLimit,
}

impl<'a> Waiter<'a> {
    /// The place, where there is one.
    fn take(&mut self) -> Option<Place<'a>> {
        // Closed first: what is told afterwards is told to nobody, and known to be.
        self.told.close();
        self.told.try_recv().ok().map(|()| Place::new(self.limit))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // Given in the moment in which the call was given up.
        if let Some(mut place) = self.take() {
            place.took = None;
        }
    }
}

/// A call that runs.
struct Place<'a> {
    limit: &'a AdaptiveLimit,
    began: Instant,
    /// What its end tells: where nothing else is said, that of one that is given up.
    took: Option<Took>,
}

impl<'a> Place<'a> {
    fn new(limit: &'a AdaptiveLimit) -> Self {
        Self {
            limit,
            began: Instant::now(),
            took: Some(Took::AtLeast),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // How soon a call panics tells as little as how soon it fails.
        let took = self.took.filter(|_| !panicking());
        self.limit.leave(took.map(|took| (self.began, took)));
    }
}
