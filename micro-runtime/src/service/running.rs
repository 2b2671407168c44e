//! A service's life: start and stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::admin::Started;
use super::heartbeat::{First, Heartbeat};
use super::hooks::{Hooks, Moment};
use super::options::Options;
use super::periodic::Periodic;
use super::{ID, Service};
use crate::admin::Admin;
use crate::broker::Broker;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::event::Subscribers;
use crate::registry::{self, may_name_sockets};
use crate::router::Core;
use crate::server::{Health, Server};
use crate::transport::is_unix;

/// How long the broker may take to end its connection.
const DISCONNECT: Duration = Duration::from_secs(10);

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
        running.stop_unless(signals.next()).await
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
    pub(super) async fn open(mut self) -> Result<Running> {
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
        if self.periodic.iter().any(|(every, _)| every.is_zero()) {
            return Err(Error::bad_request(
                ID,
                "a periodic task needs a time between its runs",
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
        if is_unix(options.advertise.as_deref().unwrap_or(to_listen))
            && !may_name_sockets(&*registry)
        {
            let words = format!(
                "others cannot dial {to_listen}, and the registry {} tells it to them: choose the registry local or memory, or advertise an address of the network",
                registry.name()
            );
            return Err(Error::bad_request(ID, words));
        }
        let listener = options.transport.listen(to_listen).await?;
        let address = listener.address().to_owned();
        let events = Arc::new(self.subscribers(&options, broker.clone()));
        let server = self.server(&options, &address, &events)?;
        let entry = self.entry(&options, &server, &address, &*registry, &*broker);
        let settings = self.shown_settings();
        let periodic = Periodic::new(self.periodic, options.tasks.group());
        let hooks = self.hooks;
        let heartbeat = Heartbeat::new(registry, entry, &options, &self.health);
        let started = Started {
            options: &options,
            server: &server,
            address: &address,
            client: &client,
            health: &self.health,
            events: &events,
            heartbeat: &heartbeat,
            settings,
        };
        let admin = started.admin().await?;
        server.start(listener);
        Ok(Running {
            admin,
            server,
            address,
            broker,
            events,
            periodic,
            client,
            health: self.health,
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
    pub(super) server: Server,
    address: String,
    broker: Arc<dyn Broker>,
    pub(super) events: Arc<Subscribers>,
    periodic: Periodic,
    client: Client,
    health: Health,
    hooks: Hooks,
    pub(super) options: Options,
    pub(super) heartbeat: Heartbeat,
    admin: Option<Admin>,
}

impl Running {
    /// The address it listens on, with the port that was found.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address that its admin listener listens on, where it has one.
    pub fn admin_address(&self) -> Option<&str> {
        self.admin.as_ref().map(Admin::address)
    }

    /// What the registry was told.
    pub fn entry(&self) -> &registry::Service {
        self.heartbeat.entry()
    }

    /// Its client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What health checks are told.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What carries its events, for messages with a header and body of one's own.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// How many connections to it are open.
    pub fn connections(&self) -> usize {
        self.server.connections()
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

    /// Stops, unless `again` is done before.
    pub(super) async fn stop_unless(self, again: impl Future<Output = ()>) -> Result<()> {
        info!("stopping");
        tokio::select! {
            biased;
            stopped = self.stop() => stopped,
            () = again => Err(Error::unavailable(ID, "stopped at once, by a second signal")),
        }
    }

    async fn end(&mut self) -> Result<()> {
        self.health.set_runs(false);
        if let Some(admin) = &self.admin {
            admin.begin_stop();
        }
        self.periodic.close();
        let mut first = self.hooks.run_all(Moment::BeforeStop).await;
        // Side by side, so that a registry that hangs holds up a stop once.
        let (left, ()) = tokio::join!(self.heartbeat.end(), self.events.close());
        first = first.and(left);
        // Callers still have the node in their snapshots.
        sleep(self.options.linger).await;
        self.health.close();
        let drain = self.options.drain;
        let (calls, events, periodic) = tokio::join!(
            self.server.stop(drain),
            self.events.drain(drain),
            self.periodic.drain(drain)
        );
        if calls + events + periodic > 0 {
            warn!(
                calls,
                events, periodic, "what ran was cut off at the end of the drain limit"
            );
        }
        disconnect(&*self.broker).await;
        first = first.and(self.hooks.run_all(Moment::AfterStop).await);
        // Until here a person sees what a stop waits for.
        if let Some(admin) = &self.admin {
            admin.close().await;
        }
        first
    }

    /// The second half of a start: registers, keeps it so and runs the hooks, unless `stop` is done
    /// before. Says whether it did; where it fails, nothing is left.
    pub(super) async fn publish_unless(&mut self, stop: impl Future<Output = ()>) -> Result<bool> {
        let mut stop = pin!(stop);
        let registered = tokio::select! {
            biased;
            registered = register_and_subscribe(&self.heartbeat, &self.events) => registered,
            () = &mut stop => return Ok(false),
        };
        if let Err(error) = registered {
            // What was refused in part may have been done in part.
            let _ = self.heartbeat.end().await;
            self.events.abort();
            disconnect(&*self.broker).await;
            self.health.close();
            self.server.stop(Duration::ZERO).await;
            return Err(error);
        }
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
        self.periodic.start();
        self.health.set_runs(true);
        Ok(true)
    }

    /// Says once what serves where. Without a subscriber of logs a person sees it all the same.
    pub(super) fn announce(&self) {
        let entry = self.entry();
        let node = entry.nodes.first();
        let advertised = node.map_or("", |node| &node.address);
        let protocols: Vec<_> = self.server.protocols().collect();
        let (name, protocols, registry) = (
            &entry.name,
            protocols.join(","),
            self.heartbeat.registry().name(),
        );
        let tls = if self.has_tls() { "on" } else { "off" };
        let admin = self.admin_address();
        if tracing::dispatcher::has_been_set() {
            info!(service = %name, address = %self.address, advertised, registry, protocols, tls, admin, "serving");
        } else {
            let admin = admin.map(|admin| format!(", admin http://{admin}/"));
            eprintln!(
                "{name} serves on {} (advertised {advertised}, registry {registry}, protocols {protocols}, TLS {tls}{})",
                self.address,
                admin.unwrap_or_default()
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
        self.heartbeat.abort();
        self.server.abort();
        self.events.abort();
        self.periodic.abort();
        if let Some(admin) = &self.admin {
            admin.abort();
        }
    }
}

/// In this order, as Go Micro: who is told of an event by us finds us.
async fn register_and_subscribe(heartbeat: &Heartbeat, events: &Arc<Subscribers>) -> Result<()> {
    let first = heartbeat.begin().await?;
    if first == First::Unwell {
        // Events would fail; they come with the first registration, as in Go Micro.
        let events = events.clone();
        heartbeat.once_registered(async move {
            if let Err(error) = events.open().await {
                warn!(%error, "the service is not subscribed");
            }
        });
    } else {
        events.open().await?;
    }
    heartbeat.go_on(first);
    Ok(())
}

async fn disconnect(broker: &dyn Broker) {
    match timeout(DISCONNECT, broker.disconnect()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "the broker could not be disconnected in order"),
        Err(_) => warn!("the broker does not disconnect"),
    }
}
