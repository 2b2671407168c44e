//! When a node is left alone, for how long, and who tries whether it is back.

use std::sync::atomic::Ordering::Relaxed;

use super::super::NodeEntry;
use super::super::tally::Tally;
use super::{Found, Term};
use crate::error::why::Cause;

/// That of nodes that could not be reached.
const UNREACHABLE: Term = Term {
    first: 1_000,
    longest: 30_000,
    less: 0,
};
/// How long a node must do well for each doubling to be forgotten.
const FORGIVEN: u64 = 10_000;
/// How long at most a node is left alone that is asked in between, by itself: no call is lost on it, so
/// that it need not wait long when it is back. In milliseconds.
const ASKED: u64 = 5_000;
/// How soon after its return a node is left alone anew that only seemed to be back, in milliseconds.
const RELAPSE: u64 = 30_000;

impl NodeEntry {
    /// Leaves the node alone for a while, since it could not be reached at `now`: 1 s, and twice as
    /// long each further time, to 5 s; to 30 s where its address was given by hand, so that nobody but a
    /// call tries whether it is back. Failures while it is left alone count once, and only that one
    /// gives `true`. After that time one call tries it, where nobody else has; the others follow when
    /// it has answered.
    pub fn eject(&self, now: u64) -> bool {
        self.eject_for(Cause::Unreachable, Found::Asking, UNREACHABLE, now)
    }

    /// As [`eject`](Self::eject), for another cause and time.
    pub(crate) fn eject_for(&self, cause: Cause, found: Found, term: Term, now: u64) -> bool {
        let until = self.health().ejected_until.load(Relaxed);
        until <= now && self.eject_again(until, (cause, found), term, (now, now))
    }

    /// Leaves it alone anew from `from` on, unless somebody else has changed until when.
    fn eject_again(
        &self,
        until: u64,
        (cause, found): (Cause, Found),
        term: Term,
        (from, now): (u64, u64),
    ) -> bool {
        let health = self.health();
        let was_out = health.tally().is_out();
        let times = health.times.load(Relaxed);
        let times = match (was_out, found) {
            (true, _) => times,
            // A connection that was made is a new beginning.
            (false, Found::Asking) if cause == Cause::Unreachable => 0,
            (false, _) => {
                let well = now.saturating_sub(health.back_at.load(Relaxed)) / FORGIVEN;
                times.saturating_sub(u32::try_from(well).unwrap_or(u32::MAX))
            }
        };
        let time = term.first.saturating_mul(1 << times.min(16));
        let relapsed = match was_out {
            true => health.relapsed.load(Relaxed),
            false => {
                let back = health.back_at.load(Relaxed);
                back != 0 && now.saturating_sub(back) < RELAPSE
            }
        };
        let longest = match found {
            // Who answers when it is asked, and calls soon after not, would cost calls each time.
            Found::Asking if !relapsed && !self.is_by_hand() => term.longest.min(ASKED),
            _ => term.longest,
        };
        let time = time.min(longest);
        let time = time - time * term.less.min(1024) / 1024;
        // Finding out may have taken most of the time, but there is a pause.
        let over = (from + time).max(now + time.min(term.first)).max(now + 1);
        let time = over - now;
        // Of calls that fail together, one counts.
        let ejected_until = &health.ejected_until;
        let counts = ejected_until.compare_exchange(until, over, Relaxed, Relaxed);
        if counts.is_ok() {
            health.cause.store(cause as u8, Relaxed);
            health.found.store(found as u8, Relaxed);
            health.ejected_at.store(now, Relaxed);
            health.times.store(times + 1, Relaxed);
            health.relapsed.store(relapsed, Relaxed);
            health.tally.store(Tally::OUT.0, Relaxed);
            health.checks.store(0, Relaxed);
            health.probed_until.store(0, Relaxed);
            tracing::debug!(
                node = self.id(),
                cause = cause.name(),
                times = times + 1,
                millis = time,
                "left alone"
            );
        }
        counts.is_ok()
    }

    /// Until when it is left alone; `None` where it has answered since it was.
    pub(crate) fn ejected_until(&self) -> Option<u64> {
        let health = self.health();
        let is_out = health.tally().is_out();
        is_out.then(|| health.ejected_until.load(Relaxed))
    }

    /// Keeps calls away while somebody tries whether it is back, which takes so many milliseconds at
    /// most: `end_probe` or `acquit` ends it.
    pub(crate) fn begin_probe(&self, now: u64, takes: u64) {
        let probed_until = &self.health().probed_until;
        probed_until.store(now.saturating_add(takes), Relaxed);
    }

    /// What came of trying whether it is back, from `began` on, while it was to be left alone until
    /// `until`: `None` where it answers, else how it failed. Gives whether it is left alone anew: not where
    /// somebody else has done so meanwhile, who tries it from now on.
    pub(crate) fn end_probe(
        &self,
        until: u64,
        (began, now): (u64, u64),
        failed: Option<Cause>,
        term: Term,
    ) -> bool {
        let health = self.health();
        match failed {
            // That it can be reached is no answer: nothing is said of whether it is alive.
            None if health.found() == Found::Asking => {
                health.come_back(now);
                false
            }
            // It is there, but calls have failed: a call is to try it.
            None => {
                health.probed_until.store(0, Relaxed);
                false
            }
            Some(cause) => {
                // Clients that have lost it together do not ask together.
                let less = term.less;
                let term = match cause {
                    Cause::Unreachable => Term {
                        less,
                        ..UNREACHABLE
                    },
                    _ => term,
                };
                self.eject_again(until, (cause, Found::Asking), term, (began, now))
            }
        }
    }

    /// Notes an active check at `now`, of which so many must fail or pass in a row to change something.
    /// Gives whether the node is to be left alone: then [`keep_out`](Self::keep_out).
    pub(crate) fn checked(&self, well: bool, (fails, passes): (u32, u32), now: u64) -> bool {
        let health = self.health();
        let by_check = health.tally().is_out() && health.found() == Found::Check;
        if well != by_check {
            // As it stands.
            health.checks.store(0, Relaxed);
            return by_check;
        }
        let checks = health.checks.fetch_add(1, Relaxed) + 1;
        match well {
            true if checks >= passes => {
                health.come_back(now);
                health.note_alive(now);
                false
            }
            true => true,
            false => checks >= fails,
        }
    }

    /// Leaves it alone until `until`, since active checks say so; for the cause that it is left alone for
    /// where there is no new one.
    pub(crate) fn keep_out(&self, cause: Option<Cause>, until: u64, now: u64) {
        let health = self.health();
        if !health.tally().is_out() {
            health.ejected_at.store(now, Relaxed);
            health.times.fetch_add(1, Relaxed);
        }
        if let Some(cause) = cause {
            health.cause.store(cause as u8, Relaxed);
        }
        health.found.store(Found::Check as u8, Relaxed);
        health.ejected_until.store(until, Relaxed);
        health.tally.store(Tally::OUT.0, Relaxed);
    }
}
