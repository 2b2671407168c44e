//! The breaker of hystrix, as hystrix-go has it.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::circuits::{Circuit, Circuits, Failed, Machine, Outcome, State, Stop};
use crate::call::{Inspected, Next, Reply, Request, Wrapper};
use crate::error::{Error, Result};
use crate::metadata::Text;

/// What a circuit of [`Hystrix`] goes by: hystrix-go's settings and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HystrixSettings {
    /// The longest that a call may take, with all its tries; of a stream, its opening. 1 s.
    pub timeout: Duration,
    /// How many calls run at once. 10.
    pub max_concurrent: u32,
    /// With fewer calls than this in the window, the circuit stays closed. 20.
    pub volume: u32,
    /// How long it stays open before one call tests, and between tests. 5 s.
    pub sleep: Duration,
    /// It opens where so many in a hundred calls of the window failed. 50.
    pub error_percent: u32,
    /// How long a call counts, to a tenth. 10 s.
    pub window: Duration,
}

impl Default for HystrixSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            max_concurrent: 10,
            volume: 20,
            sleep: Duration::from_secs(5),
            error_percent: 50,
            window: Duration::from_secs(10),
        }
    }
}

/// A breaker that opens where too many of the latest calls failed, as hystrix-go does.
///
/// Refused calls and those that took too long count as failures, too: a service that gets more calls at
/// once than `max_concurrent` for long has its circuit opened. Errors have hystrix's words: 503
/// `hystrix: circuit open` and `hystrix: max concurrency`, 408 `hystrix: timeout`. Other than in
/// hystrix-go, only calls that test close an open circuit, not any late answer.
///
/// A handle: clones share their circuits, so that one kept can be [read](Hystrix::circuits).
#[derive(Clone, Debug)]
pub struct Hystrix(Circuits<Window>);

impl Default for Hystrix {
    fn default() -> Self {
        Self::new()
    }
}

impl Hystrix {
    /// With hystrix's defaults.
    pub fn new() -> Self {
        Self::with(HystrixSettings::default())
    }

    /// With these settings for every method.
    pub fn with(settings: HystrixSettings) -> Self {
        // As Go Micro's plugin without a filter: whatever the error.
        Self(Circuits::new(settings, |_| true))
    }

    /// With settings of their own for calls to `endpoint` (`Say.Hello`) of `service`.
    #[must_use]
    pub fn method(
        mut self,
        service: impl Into<Text>,
        endpoint: impl Into<Text>,
        settings: HystrixSettings,
    ) -> Self {
        self.0.method(service.into(), endpoint.into(), settings);
        self
    }

    /// Which errors are failures; the others count as successes. All, where nothing is said.
    #[must_use]
    pub fn failures(mut self, is: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.0.failures(is);
        self
    }

    /// What answers in place of a call that failed or was refused. A stream is opened by no message: for
    /// one, [`Failed::reply`] is the error again.
    ///
    /// ```
    /// use micro_runtime::wrapper::breaker::Hystrix;
    ///
    /// let breaker = Hystrix::new().fallback(|failed| async move {
    ///     match &*failed.method.endpoint {
    ///         "Greeter.Hello" => failed.reply(&"hello, whoever you are".to_owned()),
    ///         _ => Err(failed.error),
    ///     }
    /// });
    /// # let _ = breaker;
    /// ```
    #[must_use]
    pub fn fallback<F, R>(mut self, fallback: F) -> Self
    where
        F: Fn(Failed) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.0.fallback(fallback);
        self
    }

    /// Keeps at most so many circuits, forgetting the longest unused; 10,000.
    #[must_use]
    pub fn most(mut self, circuits: usize) -> Self {
        self.0.most(circuits);
        self
    }

    /// All circuits as they stand, by service and endpoint.
    pub fn circuits(&self) -> Vec<Circuit> {
        self.0.read(Instant::now())
    }
}

#[async_trait]
impl Wrapper for Hystrix {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        self.0.run(request, next).await
    }

    fn inspect(&self) -> Option<Inspected> {
        let settings = self.0.settings();
        let inspected = Inspected::new("breaker")
            .setting("of", "hystrix")
            .setting("timeout", settings.timeout)
            .setting("max_concurrent", settings.max_concurrent)
            .setting("volume", settings.volume)
            .setting("sleep", settings.sleep)
            .setting("error_percent", settings.error_percent)
            .setting("window", settings.window);
        Some(self.0.inspect(inspected))
    }
}

const BUCKETS: usize = 10;

/// One circuit: the calls of the last ten tenths of the window.
#[derive(Debug)]
pub(super) struct Window {
    origin: Instant,
    buckets: [Bucket; BUCKETS],
    running: u32,
    /// Since when it is open, or was last tested.
    open: Option<Instant>,
    /// The number of the test that runs.
    test: Option<u64>,
    tests: u64,
    /// The last test before it opened.
    before: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The tenth that it counts, from the origin on.
    number: u64,
    requests: u32,
    failures: u32,
}

impl Window {
    fn number(&self, settings: &HystrixSettings, now: Instant) -> u64 {
        let width = (settings.window / BUCKETS as u32).max(Duration::from_nanos(1));
        let passed = now.saturating_duration_since(self.origin);
        u64::try_from(passed.as_nanos() / width.as_nanos()).unwrap_or(u64::MAX)
    }

    fn note(&mut self, settings: &HystrixSettings, now: Instant, failed: bool) {
        let number = self.number(settings, now);
        let Some(bucket) = self.buckets.get_mut((number % BUCKETS as u64) as usize) else {
            return;
        };
        if bucket.number != number {
            *bucket = Bucket {
                number,
                ..Bucket::default()
            };
        }
        bucket.requests = bucket.requests.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(u32::from(failed));
        self.judge(settings, now);
    }

    /// Opens where too many have failed.
    fn judge(&mut self, settings: &HystrixSettings, now: Instant) {
        if self.open.is_some() {
            return;
        }
        let (requests, failures) = self.counted(settings, now);
        if requests == 0 || requests < settings.volume {
            return;
        }
        // As hystrix-go reckons: rounded to whole percents.
        let (all, failed) = (u64::from(requests), u64::from(failures));
        if (200 * failed + all) / (2 * all) >= u64::from(settings.error_percent) {
            self.open = Some(now);
            self.before = Some(self.tests);
        }
    }
}

impl Machine for Window {
    type Settings = HystrixSettings;
    /// The number of the test, where it is one.
    type Permit = Option<u64>;

    fn new(now: Instant) -> Self {
        Self {
            origin: now,
            buckets: [Bucket::default(); BUCKETS],
            running: 0,
            open: None,
            test: None,
            tests: 0,
            before: None,
        }
    }

    fn begin(&mut self, settings: &HystrixSettings, now: Instant) -> Result<Option<u64>, Stop> {
        // What went well may have left the window since.
        self.judge(settings, now);
        let left = self.opens_for(settings, now);
        if !left.is_zero() {
            self.note(settings, now, true);
            return Err(Stop::Open(left));
        }
        if self.running >= settings.max_concurrent {
            self.note(settings, now, true);
            return Err(Stop::Full);
        }
        self.running += 1;
        if self.open.is_none() {
            return Ok(None);
        }
        // A test that is not back by now is not waited for.
        self.open = Some(now);
        self.tests += 1;
        self.test = Some(self.tests);
        Ok(self.test)
    }

    fn end(&mut self, settings: &HystrixSettings, now: Instant, call: Option<u64>, how: Outcome) {
        self.running = self.running.saturating_sub(1);
        if call.is_some() && call == self.test {
            self.test = None;
        }
        // Any test since it opened, also one that took longer than the next had to wait.
        if self.open.is_some() && call > self.before && how == Outcome::Success {
            (self.open, self.test) = (None, None);
            self.buckets = [Bucket::default(); BUCKETS];
        }
        self.note(settings, now, how == Outcome::Failure);
    }

    fn state(&self) -> State {
        match (self.open, self.test) {
            (None, _) => State::Closed,
            (Some(_), None) => State::Open,
            (Some(_), Some(_)) => State::HalfOpen,
        }
    }

    fn counted(&self, settings: &HystrixSettings, now: Instant) -> (u32, u32) {
        let number = self.number(settings, now);
        let in_window = |bucket: &&Bucket| bucket.number + BUCKETS as u64 > number;
        self.buckets
            .iter()
            .filter(in_window)
            .fold((0, 0), |(requests, failures), bucket| {
                (
                    bucket.requests.saturating_add(requests),
                    bucket.failures.saturating_add(failures),
                )
            })
    }

    fn opens_for(&self, settings: &HystrixSettings, now: Instant) -> Duration {
        self.open.map_or(Duration::ZERO, |since| {
            let passed = now.saturating_duration_since(since);
            settings.sleep.saturating_sub(passed)
        })
    }

    fn timeout(settings: &HystrixSettings) -> Option<Duration> {
        Some(settings.timeout)
    }

    fn refused(service: &Text, stop: Stop) -> Error {
        let words = match stop {
            Stop::Open(_) => "hystrix: circuit open",
            Stop::Full => "hystrix: max concurrency",
        };
        Error::unavailable(service.to_string(), words)
    }
}
