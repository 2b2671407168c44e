//! How many calls at once: from how long they take, compared with how long they took without a queue.

use std::time::Duration;

use tokio::time::Instant;

/// What the limit goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveSettings {
    /// How many calls run at once to begin with. 20.
    pub initial: u32,
    /// It never falls below. 4.
    pub min: u32,
    /// It never rises above. 2,000.
    pub max: u32,
    /// Calls may take so many times as long as without a queue before the limit falls. 1.3.
    pub tolerance: f64,
    /// How often the limit may change. 100 ms.
    pub window: Duration,
    /// It changes after so many calls at least. 50.
    pub samples: u32,
    /// How often the limit is halved for one window, to see how long calls take without a queue: first
    /// when so many calls run that there may be one, and then, as long as there is load, 30 s apart.
    pub measure_every: Duration,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 4,
            max: 2_000,
            tolerance: 1.3,
            window: Duration::from_millis(100),
            samples: 50,
            measure_every: Duration::from_secs(30),
        }
    }
}

/// The limit, as a pure state machine: time is handed in.
///
/// It is the gradient of Netflix's concurrency-limits, `limit × tolerance × baseline ÷ time + √limit`,
/// smoothed. What differs is the baseline. Gradient2 takes a slow average of the times themselves, which
/// under load that lasts learns the queue as normal and lets the limit creep up to its maximum; Vegas
/// takes the least time ever seen, which a service that has become slower never meets again. Here it is
/// measured: once there is load, now and then, and where calls take far longer than they did, the limit is
/// halved for a window, and once more while that makes calls as much quicker. Then there is no queue,
/// and what calls take is the baseline. Calls that began before a window say nothing about it, nor do
/// those that are given up sooner than calls end.
#[derive(Debug)]
pub(super) struct Gradient {
    limit: f64,
    /// How long calls take without a queue, in seconds.
    baseline: Option<f64>,
    window: Window,
    measuring: Option<Measuring>,
    measured: Instant,
}

/// What the end of a call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// It was answered: it took so long.
    SoLong,
    /// It was given up: it would have taken so long at least.
    AtLeast,
}

/// The baseline is being measured.
#[derive(Debug)]
struct Measuring {
    /// The limit to go back to.
    back: f64,
    /// What calls took with twice as many, in seconds.
    time: f64,
}

/// What was seen since the limit last changed.
#[derive(Debug)]
struct Window {
    since: Instant,
    seconds: f64,
    samples: u32,
    most_running: u32,
}

impl Window {
    fn new(since: Instant) -> Self {
        Self {
            since,
            seconds: 0.0,
            samples: 0,
            most_running: 0,
        }
    }
}

impl Gradient {
    pub(super) fn new(settings: &AdaptiveSettings, now: Instant) -> Self {
        let (min, max) = bounds(settings);
        Self {
            limit: f64::from(settings.initial).clamp(min, max),
            baseline: None,
            window: Window::new(now),
            measuring: None,
            measured: now,
        }
    }

    /// How many calls may run at once.
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// How long calls take without a queue, as far as is known.
    pub(super) fn baseline(&self) -> Option<Duration> {
        self.baseline
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Notes that a call that began at `began` has ended, and that `running` ran with it.
    pub(super) fn note(
        &mut self,
        settings: &AdaptiveSettings,
        now: Instant,
        (began, took): (Instant, Took),
        running: u32,
    ) {
        if self.measuring.is_some() && running > self.limit() {
            // It counts from when the queue is gone.
            self.window = Window::new(now);
            return;
        }
        let window = &mut self.window;
        window.most_running = window.most_running.max(running);
        if began < window.since {
            return;
        }
        let seconds = now.saturating_duration_since(began).as_secs_f64();
        // News where it has run longer than calls take.
        let is_news = || self.baseline.is_some_and(|baseline| seconds > baseline);
        if took == Took::AtLeast && !is_news() {
            return;
        }
        window.seconds += seconds;
        window.samples = window.samples.saturating_add(1);
        let passed = now.saturating_duration_since(window.since);
        // What the baseline is taken for is told from more: it stands for long.
        let times = if self.measuring.is_some() { 2 } else { 1 };
        let enough = settings.samples.max(1).saturating_mul(times);
        if passed >= settings.window && window.samples >= enough {
            self.turn(settings, now);
        }
    }

    /// Ends a window.
    fn turn(&mut self, settings: &AdaptiveSettings, now: Instant) {
        let window = std::mem::replace(&mut self.window, Window::new(now));
        let time = (window.seconds / f64::from(window.samples)).max(LEAST);
        let (min, max) = bounds(settings);
        if let Some(Measuring { back, time: before }) = self.measuring.take() {
            if time < QUEUED * before && self.limit > min {
                self.measure(back, time, min);
            } else {
                self.baseline = Some(time);
                self.measured = now;
                self.limit = back;
            }
            return;
        }
        let is_used = f64::from(window.most_running) >= self.limit / 2.0;
        if self.baseline.is_none() && is_used {
            // There may be a queue already.
            self.measure(self.limit, time, min);
            return;
        }
        let known = self.baseline.unwrap_or(time);
        let gradient = (settings.tolerance * known / time).clamp(FAR, 1.0);
        if is_used {
            let aim = self.limit * gradient + self.limit.sqrt();
            self.limit = (self.limit + SMOOTHING * (aim - self.limit)).clamp(min, max);
        }
        // Without a queue, what calls take is the baseline: where there are few, and where there are no
        // more than the least. What is less is always closer to it.
        let without_queue = !is_used || (self.limit <= min && gradient < 1.0);
        let step = if time < known || without_queue {
            LEARNING
        } else {
            0.0
        };
        self.baseline = Some(known + step * (time - known));
        if !is_used {
            self.measured = now;
        } else if gradient <= FAR {
            self.measure((self.limit / 2.0).max(min), time, min);
        } else if now.saturating_duration_since(self.measured) >= settings.measure_every {
            self.measure(self.limit, time, min);
        }
    }

    /// Measures the baseline with half as many calls, of which each took `time` before.
    fn measure(&mut self, back: f64, time: f64, min: f64) {
        self.measuring = Some(Measuring { back, time });
        self.limit = (self.limit / 2.0).max(min);
    }
}

fn bounds(settings: &AdaptiveSettings) -> (f64, f64) {
    let min = settings.min.max(1);
    (f64::from(min), f64::from(settings.max.max(min)))
}

/// A gradient that is no smaller: the baseline is not what it was, or the limit far too high.
const FAR: f64 = 0.5;
/// Where calls become so much quicker with half as many, there was a queue, and may be still.
const QUEUED: f64 = 0.6;
/// A time in seconds that is no longer zero.
const LEAST: f64 = 1e-9;
/// How much of the way the limit goes at once.
const SMOOTHING: f64 = 0.2;
/// How much of the way the baseline goes at once.
const LEARNING: f64 = 0.3;
