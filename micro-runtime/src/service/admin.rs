//! What the admin listener is told of a service.

use std::sync::Arc;

use super::Service;
use super::heartbeat::Heartbeat;
use super::options::Options;
use super::settings::lines;
use crate::admin::{About, Admin, Setting, Sources};
use crate::client::Client;
use crate::error::Result;
use crate::event::Subscribers;
use crate::server::{Health, Server};

/// The parts of a service that is being started.
pub(super) struct Started<'a> {
    pub(super) options: &'a Options,
    pub(super) server: &'a Server,
    pub(super) address: &'a str,
    pub(super) client: &'a Client,
    pub(super) health: &'a Health,
    pub(super) events: &'a Arc<Subscribers>,
    pub(super) heartbeat: &'a Heartbeat,
    pub(super) settings: Vec<Setting>,
}

impl Service {
    /// All settings with where their values come from.
    pub(super) fn shown_settings(&self) -> Vec<Setting> {
        let code = self.options.explained();
        let lines = lines(&self.origins, &code).into_iter();
        lines
            .map(|line| Setting {
                name: line.name,
                value: line.value,
                source: line.source.to_string(),
            })
            .collect()
    }
}

impl Started<'_> {
    /// The admin listener, where one is asked for.
    ///
    /// # Errors
    /// Where its address is wrong or cannot be had.
    pub(super) async fn admin(self) -> Result<Option<Admin>> {
        let Some(address) = &self.options.admin else {
            return Ok(None);
        };
        let (options, entry) = (self.options, self.heartbeat.entry());
        let node = entry.nodes.first();
        #[cfg(feature = "tls")]
        let tls = options.server_tls.is_some();
        #[cfg(not(feature = "tls"))]
        let tls = false;
        let about = About {
            name: entry.name.clone(),
            version: entry.version.clone(),
            node: node.map(|node| node.id.clone()).unwrap_or_default(),
            address: self.address.to_owned(),
            advertised: node.map(|node| node.address.clone()).unwrap_or_default(),
            registry: self.heartbeat.registry().name().to_owned(),
            protocols: self.server.protocols().collect(),
            tls,
            started: options.tasks.now(),
        };
        self.client.failures().switch_on(&options.tasks);
        let sources = Sources {
            about,
            core: self.server.core().clone(),
            connections: self.server.open_connections(),
            client: self.client.clone(),
            health: self.health.clone(),
            events: self.events.clone(),
            registered: self.heartbeat.watch(),
            settings: self.settings,
            tasks: options.tasks.clone(),
        };
        Admin::open(address, sources).await.map(Some)
    }
}
