//! What a client knows at this moment, for a person who looks. Not on the path of calls.

use std::sync::Arc;

use tokio::time::Instant;

use super::Client;
use super::budget::BudgetFigures;
use super::channels::Channels;
use super::destination::State;
use super::failures::Failures;
use crate::error::Error;
use crate::protocol::Connections;
use crate::registry::{NodeEntry, Nodes, Standing};
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
            let settings = attempts.settings.retry_budget;
            Place {
                name: view.name().clone(),
                ready: view.is_ready(),
                error: view.last_error(),
                nodes: view.peek(),
                budget: state
                    .zip(settings)
                    .map(|(state, settings)| state.budget.figures(settings, now)),
            }
        })
    }

    /// The nodes at addresses that callers gave.
    pub(crate) fn given(&self) -> Vec<Arc<NodeEntry>> {
        let attempts = self.0.attempts.as_ref();
        attempts.map_or_else(|_| Vec::new(), |attempts| attempts.directory.given())
    }

    /// Whether calls go to a node at `now`.
    pub(crate) fn standing(&self, entry: &NodeEntry, now: Instant) -> Standing {
        let attempts = self.0.attempts.as_ref();
        attempts.map_or(Standing::In, |attempts| {
            entry.standing(attempts.directory.millis(now))
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

    /// Its last calls that failed, where it could be made.
    pub(crate) fn failures(&self) -> Option<&Failures> {
        let attempts = self.0.attempts.as_ref().ok()?;
        Some(&attempts.failures)
    }
}
