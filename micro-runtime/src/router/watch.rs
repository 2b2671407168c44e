//! The calls that run and how long calls take, for a person who looks: kept only where one may.
//!
//! Each call takes a [`Ticket`] when it starts and gives it back when it ends. The table is in parts
//! with a lock each, so that calls on different cores rarely wait for each other, and is bounded: of
//! calls beyond its bound only figures are kept.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::figures::Figures;
use crate::context::Context;
use crate::method::Method;

/// A power of two.
const PARTS: usize = 16;
/// How many calls one part lists.
const PLACES: usize = 1024;

/// The calls that run.
#[derive(Debug)]
pub(crate) struct Watch {
    parts: [Part; PARTS],
    next: AtomicUsize,
    /// Calls that run and have no place.
    left_out: AtomicU64,
    since: Instant,
}

/// On a cache line of its own, since others' locks are taken at the same time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    all: Vec<Option<Running>>,
    free: Vec<usize>,
}

/// A call that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) method: &'static Method,
    pub(crate) cx: Context,
    pub(crate) began: Instant,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            parts: Default::default(),
            next: AtomicUsize::new(0),
            left_out: AtomicU64::new(0),
            since: Instant::now(),
        }
    }

    /// Lists a call that begins now.
    pub(super) fn enter(
        self: &Arc<Self>,
        method: &'static Method,
        cx: &Context,
        began: Instant,
        figures: &Arc<Figures>,
    ) -> Box<Ticket> {
        figures.begun();
        let part = self.next.fetch_add(1, Ordering::Relaxed) % PARTS;
        let running = Running {
            method,
            cx: cx.clone(),
            began,
        };
        let place = self.parts.get(part).and_then(|of| of.add(running));
        if place.is_none() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Box::new(Ticket {
            watch: self.clone(),
            figures: figures.clone(),
            began,
            place: place.map(|place| (part, place)),
            end: End::GivenUp,
        })
    }

    /// The calls that run, oldest first, and how many more there are.
    pub(crate) fn running(&self) -> (Vec<Running>, u64) {
        let mut all = Vec::new();
        for Part(places) in &self.parts {
            let places = places.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(places.all.iter().flatten().cloned());
        }
        all.sort_by_key(|running| running.began);
        (all, self.left_out.load(Ordering::Relaxed))
    }

    /// What figures count their minutes by.
    pub(crate) fn clock(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Part {
    /// Lists a call, where there is room.
    fn add(&self, running: Running) -> Option<usize> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { all, free } = &mut *places;
        if let Some(place) = free.pop() {
            *all.get_mut(place)? = Some(running);
            return Some(place);
        }
        if all.len() >= PLACES {
            return None;
        }
        all.push(Some(running));
        Some(all.len() - 1)
    }

    fn remove(&self, place: usize) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { all, free } = &mut *places;
        let gone = all.get_mut(place).and_then(Option::take);
        if gone.is_some() {
            free.push(place);
        }
        // Its context may be the last one, and has metadata to free.
        drop(places);
        drop(gone);
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    Failed,
    /// Its caller was gone first.
    GivenUp,
}

/// The place of one call in the table, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    watch: Arc<Watch>,
    figures: Arc<Figures>,
    began: Instant,
    place: Option<(usize, usize)>,
    end: End,
}

impl Ticket {
    pub(super) fn ended(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.place {
            Some((part, place)) => {
                if let Some(part) = self.watch.parts.get(part) {
                    part.remove(place);
                }
            }
            None => {
                self.watch.left_out.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        self.figures.ended(self.end, took, self.watch.clock(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{Idempotency, Kind};

    static HELLO: Method = Method::new(
        "",
        "Say.Hello",
        "/Say/Hello",
        Kind::Unary,
        Idempotency::Unknown,
        0,
    );

    #[tokio::test]
    async fn calls_beyond_the_bound_are_counted_and_not_listed() {
        let (watch, figures) = (Arc::new(Watch::new()), Arc::<Figures>::default());
        let cx = Context::default();
        let enter = |_| watch.enter(&HELLO, &cx, Instant::now(), &figures);
        let tickets: Vec<_> = (0..PARTS * PLACES + 5).map(enter).collect();
        let (listed, left_out) = watch.running();
        assert_eq!((listed.len(), left_out), (PARTS * PLACES, 5));
        drop(tickets);
        let (listed, left_out) = watch.running();
        assert_eq!((listed.len(), left_out), (0, 0));
        // Places are used again.
        let ticket = enter(0);
        assert_eq!(watch.running().0.len(), 1);
        drop(ticket);
        let places: usize = watch
            .parts
            .iter()
            .map(|part| part.0.lock().unwrap().all.len())
            .sum();
        assert_eq!(places, PARTS * PLACES);
    }
}
