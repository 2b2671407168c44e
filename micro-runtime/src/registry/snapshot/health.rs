//! What calls have learned of one node: whether it is left alone, until when, and why.
//!
//! An answer costs a look at one word, and another at when it was last noted. All else happens where
//! something has failed.

mod ejection;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::NodeEntry;
use super::tally::{Tally, WINDOW};
use crate::error::why::Cause;

/// Times are milliseconds on the directory's clock.
// In order: choices read the first four.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Health {
    ejected_until: AtomicU64,
    /// While one call, or a task, tries whether the node is back.
    probed_until: AtomicU64,
    /// A [`Tally`].
    tally: AtomicU64,
    /// When it last came back, and when it was last ejected.
    back_at: AtomicU64,
    ejected_at: AtomicU64,
    /// How often its time has doubled.
    times: AtomicU32,
    /// Why it was last ejected, and who has found out.
    cause: AtomicU8,
    found: AtomicU8,
    /// When a failure last counted.
    failed_at: AtomicU64,
    /// Whether somebody finds out if it answers, since a call to it had no answer in time.
    suspected: AtomicBool,
    /// When a call last succeeded; 0 for never.
    alive: AtomicU64,
    /// When it was last found to answer nobody; 0 for never.
    silent_at: AtomicU64,
    /// Whether it was left alone anew soon after it had come back.
    relapsed: AtomicBool,
    /// Active checks that went the other way than its standing, in a row.
    checks: AtomicU32,
}

/// How a node stands with a client: [`NodeEntry::standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Calls go to it.
    In,
    /// It is left alone for so long still, for this cause. The number tells how often it was, as far as
    /// doing well in between has not made that forgotten: each time is twice as long as the last.
    Ejected(Duration, Cause, u32),
    /// Its time is over, and the next call tries whether it is back.
    OnTrial(Cause),
    /// Somebody is just finding out whether it is there.
    Probed,
}

/// What has shown that a node is to be left alone: what may show that it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Found {
    /// A connection could not be made, or a question had no answer: any answer.
    Asking = 0,
    /// Calls failed: a call that began later.
    Calls = 1,
    /// An active check: another, or a call once its time is over.
    Check = 2,
}

/// How long a node is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// The first time, and the longest, in milliseconds.
    pub(crate) first: u64,
    pub(crate) longest: u64,
    /// How much of it is not waited for, in 1/1024.
    pub(crate) less: u64,
}

/// How long one call may try a node that was left alone before another does: the default limit of
/// connecting. A node that swallows what is sent to it then costs one call, not all.
const PROBE: u64 = 5_000;
/// How stale the note of a success may be: writing it for each call would pass the node's state
/// from core to core.
const ALIVE_NOTE: u64 = 100;

/// What a failure of a call says of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The node failed. A few in a row are enough.
    Own,
    /// As `Own`, where all calls of a connection fail at once: those that began before the last one
    /// that counted say nothing new.
    Shared,
    /// It may not be the node's fault: what counts is whether others do better.
    Compared,
}

/// What is to be done after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Borne,
    /// It failed often enough in a row, or failed its trial.
    Eject,
    /// It answered so often well and so often not: see how others do.
    Compare(u32, u32),
}

impl NodeEntry {
    /// Whether it is left alone at `now`: since it could not be reached or calls to it failed, or since
    /// somebody is just trying it again.
    pub fn is_ejected(&self, now: u64) -> bool {
        let health = self.health();
        health.ejected_until.load(Relaxed) > now || health.probed_until.load(Relaxed) > now
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: u64) -> Standing {
        let health = self.health();
        let until = health.ejected_until.load(Relaxed);
        if until > now {
            let left = Duration::from_millis(until - now);
            return Standing::Ejected(left, health.cause(), health.times.load(Relaxed));
        }
        if health.probed_until.load(Relaxed) > now {
            return Standing::Probed;
        }
        match health.tally().is_out() {
            true => Standing::OnTrial(health.cause()),
            false => Standing::In,
        }
    }

    /// When it last came back after it had been left alone, in milliseconds of the directory's clock;
    /// 0 where it never was.
    pub fn back_at(&self) -> u64 {
        self.health().back_at.load(Relaxed)
    }

    /// Whether it counts among those that are out: it is left alone, or was not long ago and has not
    /// answered since.
    pub(crate) fn is_out(&self, now: u64, patience: u64) -> bool {
        let health = self.health();
        let until = health.ejected_until.load(Relaxed);
        let lately = until.saturating_add(patience) > now;
        self.is_ejected(now) || (lately && health.tally().is_out())
    }

    /// Whether a call may go to this node, which is not left alone: of one that was, only the first
    /// may, until it has told how it went.
    pub(crate) fn claim(&self, now: u64) -> bool {
        let health = self.health();
        if !health.tally().is_out() {
            return true;
        }
        let probed = health.probed_until.load(Relaxed);
        let claimed = || {
            let probed_until = &health.probed_until;
            probed_until.compare_exchange(probed, now + PROBE, Relaxed, Relaxed)
        };
        probed <= now && claimed().is_ok()
    }

    /// Gives a [claim](Self::claim) back that no call came of: another may try the node at once.
    pub(crate) fn release(&self) {
        let health = self.health();
        if health.tally().is_out() {
            health.probed_until.store(0, Relaxed);
        }
    }

    /// Notes that the node answered a call that began at `now`: it is no longer left alone, unless for
    /// how earlier calls failed, and stays for a while though its registry may forget it. Cheap enough
    /// for every call.
    pub fn restore(&self, now: u64) {
        let health = self.health();
        let tally = health.tally();
        if tally != Tally::default() {
            health.recovers(tally, now);
        }
        health.note_alive(now);
    }

    /// Notes that the node answered something at `now`, which is no success.
    pub(crate) fn note_alive(&self, now: u64) {
        let health = self.health();
        if health.tally().is_out() && health.cause() == Cause::Unreachable {
            health.come_back(now);
        }
        health.note_alive(now);
    }

    /// Notes a failure of a call that began at `began`.
    pub(crate) fn fails(
        &self,
        weight: Weight,
        (began, now): (u64, u64),
        in_a_row: u32,
        volume: u32,
    ) -> Verdict {
        let health = self.health();
        if health.tally().is_out() {
            // Calls that began earlier say what is known. One that began when its time was over was
            // its trial.
            let until = health.ejected_until.load(Relaxed);
            return match began >= until && until <= now && weight != Weight::Compared {
                true => Verdict::Eject,
                false => Verdict::Borne,
            };
        }
        let failed_at = health.failed_at.load(Relaxed);
        if weight == Weight::Shared && failed_at != 0 && began < failed_at {
            return Verdict::Borne;
        }
        let in_row = weight != Weight::Compared;
        if in_row {
            health.failed_at.store(now.max(1), Relaxed);
        }
        let mut after = Tally::default();
        let _ = health.tally.fetch_update(Relaxed, Relaxed, |word| {
            after = Tally(word).failed(now, in_row);
            Some(after.0)
        });
        if in_row && in_a_row != 0 && after.row() >= in_a_row {
            return Verdict::Eject;
        }
        match after.said(now, volume) {
            None => Verdict::Borne,
            Some((good, bad)) => {
                // Whoever comes first asks it.
                let asked = (after.0, after.asked(now).0);
                let first = health
                    .tally
                    .compare_exchange(asked.0, asked.1, Relaxed, Relaxed);
                match first.is_ok() {
                    true => Verdict::Compare(good, bad),
                    false => Verdict::Borne,
                }
            }
        }
    }

    /// Its share of good answers in a window with at least `volume` of them; 1 where it has answered
    /// lately and nothing failed. `None` where nothing is known, or it is out.
    pub(crate) fn success_rate(&self, now: u64, volume: u32) -> Option<f64> {
        let health = self.health();
        let tally = health.tally();
        if tally.is_out() {
            return None;
        }
        let (good, bad) = tally.answers();
        if bad == 0 {
            let alive = health.alive.load(Relaxed);
            let lately = alive != 0 && alive.saturating_add(2 * WINDOW) >= now;
            return lately.then_some(1.0);
        }
        (good + bad >= volume && !tally.is_stale(now))
            .then(|| f64::from(good) / f64::from(good + bad))
    }

    /// Whether a call succeeded at `since` or later, and the node was not left alone since then.
    pub(crate) fn answers(&self, since: u64) -> bool {
        let alive = self.health().alive.load(Relaxed);
        alive != 0 && alive >= since && !self.is_failing()
    }

    /// Whether to find out if it answers: nobody is just doing so.
    pub(crate) fn suspect(&self) -> bool {
        !self.health().suspected.swap(true, Ordering::AcqRel)
    }

    /// That it was found out: at `now` it answered, where it did. Unless it is left alone for that, calls
    /// may go there again.
    pub(crate) fn acquit(&self, answered: Option<u64>) {
        let health = self.health();
        if let Some(now) = answered {
            health.note_alive(now);
        }
        // One whose address was given by hand is never left alone: it is at least not called meanwhile.
        let may_be = answered.is_some() || !self.is_by_hand();
        if may_be && !health.tally().is_out() {
            health.probed_until.store(0, Relaxed);
        }
        health.suspected.store(false, Ordering::Release);
    }

    /// Done when somebody next [tells](Self::tell) what came of asking the node: from this call on,
    /// whenever it is awaited.
    pub(crate) fn asked(&self) -> impl Future<Output = ()> + '_ {
        self.state.asked.notified()
    }

    /// Whether it was found to answer nobody, at `since` or later.
    pub(crate) fn was_silent(&self, since: u64) -> bool {
        let at = self.health().silent_at.load(Relaxed);
        at != 0 && at >= since
    }

    /// Tells the tries that wait for the node that it cannot be reached anew, and where it is `silent`,
    /// that it does not answer over what connections there are either.
    pub(crate) fn tell(&self, silent: bool, now: u64) {
        if silent {
            self.health().silent_at.store(now.max(1), Relaxed);
        }
        self.state.asked.notify_waiters();
    }

    /// Whether it was left alone and has not answered since.
    pub(crate) fn is_failing(&self) -> bool {
        self.health().tally().is_out()
    }
}

impl Health {
    fn tally(&self) -> Tally {
        Tally(self.tally.load(Relaxed))
    }

    fn note_alive(&self, now: u64) {
        let alive = self.alive.load(Relaxed);
        if alive == 0 || now.saturating_sub(alive) >= ALIVE_NOTE {
            self.alive.store(now.max(1), Relaxed);
        }
    }

    #[cold]
    fn recovers(&self, tally: Tally, began: u64) {
        if !tally.is_out() {
            let answered = |word| Some(Tally(word).answered(began).0);
            let _ = self.tally.fetch_update(Relaxed, Relaxed, answered);
            return;
        }
        let back = match self.found() {
            // An answer, whenever it was asked for, comes over a connection.
            Found::Asking if self.cause() == Cause::Unreachable => true,
            Found::Asking | Found::Calls => began > self.ejected_at.load(Relaxed),
            Found::Check => began >= self.ejected_until.load(Relaxed),
        };
        if back {
            self.come_back(began);
        }
    }

    fn come_back(&self, now: u64) {
        self.back_at.store(now.max(1), Relaxed);
        if self.cause() == Cause::Unreachable {
            self.times.store(0, Relaxed);
        }
        self.checks.store(0, Relaxed);
        self.tally.store(0, Relaxed);
        self.ejected_until.store(0, Relaxed);
        self.probed_until.store(0, Relaxed);
    }

    fn cause(&self) -> Cause {
        let cause = self.cause.load(Relaxed);
        CAUSES
            .into_iter()
            .find(|known| *known as u8 == cause)
            .unwrap_or(Cause::Unreachable)
    }

    fn found(&self) -> Found {
        match self.found.load(Relaxed) {
            1 => Found::Calls,
            2 => Found::Check,
            _ => Found::Asking,
        }
    }
}

/// What a node can be left alone for.
const CAUSES: [Cause; 6] = [
    Cause::Unreachable,
    Cause::Lost,
    Cause::Silent,
    Cause::Garbled,
    Cause::Refused,
    Cause::Answered,
];

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In => f.write_str("in"),
            Self::Ejected(left, cause, times) => {
                write!(f, "left alone for {left:?}: {}", cause.name())?;
                match times {
                    0 | 1 => Ok(()),
                    times => write!(f, ", {times} times in a row"),
                }
            }
            Self::OnTrial(cause) => write!(f, "the next call tries it, after: {}", cause.name()),
            Self::Probed => f.write_str("somebody tries whether it is there"),
        }
    }
}
