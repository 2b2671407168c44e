//! What a service does at intervals, between its start and its stop.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::guarded::Function;
use crate::context::Context;
use crate::tasks::Tasks;

/// A function and the time between two runs of it.
pub(super) type Job = (Duration, Function<Context>);

/// The jobs of one running service.
#[derive(Debug)]
pub(super) struct Periodic {
    jobs: Vec<Job>,
    tasks: Tasks,
    closing: watch::Sender<bool>,
}

impl Periodic {
    pub(super) fn new(jobs: Vec<Job>, tasks: Tasks) -> Self {
        Self {
            jobs,
            tasks,
            closing: watch::Sender::new(false),
        }
    }

    /// Runs each job now, and at its intervals, in a task of its own.
    pub(super) fn start(&self) {
        for (every, job) in &self.jobs {
            let (every, job) = (*every, job.clone());
            let mut closing = self.closing.subscribe();
            self.tasks.spawn(async move {
                let first = Instant::now();
                loop {
                    run(&job).await;
                    tokio::select! {
                        biased;
                        _ = closing.wait_for(|closing| *closing) => return,
                        () = sleep(pause(first.elapsed(), every)) => {}
                    }
                }
            });
        }
    }

    /// Begins no run any more.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits for the runs that have begun, at most `limit`; then ends them. Gives how many it had to end.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        let _ = timeout(limit, self.tasks.idle()).await;
        let left = self.tasks.running();
        self.abort();
        // A run that blocks its thread never ends, and holds up no stop.
        let _ = timeout(ABORT_WAIT, self.tasks.idle()).await;
        left
    }

    /// Ends all at their next await.
    pub(super) fn abort(&self) {
        self.tasks.abort_all();
    }
}

/// How long a stop waits for a run that it has aborted.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// How long until the next whole interval since the first run, so that runs keep their times however
/// long they take.
fn pause(elapsed: Duration, every: Duration) -> Duration {
    let late = elapsed.as_nanos() % every.as_nanos().max(1);
    every.saturating_sub(Duration::from_nanos(
        u64::try_from(late).unwrap_or(u64::MAX),
    ))
}

async fn run(job: &Function<Context>) {
    let cx = Context::default();
    let _given_up = Cancel(cx.clone());
    if let Err(error) = cx.clone().scope(job.run(cx)).await {
        warn!(%error, "a periodic task failed, it runs again at its interval");
    }
}

/// Tells what a run has spawned that the run is over, however it ends.
struct Cancel(Context);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
