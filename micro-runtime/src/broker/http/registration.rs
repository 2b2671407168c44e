//! Keeps one subscription registered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::super::ID;
use crate::error::{Error, Result};
use crate::registry::{RegisterOptions, Registry, Service};
use crate::tasks::Tasks;

/// How long the registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after the first failure, twice as long after each further one, and at most; an interval
/// that is shorter bounds it too.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// What is registered, and how often.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) service: Service,
    pub(super) ttl: Duration,
    /// Zero for registering once.
    pub(super) interval: Duration,
}

/// How far a registration is.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// It was not tried yet.
    New,
    /// It was tried, and will be again.
    Kept,
    /// The registry has refused it: it cannot be named so.
    Refused(Error),
    /// It is taken back, or could not be.
    Left(Result<()>),
}

/// A subscription's registration, kept by a task of its own. Dropped, it is taken back.
#[derive(Debug)]
pub(super) struct Registration {
    wanted: watch::Sender<bool>,
    stage: watch::Receiver<Stage>,
}

impl Registration {
    /// Registers now and again at each interval, and when that fails sooner.
    pub(super) fn keep(entry: Entry, tasks: &Tasks) -> Self {
        let (wanted, left) = watch::channel(true);
        let (tell, stage) = watch::channel(Stage::New);
        let own = tasks.clone();
        tasks.spawn(async move { entry.keep(&own, left, &tell).await });
        Self { wanted, stage }
    }

    /// Waits until registering was tried once.
    ///
    /// # Errors
    /// Where the registry refuses it for what it is. It is tried on until nobody holds it.
    pub(super) async fn tried(&self) -> Result<()> {
        let mut stage = self.stage.clone();
        match stage
            .wait_for(|stage| *stage != Stage::New)
            .await
            .as_deref()
        {
            Ok(Stage::Refused(error)) => Err(error.clone()),
            // A task that was stopped tries no more.
            _ => Ok(()),
        }
    }

    /// Has it taken back, without waiting.
    pub(super) fn leave(&self) {
        self.wanted.send_replace(false);
    }

    /// Waits until it is taken back.
    ///
    /// # Errors
    /// Where the registry could not be told; the registration ends with its TTL.
    pub(super) async fn left(&self) -> Result<()> {
        self.leave();
        let mut stage = self.stage.clone();
        match stage
            .wait_for(|stage| matches!(stage, Stage::Left(_)))
            .await
        {
            Ok(stage) => match &*stage {
                Stage::Left(result) => result.clone(),
                Stage::New | Stage::Kept | Stage::Refused(_) => Ok(()),
            },
            Err(_) => Err(Error::unavailable(
                ID,
                "the broker was stopped before the subscription was deregistered",
            )),
        }
    }
}

impl Entry {
    async fn keep(
        self,
        tasks: &Tasks,
        mut wanted: watch::Receiver<bool>,
        tell: &watch::Sender<Stage>,
    ) {
        let mut failures = 0;
        let mut refused = false;
        let once = self.interval.is_zero();
        let interval = if once { Duration::MAX } else { self.interval };
        while *wanted.borrow() {
            let options = RegisterOptions::with_ttl(self.ttl);
            let registered = bounded(self.registry.register(&self.service, options)).await;
            refused = matches!(&registered, Err(error) if error.code() == 400);
            tell.send_replace(match &registered {
                Err(error) if refused => Stage::Refused(error.clone()),
                _ => Stage::Kept,
            });
            let pause = match registered {
                Ok(()) => {
                    failures = 0;
                    interval
                }
                Err(error) => {
                    let node = self.node();
                    if failures == 0 {
                        warn!(node, %error, "a subscription could not be registered; until it is, others may not know of it");
                    } else {
                        debug!(node, %error, "a subscription could still not be registered");
                    }
                    let pause = PAUSE.0.saturating_mul(1 << failures.min(10));
                    let pause = pause.min(PAUSE.1).min(interval);
                    failures += 1;
                    pause / 2 + tasks.up_to(pause / 2)
                }
            };
            // Registering is not cut off: what was asked of the registry could be done after the
            // deregistration, and undo it.
            let _ = timeout(pause, wanted.wait_for(|wanted| !*wanted)).await;
            if wanted.has_changed().is_err() {
                // Whoever wanted it is gone.
                break;
            }
        }
        let left = bounded(self.registry.deregister(&self.service)).await;
        // What was refused may not be deregistered either.
        if let Err(error) = &left
            && !refused
        {
            warn!(node = self.node(), %error, "a subscription could not be deregistered, its registration ends with its TTL");
        }
        tell.send_replace(Stage::Left(left));
    }

    fn node(&self) -> &str {
        self.service.nodes.first().map_or("", |node| &node.id)
    }
}

async fn bounded(asked: impl Future<Output = Result<()>>) -> Result<()> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::timeout(
            ID,
            format!("the registry did not answer within {PATIENCE:?}"),
        )),
    }
}
