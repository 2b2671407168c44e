//! Go Micro's function: a service that serves one call, or one event, and is done.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Service;
use super::running::Running;
use super::signals::Signals;
use crate::call::{Next, Reply, Request, Wrapper};
use crate::error::Result;
use crate::router::Once;

impl Service {
    /// Starts, serves one call or one event, and stops: what Go Micro calls a function.
    ///
    /// The first call that comes is the one. Others are refused in a way that lets their callers try
    /// another node, the service is deregistered, and its answer is delivered before the service
    /// stops, however long the call takes. Calls of the `Debug` service do not count. After a first
    /// event no other is asked for, and those that have come already are handled. A signal (SIGINT,
    /// SIGTERM) stops the service before, as it does [`run`](Service::run).
    ///
    /// ```no_run
    /// # use micro_runtime::{Result, Service};
    /// # async fn example(handlers: impl micro_runtime::call::Dispatch) -> Result<()> {
    /// Service::new("resize").init()?.handle(handlers).serve_once().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// What made the start or a hook fail; not what the handler answers, which its caller gets.
    pub async fn serve_once(mut self) -> Result<()> {
        let once = Arc::new(Once::default());
        self.options.once = Some(once.clone());
        let begins = Arc::new(Begins(once.clone()));
        self.options.subscriber_wrappers.insert(0, begins);

        let mut signals = Signals::new()?;
        let mut running = tokio::select! {
            biased;
            opened = self.open() => opened?,
            () = signals.next() => return Ok(()),
        };
        if running.publish_unless(signals.next()).await? {
            running.announce();
            tokio::select! {
                biased;
                () = once.taken() => running.finish_unless(signals.next()).await,
                () = signals.next() => {}
            }
        }
        running.stop_unless(signals.next()).await
    }
}

impl Running {
    /// Takes nothing new and waits until what was taken is done, unless `stop` is done before.
    async fn finish_unless(&mut self, stop: impl Future<Output = ()>) {
        self.server.core().start_drain();
        // Nobody is to come any more, so nobody needs to be waited for.
        self.options.linger = Duration::ZERO;
        let finish = async {
            // A failure is logged, and tried again by the stop. A registry that is slow to answer must
            // not keep events coming.
            let _ = tokio::join!(self.heartbeat.end(), self.events.close());
            tokio::join!(
                self.server.stop(Duration::MAX),
                self.events.drain(Duration::MAX)
            );
        };
        tokio::select! {
            biased;
            () = finish => {}
            () = stop => {}
        }
    }
}

/// Tells that the first event is being handled.
struct Begins(Arc<Once>);

#[async_trait]
impl Wrapper for Begins {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        self.0.take();
        next.run(request).await
    }
}
