//! What a client knows at this moment, for a person who looks. Not on the path of calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use super::budget::BudgetFigures;
use super::channels::Channels;
use super::destination::State;
use super::schema::SchemaTold;
use crate::call::Failures;
use crate::error::Error;
use crate::protocol::Connections;
use crate::registry::{NodeEntry, Nodes, Standing};
use crate::selector::window;
use crate::wrapper::Wrapper;

/// The nodes of one name.
#[derive(Debug)]
pub(crate) struct Place {
    /// The name that is called.
    pub(crate) name: Arc<str>,
    /// Whether the registry has told of it.
    pub(crate) ready: bool,
    /// Why it could not be asked last.
    pub(crate) error: Option<Error>,
    pub(crate) nodes: Arc<Nodes>,
    /// How its retry budget stands; `None` where there is none.
    pub(crate) budget: Option<BudgetFigures>,
    state: Arc<State>,
}

impl Place {
    /// What typed clients know of a node's schemas.
    pub(crate) fn schemas(&self, entry: &NodeEntry) -> Vec<SchemaTold> {
        self.state.checks.told(entry)
    }
}

/// How a node fares with a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fare {
    pub(crate) standing: Standing,
    /// Calls that are with it.
    pub(crate) in_flight: u32,
    /// What it takes to answer.
    pub(crate) latency: Option<Duration>,
    /// The share of its usual calls that it gets: less than one while it is new.
    pub(crate) share: f32,
}

impl Client {
    /// Where its calls go: each name that it has called.
    pub(crate) fn places(&self) -> Vec<Place> {
        let Ok(attempts) = &self.0.attempts else {
            return Vec::new();
        };
        let now = attempts.directory.millis(Instant::now());
        attempts.directory.survey(|view| {
            let state = view.slot(Arc::<State>::default);
            let state = state.cloned().unwrap_or_default();
            let settings = attempts.settings.retry_budget;
            Place {
                name: view.name().clone(),
                ready: view.is_ready(),
                error: view.last_error(),
                nodes: view.peek(),
                budget: settings.map(|settings| state.budget.figures(settings, now)),
                state,
            }
        })
    }

    /// The nodes at addresses that callers gave.
    pub(crate) fn given(&self) -> Vec<Arc<NodeEntry>> {
        let attempts = self.0.attempts.as_ref();
        attempts.map_or_else(|_| Vec::new(), |attempts| attempts.directory.given())
    }

    /// How a node fares at `now`.
    pub(crate) fn fare(&self, entry: &NodeEntry, now: Instant) -> Option<Fare> {
        let attempts = self.0.attempts.as_ref().ok()?;
        let now = attempts.directory.millis(now);
        Some(Fare {
            standing: entry.standing(now),
            in_flight: entry.in_flight(),
            latency: entry.latency(now),
            share: entry.warmth(now, window(attempts.select.slow_start)),
        })
    }

    /// Why a node cannot be called, where that was found out.
    pub(crate) fn trouble(entry: &NodeEntry) -> Option<&Error> {
        Channels::trouble(entry)
    }

    /// The connections to a node; `None` where it was never called.
    pub(crate) fn connections(entry: &NodeEntry) -> Option<Connections> {
        Channels::kept(entry)?.connections()
    }

    /// The wrappers around each of its calls, the first outermost.
    pub(crate) fn wrappers(&self) -> &[Arc<dyn Wrapper>] {
        &self.0.wrappers
    }

    /// Its last calls that failed.
    pub(crate) fn failures(&self) -> &Failures {
        &self.0.defaults.failures
    }
}
