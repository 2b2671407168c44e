//! Refuses requests that cannot make their deadline, before any work is done for them.
//!
//! For each method it is noted how long handlers take. A request that has less time left than nine in
//! ten of the latest took is refused at once: with 408 as if its time were up,
//! [unprocessed](crate::Error::is_unprocessed), so that a caller may ask another node while there is
//! time. Without a deadline, or before twenty calls were seen, nothing is refused. Once a second one is
//! let through all the same, to see whether handlers have become quicker. Streams pass.
//!
//! ```
//! use micro_runtime::{Service, wrapper::Shed};
//!
//! let service = Service::new("greeter").wrap_handler(Shed::new());
//! # let _ = service;
//! ```

mod estimate;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::panicking;

use async_trait::async_trait;
use tokio::time::Instant;

use super::keyed::Keyed;
use super::refuse;
use crate::call::{Inspected, Next, Reply, Request, Standing, Wrapper};
use crate::error::{Error, Result};

use estimate::Estimate;

/// Sheds what would be too late anyway; see the [module](self).
///
/// A handle: clones share what they know.
#[derive(Clone)]
pub struct Shed {
    quantile: f64,
    methods: Arc<Keyed<Mutex<Estimate>>>,
    refused: Arc<AtomicU64>,
}

impl Default for Shed {
    fn default() -> Self {
        Self::new()
    }
}

impl Shed {
    /// Refuses what fewer than one in ten of the latest calls would have been in time for.
    pub fn new() -> Self {
        Self {
            quantile: QUANTILE,
            methods: Arc::new(Keyed::new(MOST)),
            refused: Arc::default(),
        }
    }

    /// Refuses what fewer than this share of the latest calls would have been in time for; 0.1. More
    /// spares more work for nothing, and refuses more that would have been in time.
    #[must_use]
    pub fn quantile(mut self, share: f64) -> Self {
        self.quantile = share;
        self
    }
}

fn lock(estimate: &Mutex<Estimate>) -> MutexGuard<'_, Estimate> {
    estimate.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Wrapper for Shed {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        if request.method.kind.is_stream() || next.is_asked(&request) {
            return next.run(request).await;
        }
        let now = Instant::now();
        let method = &request.method;
        let estimate = self.methods.get(&method.path, "", || {
            Mutex::new(Estimate::new(self.quantile, now))
        });
        if let Some(deadline) = request.cx.deadline() {
            let left = deadline.saturating_duration_since(now);
            let admitted = lock(&estimate).admit(now, left);
            if let Err(takes) = admitted {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let words = format!("{left:?} is left, and {} takes {takes:?}", method.endpoint);
                let error =
                    Error::timeout(next.id(), format!("context deadline exceeded: {words}"));
                return Err(refuse(&request, "deadline", words, error));
            }
        }
        let running = Running {
            estimate: &estimate,
            began: Some(now),
        };
        let result = next.run(request).await;
        running.end(result.is_ok());
        result
    }

    fn inspect(&self) -> Option<Inspected> {
        let standing =
            Standing::new("", "on").figure("refused", self.refused.load(Ordering::Relaxed));
        let inspected = Inspected::new("shedding")
            .setting("quantile", self.quantile)
            .standing(standing);
        let methods = self.methods.all().into_iter();
        Some(methods.fold(inspected, |inspected, ((path, _), estimate)| {
            let standing = Standing::new(path, "on");
            inspected.standing(match lock(&estimate).told() {
                Some(takes) => standing.figure("takes", takes),
                None => standing,
            })
        }))
    }
}

impl fmt::Debug for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shed")
            .field("quantile", &self.quantile)
            .field("methods", &self.methods.len())
            .finish_non_exhaustive()
    }
}

/// A handler that runs.
struct Running<'a> {
    estimate: &'a Mutex<Estimate>,
    began: Option<Instant>,
}

impl Running<'_> {
    /// How soon a handler fails does not tell how long it takes.
    fn end(mut self, counts: bool) {
        if let Some(began) = self.began.take()
            && counts
        {
            let now = Instant::now();
            lock(self.estimate).note(now, now.saturating_duration_since(began));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Given up, as a rule since its deadline has passed. How soon it panics tells nothing.
        if let Some(began) = self.began
            && !panicking()
        {
            let now = Instant::now();
            let ran = now.saturating_duration_since(began);
            lock(self.estimate).note_more_than(now, ran);
        }
    }
}

/// What is refused where nothing else is said: what one in ten would have been in time for.
const QUANTILE: f64 = 0.1;

/// How many methods are known; a server has fewer.
const MOST: usize = 10_000;
