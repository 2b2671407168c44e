//! A service's life: start, heartbeat, stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::hooks::{Hooks, Moment};
use super::options::Options;
use super::{ID, Service};
use crate::broker::Broker;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::event::Subscribers;
use crate::registry::{self, RegisterOptions, Registry};
use crate::router::Core;
use crate::server::Server;
use crate::tasks::Tasks;

/// How often registering is tried before a start fails, as in Go Micro.
const REGISTER_TRIES: u32 = 3;
/// How long one try to reach the registry may take.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

impl Service {
    /// Starts, serves until the process is asked to stop (SIGINT, SIGTERM), and stops.
    ///
    /// A second signal stops at once what still runs.
    ///
    /// # Errors
    /// What made the start or a hook fail.
    pub async fn run(self) -> Result<()> {
        let mut signals = super::signals::Signals::new()?;
        let mut running = tokio::select! {
            biased;
            opened = self.open() => opened?,
            () = signals.next() => return Ok(()),
        };
        if running.publish_unless(signals.next()).await? {
            running.announce();
            signals.next().await;
        }
        info!("stopping");
        tokio::select! {
            biased;
            stopped = running.stop() => stopped,
            () = signals.next() => Err(Error::unavailable(ID, "stopped at once, by a second signal")),
        }
    }

    /// Starts, serves until `stop` is done, and stops. A start that is still under way then is undone.
    ///
    /// # Errors
    /// What made the start or a hook fail.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let mut stop = pin!(stop);
        let mut running = tokio::select! {
            biased;
            opened = self.open() => opened?,
            () = &mut stop => return Ok(()),
        };
        if running.publish_unless(&mut stop).await? {
            stop.await;
        }
        running.stop().await
    }

    /// Starts: hooks, listener, registration, heartbeat. The service serves until it is stopped.
    ///
    /// # Errors
    /// Where a hook fails, the address is taken, two services share a name, TLS is not usable, or
    /// the registry refuses. Nothing is left of a start that fails.
    pub async fn start(self) -> Result<Running> {
        let mut running = self.open().await?;
        running.publish_unless(std::future::pending()).await?;
        Ok(running)
    }

    /// The first half of a start: nobody is told of the service yet.
    async fn open(mut self) -> Result<Running> {
        if cfg!(panic = "abort") {
            return Err(Error::internal(
                ID,
                "built with panic = \"abort\": a handler's panic would end the process; use \"unwind\"",
            ));
        }
        if self.name().trim().is_empty() {
            return Err(Error::bad_request(
                ID,
                "a service needs a name to be found by",
            ));
        }
        // Options that are wrong together show here, before anything is opened.
        if self.client.get().is_none() {
            let client = self.make_client()?;
            let _ = self.client.set(client);
        }
        let client = self.client().clone();
        let options = self.effective()?;
        self.hooks.run(Moment::BeforeStart).await?;

        let registry = self.registry_of(&options)?;
        let broker = self.broker_of(&options)?;
        let to_listen = options.listen_address(registry.reach());
        let listener = options.transport.listen(to_listen).await?;
        let address = listener.address().to_owned();
        let server = self.server(&options, &address)?;
        server.start(listener);

        let entry = self.entry(&options, &server, &address, &*registry, &*broker);
        let events = self.subscribers(&options, broker.clone());
        let hooks = self.hooks;
        let heartbeat = options.tasks.group();
        Ok(Running {
            server,
            address,
            entry,
            registry,
            broker,
            events,
            client,
            hooks,
            options,
            heartbeat,
        })
    }
}

/// A service that serves, until it is [stopped](Running::stop).
///
/// Dropped, it stops at once: calls are cut off, hooks do not run, and its registration ends with
/// its TTL.
#[derive(Debug)]
pub struct Running {
    server: Server,
    address: String,
    entry: registry::Service,
    registry: Arc<dyn Registry>,
    broker: Arc<dyn Broker>,
    events: Subscribers,
    client: Client,
    hooks: Hooks,
    options: Options,
    heartbeat: Tasks,
}

impl Running {
    /// The address it listens on, with the port that was found.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the registry was told.
    pub fn entry(&self) -> &registry::Service {
        &self.entry
    }

    /// Its client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What carries its events, for messages with a header and body of one's own.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Its server's core: counters, limits, routes.
    pub fn core(&self) -> &Arc<Core> {
        self.server.core()
    }

    /// Stops: hooks, deregistration, no new events, a while of serving on, no new calls, drain of both,
    /// hooks.
    ///
    /// # Errors
    /// The first failure of a stop hook, or of deregistration. The service is stopped all the same.
    pub async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        let mut first = self.hooks.run_all(Moment::BeforeStop).await;
        self.heartbeat.abort_all();
        // A renewal that overtook the deregistration would undo it.
        let _ = timeout(REGISTRY_TIMEOUT, self.heartbeat.idle()).await;
        if let Err(error) = bounded(self.registry.deregister(&self.entry)).await {
            warn!(%error, "the service could not be deregistered, its registration ends with its TTL");
            first = first.and(Err(error));
        }
        self.events.close().await;
        // Callers still have the node in their snapshots.
        sleep(self.options.linger).await;
        let drain = self.options.drain;
        let (calls, events) = tokio::join!(self.server.stop(drain), self.events.drain(drain));
        if calls + events > 0 {
            warn!(
                calls,
                events, "calls and events were cut off at the end of the drain limit"
            );
        }
        if let Err(error) = bounded(self.broker.disconnect()).await {
            warn!(%error, "the broker could not be disconnected in order");
        }
        first.and(self.hooks.run_all(Moment::AfterStop).await)
    }

    /// The second half of a start: registers, keeps it so and runs the hooks, unless `stop` is done
    /// before. Says whether it did; where it fails, nothing is left.
    async fn publish_unless(&mut self, stop: impl Future<Output = ()>) -> Result<bool> {
        let mut stop = pin!(stop);
        let registered = tokio::select! {
            biased;
            registered = self.register_and_subscribe() => registered,
            () = &mut stop => return Ok(false),
        };
        if let Err(error) = registered {
            // What was not answered may have been done.
            let _ = bounded(self.registry.deregister(&self.entry)).await;
            self.events.abort();
            let _ = bounded(self.broker.disconnect()).await;
            self.server.stop(Duration::ZERO).await;
            return Err(error);
        }
        self.beat();
        let hooked = tokio::select! {
            biased;
            hooked = self.hooks.run(Moment::AfterStart) => hooked,
            () = stop => return Ok(false),
        };
        if let Err(error) = hooked {
            // The hook's failure is what went wrong; a stop that fails too is logged there.
            let _ = self.end().await;
            return Err(error);
        }
        Ok(true)
    }

    /// In this order, as Go Micro: who is told of an event by us finds us.
    async fn register_and_subscribe(&self) -> Result<()> {
        self.register().await?;
        self.events.open().await
    }

    /// Registers, trying a few times as Go Micro does.
    async fn register(&self) -> Result<()> {
        let mut tried = 0;
        loop {
            let options = RegisterOptions::with_ttl(self.options.register_ttl);
            match bounded(self.registry.register(&self.entry, options)).await {
                Ok(()) => return Ok(()),
                Err(error) if tried + 1 >= REGISTER_TRIES => return Err(error),
                Err(error) => warn!(%error, "registering failed, trying again"),
            }
            tried += 1;
            sleep(Duration::from_millis(100) * tried).await;
        }
    }

    /// Registers again and again, so that the registration does not end with its TTL.
    fn beat(&self) {
        let interval = self.options.register_interval;
        if interval.is_zero() {
            return;
        }
        let (registry, entry, ttl) = (
            self.registry.clone(),
            self.entry.clone(),
            self.options.register_ttl,
        );
        self.heartbeat.spawn(async move {
            let mut pause = interval;
            loop {
                sleep(pause).await;
                pause = interval;
                if let Err(error) =
                    bounded(registry.register(&entry, RegisterOptions::with_ttl(ttl))).await
                {
                    warn!(%error, "the registration could not be renewed");
                    // The TTL is as a rule two intervals: a whole one more would be too late.
                    pause = interval / 4;
                }
            }
        });
    }

    /// Says once what serves where. Without a subscriber of logs a person sees it all the same.
    fn announce(&self) {
        let node = self.entry.nodes.first();
        let advertised = node.map_or("", |node| &node.address);
        let protocols: Vec<_> = self.server.protocols().collect();
        let (name, protocols, registry) =
            (&self.entry.name, protocols.join(","), self.registry.name());
        let tls = if self.has_tls() { "on" } else { "off" };
        if tracing::dispatcher::has_been_set() {
            info!(service = %name, address = %self.address, advertised, registry, protocols, tls, "serving");
        } else {
            eprintln!(
                "{name} serves on {} (advertised {advertised}, registry {registry}, protocols {protocols}, TLS {tls})",
                self.address
            );
        }
    }

    #[cfg(feature = "tls")]
    fn has_tls(&self) -> bool {
        self.options.server_tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn has_tls(&self) -> bool {
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.heartbeat.abort_all();
        self.server.abort();
        self.events.abort();
    }
}

/// A registry that does not answer holds up neither start nor stop.
async fn bounded(asked: impl Future<Output = Result<()>>) -> Result<()> {
    match timeout(REGISTRY_TIMEOUT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::timeout(
            ID,
            format!("the registry or the broker did not answer within {REGISTRY_TIMEOUT:?}"),
        )),
    }
}
