//! What calls have told lately of one node, in one word: pure, so that a test can play any story.

use std::fmt;

/// Failures in a row, and a window of good and bad answers that the first failure opens. 0 where
/// nothing speaks against the node: then an answer changes nothing and costs one look.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally(pub(super) u64);

/// How long a window is before it is asked, in milliseconds; one twice as old begins anew.
pub(super) const WINDOW: u64 = 5_000;

// The word: out (1 bit), failures in a row (7), good (14), bad (14), when it was opened (28).
const OUT: u64 = 1 << 63;
const ROW: Part = Part::new(56, 7);
const GOOD: Part = Part::new(42, 14);
const BAD: Part = Part::new(28, 14);
const OPENED: Part = Part::new(0, 28);
/// Windows are measured in this many milliseconds: 28 bits are half a year then, of which half is past.
const TICK: u64 = 64;

impl Tally {
    /// Of a node that is left alone, and that has not answered since.
    pub(super) const OUT: Self = Self(OUT);

    pub(super) const fn is_out(self) -> bool {
        self.0 & OUT != 0
    }

    /// Failures since the last good answer; at most 127.
    pub(super) fn row(self) -> u32 {
        u32::try_from(ROW.of(self.0)).unwrap_or(u32::MAX)
    }

    /// Good and bad answers in the window; both are halved where one outgrows its place.
    pub(super) fn answers(self) -> (u32, u32) {
        let number = |part: Part| u32::try_from(part.of(self.0)).unwrap_or(u32::MAX);
        (number(GOOD), number(BAD))
    }

    /// With a failure at `now`, which may stand in the row of those that count by themselves.
    pub(super) fn failed(self, now: u64, in_row: bool) -> Self {
        let mut word = self.0;
        if BAD.of(word) == 0 || self.is_stale(now) {
            word = BAD.with(GOOD.with(word, 0), 0);
            word = OPENED.with(word, (now / TICK) & OPENED.mask);
        }
        if in_row {
            word = ROW.with(word, (ROW.of(word) + 1).min(ROW.mask));
        }
        Self(BAD.counted(word))
    }

    /// With a good answer at `now`.
    pub(super) fn answered(self, now: u64) -> Self {
        let word = ROW.with(self.0, 0);
        if BAD.of(word) == 0 || self.is_stale(now) {
            return Self(word & OUT);
        }
        Self(GOOD.counted(word))
    }

    /// What the window says at `now` where it is old enough to be asked and holds `volume` answers.
    pub(super) fn said(self, now: u64, volume: u32) -> Option<(u32, u32)> {
        let (good, bad) = self.answers();
        (good + bad >= volume && self.age(now) >= WINDOW).then_some((good, bad))
    }

    /// With a window that begins at `now`, after it was asked: half of what it held is kept, so that
    /// nobody takes its node for one that never failed.
    pub(super) fn asked(self, now: u64) -> Self {
        Self(OPENED.with(halved(self.0), (now / TICK) & OPENED.mask))
    }

    /// Whether its window is so old at `now` that it says nothing.
    pub(super) fn is_stale(self, now: u64) -> bool {
        self.age(now) >= 2 * WINDOW
    }

    /// Milliseconds since the window was opened, rounded; 0 before it was. Answers are noted with the
    /// time when their calls began, windows are opened when a failure has ended.
    fn age(self, now: u64) -> u64 {
        let ticks = (now / TICK).wrapping_sub(OPENED.of(self.0)) & OPENED.mask;
        match ticks > OPENED.mask / 2 {
            true => 0,
            false => ticks * TICK,
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, bad) = self.answers();
        f.debug_struct("Tally")
            .field("out", &self.is_out())
            .field("row", &self.row())
            .field("good", &good)
            .field("bad", &bad)
            .finish()
    }
}

/// Some bits of the word.
#[derive(Clone, Copy)]
struct Part {
    shift: u32,
    mask: u64,
}

impl Part {
    const fn new(shift: u32, bits: u32) -> Self {
        Self {
            shift,
            mask: (1 << bits) - 1,
        }
    }

    const fn of(self, word: u64) -> u64 {
        (word >> self.shift) & self.mask
    }

    const fn with(self, word: u64, value: u64) -> u64 {
        (word & !(self.mask << self.shift)) | (value << self.shift)
    }

    /// One more of good or bad answers; where there is no room both are halved.
    fn counted(self, word: u64) -> u64 {
        let mut word = word;
        if self.of(word) == self.mask {
            word = halved(word);
        }
        self.with(word, self.of(word) + 1)
    }
}

fn halved(word: u64) -> u64 {
    // Never to 0, which would close the window.
    let bad = (BAD.of(word) / 2).max(1);
    GOOD.with(BAD.with(word, bad), GOOD.of(word) / 2)
}

#[cfg(test)]
mod tests;
