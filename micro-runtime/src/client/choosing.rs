//! Which node a try goes to.

use std::sync::Arc;

use tokio::time::Instant;

use super::attempts::Attempts;
use super::destination::Destination;
use crate::call::Request;
use crate::error::Result;
use crate::registry::{NodeEntry, Nodes};
use crate::selector::{Pick, select};

impl Attempts {
    /// The node for this try: of those given by hand, or of the snapshot. `None` where the snapshot
    /// has none: then [`wait_and_choose`](Attempts::wait_and_choose).
    pub(super) fn choose(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        now: Instant,
    ) -> Result<Option<Arc<NodeEntry>>> {
        let addresses = &request.options.addresses;
        if !addresses.is_empty() {
            let given = self.directory.addresses(addresses);
            return self.select(&given, request, tried, now).map(Some);
        }
        let view = &to.view;
        if !view.is_ready() {
            return Ok(None);
        }
        Ok(self.select(&view.nodes(), request, tried, now).ok())
    }

    pub(super) async fn wait_and_choose(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        deadline: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let view = &to.view;
        if !view.is_ready() {
            view.ready(deadline).await?;
            if let Some(active) = &self.active {
                active.begin(self, to);
            }
            let chosen = self.select(&view.nodes(), request, tried, Instant::now());
            if chosen.is_ok() {
                return chosen;
            }
        }
        // Nothing known, or nothing fits: ask once before saying so.
        view.refresh(deadline).await?;
        self.select(&view.nodes(), request, tried, Instant::now())
    }

    fn select(
        &self,
        nodes: &Nodes,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        now: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let pick = Pick::at(self.directory.millis(now))
            .after(tried)
            .metadata(request.cx.metadata());
        select(nodes, &request.options.select, &self.select, pick)
    }
}
