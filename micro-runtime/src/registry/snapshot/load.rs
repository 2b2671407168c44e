//! How busy a node is, how long it takes to answer, and since when it is there.
//!
//! All of it is figures in atomics, told without a lock and without waiting: what two calls tell in
//! the same moment may be noted of one alone, but calls in flight are counted exactly.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::NodeEntry;

/// What calls have told about one node's load. Times are milliseconds on the directory's clock.
// In order and no longer than half a line of the processor's cache: see `State`.
#[derive(Default)]
#[repr(C)]
pub(super) struct Load {
    in_flight: AtomicU32,
    /// The latency figure and when it was told: the bits of an `f32` of nanoseconds below, 32 bits
    /// of milliseconds above; 0 for none.
    figure: AtomicU64,
    /// Since when it is there, where others were there before; 0 for from the beginning.
    since: AtomicU64,
    total: Arc<Total>,
}

/// The calls in flight to all nodes of a name, counted once somebody needs to know.
#[derive(Debug, Default)]
pub(crate) struct Total {
    wanted: AtomicBool,
    in_flight: AtomicU64,
}

/// The latency figure fades by half in 4096 ms.
const HALF_LIFE: u32 = 12;
/// A figure this old, in milliseconds, when a call begins is told anew: reading the clock for each call
/// would cost more than it is worth.
const FRESH: i32 = 1;
/// A call during which a figure was told so many milliseconds after its beginning has itself taken more
/// than one, and can afford the clock: else the fastest of calls that overlap would speak for all.
const LASTED: i32 = 2;
/// A failed try counts as one that took so many times as long as others do.
const PEAK: f32 = 4.0;
/// What a failed try counts as where nothing is known of others, and at most, in nanoseconds.
const FAILURE: (f32, f32) = (1e6, 5e9);
/// The weight of a node that has just come.
const LEAST_WARMTH: f32 = 0.1;

impl Load {
    pub(super) fn of(total: &Arc<Total>) -> Self {
        Self {
            total: total.clone(),
            ..Self::default()
        }
    }

    /// Notes that it has come at `now`.
    pub(super) fn begin_at(&self, now: u64) {
        self.since.store(now.max(1), Ordering::Relaxed);
    }

    /// The figure as it was told, with its age at `now` in milliseconds: below zero where it was told
    /// later.
    fn told(&self, now: u64) -> Option<(f32, i32)> {
        let figure = self.figure.load(Ordering::Relaxed);
        if figure == 0 {
            return None;
        }
        // Both wrap after 49 days.
        let age = low(now).wrapping_sub(low(figure >> 32)).cast_signed();
        Some((f32::from_bits(low(figure)), age))
    }

    /// As [`told`](Self::told), where one from the future, of a call that has just ended, is new.
    fn read(&self, now: u64) -> Option<(f32, u32)> {
        let (nanos, age) = self.told(now)?;
        Some((nanos, age.max(0).cast_unsigned()))
    }

    /// Changes the figure, of which so much is left at `now`.
    fn tell(&self, now: u64, change: impl FnOnce(Option<f32>) -> f32) {
        let before = self.figure.load(Ordering::Relaxed);
        let told = self.read(now);
        let nanos = change(told.map(|(nanos, age)| nanos * weight(age))).max(1.0);
        let figure = u64::from(low(now)) << 32 | u64::from(nanos.to_bits());
        // Who comes second had about the same to tell.
        let _ = self
            .figure
            .compare_exchange(before, figure, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Total {
    /// How many calls are in flight, of those that began after this was first asked.
    pub(crate) fn in_flight(&self) -> u64 {
        if !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// What is left of a figure after `age` milliseconds.
fn weight(age: u32) -> f32 {
    let halves = age >> HALF_LIFE;
    if halves > 100 {
        return 0.0;
    }
    let rest = (age & ((1 << HALF_LIFE) - 1)) as f32 / (1 << HALF_LIFE) as f32;
    // Two to the power of minus `halves`, and a straight line between two of them.
    f32::from_bits((127 - halves) << 23) * (1.0 - rest / 2.0)
}

fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}

impl NodeEntry {
    fn load(&self) -> &Load {
        &self.state.load
    }

    /// How many calls of this process are with the node, streams included while they are open.
    pub fn in_flight(&self) -> u32 {
        self.load().in_flight.load(Ordering::Relaxed)
    }

    /// What it takes to answer, as it looks at `now`: the slowest answer of late, which fades by half
    /// in four seconds, so that a node that was slow is tried again. `None` where no call has told
    /// anything yet.
    ///
    /// A try that has failed counts as a slow one.
    pub fn latency(&self, now: u64) -> Option<Duration> {
        let nanos = self.latency_nanos(now)?;
        Some(Duration::from_nanos(nanos as u64))
    }

    pub(crate) fn latency_nanos(&self, now: u64) -> Option<f32> {
        let (nanos, age) = self.load().read(now)?;
        // What was told before it was left alone says nothing any more.
        let back = self.back_at();
        let outdated = back != 0 && now.saturating_sub(back) < u64::from(age);
        (!outdated).then(|| (nanos * weight(age)).max(1.0))
    }

    /// When it came, on the directory's clock, where others of its service were there before, or when
    /// it came back after it was left alone; 0 where it was there from the beginning.
    pub fn since(&self) -> u64 {
        let since = self.load().since.load(Ordering::Relaxed);
        since.max(self.back_at())
    }

    /// The share of its usual calls that it takes at `now`, where a node that comes takes `window`
    /// milliseconds to get all of them: from 0.1 to 1.
    pub(crate) fn warmth(&self, now: u64, window: u64) -> f32 {
        let since = self.since();
        if since == 0 {
            return 1.0;
        }
        let age = now.saturating_sub(since);
        if age >= window {
            return 1.0;
        }
        (age as f32 / window as f32).max(LEAST_WARMTH)
    }

    /// Counts one call more that is with the node, until what this returns is dropped.
    pub fn begin(self: &Arc<Self>) -> Underway {
        self.underway(self.count())
    }

    /// Counts a call by itself, without holding the node: [`uncount`](Self::uncount) or
    /// [`underway`](Self::underway) goes on with what it gives.
    pub(crate) fn count(&self) -> Counted {
        let load = self.load();
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        let total = &load.total;
        let in_total = total.wanted.load(Ordering::Relaxed);
        if in_total {
            total.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Counted { in_total }
    }

    /// The end of a call that was counted.
    pub(crate) fn uncount(&self, counted: Counted) {
        let load = self.load();
        load.in_flight.fetch_sub(1, Ordering::Relaxed);
        if counted.in_total {
            load.total.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A counted call that outlives its try.
    pub(crate) fn underway(self: &Arc<Self>, counted: Counted) -> Underway {
        Underway {
            entry: self.clone(),
            counted,
        }
    }

    /// Whether a call that began at `began` and has just ended should tell how long it took: where the
    /// latency figure was old then, or where the call has outlasted others that have told theirs.
    pub fn wants_latency(&self, began: u64) -> bool {
        match self.load().told(began) {
            Some((_, age)) => age >= FRESH || age <= -LASTED,
            None => true,
        }
    }

    /// Tells that a call was answered at `now`, or given up before it was, and took so long.
    pub fn tell_latency(&self, took: Duration, now: u64) {
        let took = took.as_nanos() as f32;
        self.load()
            .tell(now, |faded| took.max(faded.unwrap_or(0.0)));
    }

    /// Tells that a call failed at `now` after so long: it counts as a slow one, so that a node that
    /// fails fast, or never answers, does not attract calls.
    pub fn tell_failure(&self, took: Duration, now: u64) {
        let took = took.as_nanos() as f32;
        self.load().tell(now, |faded| {
            let peak = faded.map_or(FAILURE.0, |faded| faded * PEAK).max(took);
            // What was slower still, and has answered, stays so.
            peak.min(FAILURE.1).max(faded.unwrap_or(0.0))
        });
    }
}

/// A call that is with a node. It is counted until this is dropped.
#[must_use = "the call counts no longer than this lives"]
pub struct Underway {
    entry: Arc<NodeEntry>,
    counted: Counted,
}

/// How a call was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Among those of all nodes, too.
    in_total: bool,
}

impl Underway {
    /// The node that the call is with.
    pub(crate) fn entry(&self) -> &NodeEntry {
        &self.entry
    }
}

impl fmt::Debug for Underway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Underway").field(&self.entry.id()).finish()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.entry.uncount(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn nanos(load: &NodeEntry, now: u64) -> f32 {
        load.latency_nanos(now).unwrap()
    }

    #[test]
    fn the_latency_jumps_to_a_peak_and_fades_to_what_answers_take() {
        let node = NodeEntry::by_hand("a:1");
        assert_eq!(node.latency(0), None);
        node.tell_latency(MILLI, 5);
        assert_eq!(node.latency(5), Some(MILLI));
        node.tell_latency(MILLI * 100, 6);
        assert_eq!(node.latency(6), Some(MILLI * 100));
        for now in 7..2000 {
            node.tell_latency(MILLI, now);
        }
        let after = nanos(&node, 2000) / 1e6;
        assert!(
            (60.0..85.0).contains(&after),
            "{after} ms after two seconds"
        );
        for now in 2000..60_000 {
            node.tell_latency(MILLI, now);
        }
        let after = nanos(&node, 60_000) / 1e6;
        assert!((0.9..1.1).contains(&after), "{after} ms after a minute");
    }

    #[test]
    fn the_latency_fades_while_nothing_is_told() {
        let node = NodeEntry::by_hand("a:1");
        node.tell_latency(MILLI * 64, 1);
        assert_eq!(node.latency(1 + 4096), Some(MILLI * 32));
        assert_eq!(node.latency(1 + 4096 * 6), Some(MILLI));
        // Over the end of what is kept of the time, and long after.
        assert_eq!(node.latency(1 + 4096 * 1000), Some(Duration::from_nanos(1)));
    }

    #[test]
    fn a_failure_counts_as_a_slow_answer_and_no_slower_than_five_seconds() {
        let node = NodeEntry::by_hand("a:1");
        node.tell_latency(MILLI * 20, 1);
        node.tell_failure(Duration::ZERO, 1);
        assert_eq!(node.latency(1), Some(MILLI * 80));
        for _ in 0..20 {
            node.tell_failure(Duration::ZERO, 1);
        }
        assert_eq!(node.latency(1), Some(Duration::from_secs(5)));
        let node = NodeEntry::by_hand("b:1");
        node.tell_failure(Duration::ZERO, 1);
        assert_eq!(node.latency(1), Some(MILLI));
        node.tell_failure(MILLI * 700, 1);
        assert_eq!(node.latency(1), Some(MILLI * 700));
    }

    #[test]
    fn a_figure_is_told_anew_when_it_is_a_millisecond_old() {
        let node = NodeEntry::by_hand("a:1");
        assert!(node.wants_latency(7));
        node.tell_latency(MILLI, 7);
        assert!(!node.wants_latency(7));
        assert!(node.wants_latency(8));
    }

    #[test]
    fn a_call_tells_how_long_it_took_though_others_that_overlap_told_before() {
        let node = NodeEntry::by_hand("a:1");
        node.tell_latency(MILLI, 7);
        assert!(
            !node.wants_latency(6),
            "it may have taken less than a millisecond"
        );
        assert!(node.wants_latency(5), "it has taken more than one");
        node.tell_latency(MILLI * 50, 55);
        assert_eq!(node.latency(55), Some(MILLI * 50));
    }

    #[test]
    fn calls_are_counted_while_they_are_under_way() {
        let node = NodeEntry::by_hand("a:1");
        let (one, other) = (node.begin(), node.begin());
        assert_eq!(node.in_flight(), 2);
        drop(one);
        assert_eq!(node.in_flight(), 1);
        drop(other);
        assert_eq!(node.in_flight(), 0);
    }

    #[test]
    fn the_total_counts_calls_that_begin_after_it_was_asked_for() {
        let total = Arc::new(Total::default());
        let node = NodeEntry::by_hand_in("a:1", &total);
        let early = node.begin();
        assert_eq!(total.in_flight(), 0);
        let late = node.begin();
        assert_eq!(total.in_flight(), 1);
        drop((early, late));
        assert_eq!(total.in_flight(), 0);
    }

    #[test]
    fn a_node_that_comes_warms_up() {
        let node = NodeEntry::by_hand("a:1");
        assert_eq!(node.warmth(0, 10_000), 1.0);
        node.load().begin_at(1000);
        for (now, warmth) in [
            (0, 0.1),
            (1000, 0.1),
            (6000, 0.5),
            (11_000, 1.0),
            (99_000, 1.0),
        ] {
            assert_eq!(node.warmth(now, 10_000), warmth, "at {now}");
        }
        assert_eq!(node.warmth(1000, 0), 1.0, "slow start is off");
    }
}
