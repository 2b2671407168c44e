//! Which node a try goes to.

use std::sync::Arc;

use tokio::time::Instant;

use super::attempts::{Attempts, no_time, too_late};
use super::destination::Destination;
use super::schema::none_understands;
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
        now: u64,
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
        Ok(self.among(to, request, tried, now).ok())
    }

    /// One of the nodes of the snapshot that are known to understand the call.
    fn among(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        now: u64,
    ) -> Result<Arc<NodeEntry>> {
        let nodes = to.view.nodes();
        let check = to.check.as_ref();
        let Some(check) = check.filter(|check| !check.is_passed_by(&nodes)) else {
            return self.select(&nodes, request, tried, now);
        };
        let ruling = self.rule(check, &nodes);
        let nodes = match &*ruling {
            Some(ruling) => ruling.nodes(check, &nodes, &request.method),
            None => &nodes,
        };
        self.select(nodes, request, tried, now)
    }

    /// As [`among`](Self::among), or one of which it could not be found out in time whether it
    /// understands the call.
    async fn among_settled(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        deadline: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let chosen = self.among(to, request, tried, self.now());
        let Some(check) = to.check.as_ref().filter(|_| chosen.is_err()) else {
            return chosen;
        };
        self.settle(check, &to.view, &request.method, deadline)
            .await;
        let chosen = self.among(to, request, tried, self.now());
        if chosen.is_ok() {
            return chosen;
        }
        let nodes = to.view.nodes();
        let ruling = self.rule(check, &nodes);
        let unbarred = ruling
            .as_ref()
            .and_then(|ruling| ruling.unless_barred(check, &nodes, &request.method));
        match unbarred {
            None => self.select(&nodes, request, tried, self.now()),
            Some(unbarred) if unbarred.list.is_empty() => {
                Err(none_understands(check, &nodes, &request.method))
            }
            Some(unbarred) => self.select(&unbarred, request, tried, self.now()),
        }
    }

    /// As [`choose`](Self::choose), where nodes are not known yet or none fits: waits for that, until
    /// the call's deadline.
    pub(super) async fn wait_and_choose(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        deadline: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let entry = self.wait_for_one(to, request, tried, deadline).await?;
        if too_late(Instant::now(), deadline) {
            entry.release();
            return Err(no_time(tried));
        }
        Ok(entry)
    }

    async fn wait_for_one(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        deadline: Instant,
    ) -> Result<Arc<NodeEntry>> {
        let view = &to.view;
        let fresh = !view.is_ready();
        if fresh {
            // Before it is waited for: a call that does not live to see it finds nobody to begin later.
            self.check_actively(to);
            view.ready(deadline).await?;
            self.check_actively(to);
        }
        if fresh || to.check.is_some() {
            let chosen = self.among_settled(to, request, tried, deadline).await;
            if chosen.is_ok() {
                return chosen;
            }
        }
        // Nothing known, or nothing fits: ask once before saying so.
        view.refresh(deadline).await?;
        self.among_settled(to, request, tried, deadline).await
    }

    fn check_actively(&self, to: &Destination) {
        if let Some(active) = &self.active {
            active.begin(self, to);
        }
    }

    fn select(
        &self,
        nodes: &Nodes,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        now: u64,
    ) -> Result<Arc<NodeEntry>> {
        let pick = Pick::at(now).after(tried).metadata(request.cx.metadata());
        select(nodes, request.options.selecting(), &self.select, pick)
    }
}
