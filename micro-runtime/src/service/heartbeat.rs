//! Keeps a service known to its registry, as long as it is well.
//!
//! One task, one state: the registry knows the service, or it does not. A check that fails takes the
//! service out once, one that succeeds again puts it back once; a registry that does not answer is
//! asked again and never ends the service.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::guarded::Function;
use super::options::Options;
use super::{ID, tell};
use crate::error::{Error, Result};
use crate::registry::{self, RegisterOptions, Registry};
use crate::server::Health;
use crate::tasks::{Tasks, later};

/// How often a start tries to register, as in Go Micro, before the rest is done while serving.
const FIRST_TRIES: u32 = 3;
/// How long one question to the registry may take, and all those of a start together.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for a registration that is under way.
const LAST_WAIT: Duration = Duration::from_secs(3);
/// The longest that a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a service that was never registered waits before it tries again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of a service that is not renewed at intervals.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The registration of one running service.
#[derive(Debug)]
pub(super) struct Heartbeat {
    beat: Arc<Beat>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Beat {
    registry: Arc<dyn Registry>,
    entry: registry::Service,
    ttl: Duration,
    interval: Duration,
    check: Option<Function<()>>,
    /// Told what the check finds.
    health: Health,
    /// Whether the registry may know the service: it was told, and not told otherwise since.
    told: AtomicBool,
    /// Whether it was ever registered.
    ever: watch::Sender<bool>,
    /// Apart from [`Heartbeat::tasks`], which ends: for random numbers.
    chance: Tasks,
    /// Registrations under way. What a registry was asked for cannot be taken back: one that is given
    /// up could be done after the deregistration that follows it.
    under_way: Tasks,
}

impl Heartbeat {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        entry: registry::Service,
        options: &Options,
        health: &Health,
    ) -> Self {
        let (ttl, interval) = (options.register_ttl, options.register_interval);
        if let Some(advice) = advice(ttl, interval) {
            tell(&advice);
        }
        Self {
            beat: Arc::new(Beat {
                registry,
                entry,
                ttl,
                interval,
                check: options.register_check.clone(),
                health: health.clone(),
                told: AtomicBool::new(false),
                ever: watch::Sender::new(false),
                chance: options.tasks.clone(),
                under_way: options.tasks.group(),
            }),
            tasks: options.tasks.group(),
        }
    }

    /// What the registry is told.
    pub(super) fn entry(&self) -> &registry::Service {
        &self.beat.entry
    }

    pub(super) fn registry(&self) -> &dyn Registry {
        &*self.beat.registry
    }

    /// Whether the registry may know the service.
    pub(super) fn is_told(&self) -> bool {
        self.beat.told.load(Ordering::Acquire)
    }

    /// Whether the registry knows the service, for who asks later.
    pub(super) fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        let beat = self.beat.clone();
        // It may have been told and not have understood, until it has once.
        Box::new(move || beat.told.load(Ordering::Acquire) && *beat.ever.borrow())
    }

    /// Registers for the first time, unless the check fails or the registry does not answer: both
    /// may pass, and [`go_on`](Self::go_on) tries again.
    ///
    /// # Errors
    /// Where the registry refuses, since it will refuse again: the name is not possible there, or the
    /// service may not register.
    pub(super) async fn begin(&self) -> Result<First> {
        if let Err(error) = self.beat.check().await {
            tell(&format!(
                "the service starts without being registered, since its check fails: {error}"
            ));
            return Ok(First::Unwell);
        }
        let tried = timeout(REGISTRY_TIMEOUT, self.beat.first_tries()).await;
        match tried.unwrap_or_else(|_| Err(silent())) {
            Ok(()) => Ok(First::Registered),
            Err(error) if is_refusal(&error) => Err(error),
            Err(error) => {
                tell(&format!(
                    "the service starts without being registered, and goes on trying: {error}"
                ));
                Ok(First::Unanswered)
            }
        }
    }

    /// Keeps the service known from now on.
    pub(super) fn go_on(&self, first: First) {
        let place = match first {
            First::Registered => Place::In,
            First::Unwell | First::Unanswered => Place::New,
        };
        self.tasks.spawn(self.beat.clone().keep(place));
    }

    /// Runs `then` once the service is registered, unless it stops before.
    pub(super) fn once_registered(&self, then: impl Future<Output = ()> + Send + 'static) {
        let mut ever = self.beat.ever.subscribe();
        self.tasks.spawn(async move {
            if ever.wait_for(|ever| *ever).await.is_ok() {
                then.await;
            }
        });
    }

    /// Ends the registration, and waits for that.
    ///
    /// # Errors
    /// Where the registry does not answer; the registration then ends with its TTL.
    pub(super) async fn end(&self) -> Result<()> {
        self.tasks.abort_all();
        // A renewal that overtook the deregistration would undo it.
        let _ = timeout(LAST_WAIT, async {
            self.tasks.idle().await;
            self.beat.under_way.idle().await;
        })
        .await;
        self.beat.under_way.abort_all();
        if !self.is_told() {
            return Ok(());
        }
        let done = self.beat.deregister().await;
        if let Err(error) = &done {
            warn!(%error, "the service could not be deregistered, its registration ends with its TTL");
        }
        done
    }

    /// Renews nothing any more.
    pub(super) fn abort(&self) {
        self.tasks.abort_all();
        self.beat.under_way.abort_all();
    }
}

impl Beat {
    async fn check(&self) -> Result<()> {
        let checked = self.ask().await;
        self.health.set_well(checked.is_ok());
        checked
    }

    async fn ask(&self) -> Result<()> {
        let Some(check) = &self.check else {
            return Ok(());
        };
        // Within half an interval, so that a slow check lets no registration end.
        let limit = match self.interval {
            Duration::ZERO => CHECK_TIMEOUT,
            interval => CHECK_TIMEOUT.min(interval / 2),
        };
        match timeout(limit, check.run(())).await {
            Ok(checked) => checked,
            Err(_) => Err(Error::timeout(
                ID,
                format!("the check did not answer within {limit:?}"),
            )),
        }
    }

    async fn first_tries(&self) -> Result<()> {
        let mut tried = 0;
        loop {
            match self.register().await {
                Err(error) if tried + 1 < FIRST_TRIES && !is_refusal(&error) => {
                    debug!(%error, "registering failed, trying again");
                }
                done => return done,
            }
            tried += 1;
            sleep(Duration::from_millis(100) * tried).await;
        }
    }

    async fn register(&self) -> Result<()> {
        // What is not answered may be done all the same.
        self.told.store(true, Ordering::Release);
        let options = RegisterOptions::with_ttl(self.ttl);
        let (registry, entry) = (self.registry.clone(), self.entry.clone());
        let (answer, answered) = oneshot::channel();
        self.under_way.spawn(async move {
            let _ = answer.send(bounded(registry.register(&entry, options)).await);
        });
        answered.await.unwrap_or_else(|_| Err(silent()))?;
        self.ever.send_replace(true);
        Ok(())
    }

    async fn deregister(&self) -> Result<()> {
        bounded(self.registry.deregister(&self.entry)).await?;
        self.told.store(false, Ordering::Release);
        Ok(())
    }

    /// Checks, and registers, renews or deregisters, again and again.
    async fn keep(self: Arc<Self>, mut place: Place) {
        let (mut began, mut failures) = (Instant::now(), 0);
        let mut pause = self.pause(place, 0);
        while let Some(wait) = pause {
            // From the beginning of the last round, so that a slow one does not put off the next.
            sleep_until(later(began, wait)).await;
            began = Instant::now();
            match self.step(place).await {
                Ok(Place::New) => failures += 1,
                Ok(now) => {
                    if now == Place::In && (failures > 0 || place != Place::In) {
                        info!("the service is registered");
                    }
                    (place, failures) = (now, 0);
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(%error, "the registry could not be told of the service, trying again");
                    }
                    failures += 1;
                }
            }
            pause = self.pause(place, failures);
        }
    }

    /// One round; gives where the service is then. Where it fails, nothing has changed.
    async fn step(&self, place: Place) -> Result<Place> {
        let Err(unwell) = self.check().await else {
            self.register().await?;
            return Ok(Place::In);
        };
        if !self.told.load(Ordering::Acquire) {
            return Ok(place);
        }
        self.deregister().await?;
        warn!(error = %unwell, "the service is deregistered, since its check fails");
        Ok(Place::Out)
    }

    /// How long until the next round, after so many that failed; `None` where there is none.
    fn pause(&self, place: Place, failures: u32) -> Option<Duration> {
        let longest = match self.interval {
            Duration::ZERO => LONGEST_PAUSE,
            interval => interval,
        };
        match (place, failures) {
            (Place::New, _) => {
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << failures.min(8))
                    .min(longest);
                // Not all services at once, where they wait for the same registry.
                Some(pause / 2 + self.chance.up_to(pause / 2))
            }
            (_, 0) => Some(self.interval).filter(|interval| !interval.is_zero()),
            // The TTL is as a rule two intervals: a whole one more would be too late.
            _ => Some(longest / 4),
        }
    }
}

/// What the first round of a start came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The service is registered.
    Registered,
    /// Its check fails.
    Unwell,
    /// The registry does not answer, or not with yes.
    Unanswered,
}

/// Where a service stands with its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It was never registered.
    New,
    /// It is registered.
    In,
    /// Its check fails, so that it was taken out.
    Out,
}

/// Whether asking again is no use: the registry has understood, and says no.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), 400..=499) && !matches!(error.code(), 408 | 425 | 429)
}

/// A registry that does not answer holds up neither start nor stop.
async fn bounded(asked: impl Future<Output = Result<()>>) -> Result<()> {
    let answer = timeout(REGISTRY_TIMEOUT, asked).await;
    answer.unwrap_or_else(|_| Err(silent()))
}

fn silent() -> Error {
    Error::timeout(
        ID,
        format!("the registry did not answer within {REGISTRY_TIMEOUT:?}"),
    )
}

/// What is wrong with how long a registration holds and how often it is renewed.
fn advice(ttl: Duration, interval: Duration) -> Option<String> {
    if ttl.is_zero() || (interval < ttl && !interval.is_zero()) {
        return None;
    }
    let renewed = match interval {
        Duration::ZERO => "never".to_owned(),
        interval => format!("every {interval:?}"),
    };
    Some(format!(
        "a registration holds for {ttl:?} (register_ttl) and is renewed {renewed} (register_interval): others lose sight of this service in between"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_that_ends_before_it_is_renewed_is_warned_of() {
        let seconds = Duration::from_secs;
        for (ttl, interval, words) in [
            (60, 30, None),
            (0, 30, None),
            (0, 0, None),
            (30, 30, Some("renewed every 30s")),
            (30, 40, Some("renewed every 40s")),
            (30, 0, Some("renewed never")),
        ] {
            let advice = advice(seconds(ttl), seconds(interval));
            assert_eq!(advice.is_some(), words.is_some(), "{ttl} {interval}");
            assert!(
                advice
                    .unwrap_or_default()
                    .contains(words.unwrap_or_default())
            );
        }
    }
}
