//! A decision log as an event for whoever collects logs.

use tracing::{Level, debug, enabled};

use super::Why;
use crate::error::Error;

impl Why {
    /// Tells how a call went that failed or was asked for its decisions: one event, on the target
    /// `micro::why` at the level `debug`. Where nobody listens nothing is put together.
    pub(crate) fn tell(&self, error: Option<&Error>) {
        if !enabled!(target: TARGET, Level::DEBUG) {
            return;
        }
        let last = self.attempts().last();
        debug!(
            target: TARGET,
            service = &*self.service,
            endpoint = &*self.endpoint,
            took_ms = self.took.as_secs_f64() * 1e3,
            limit_ms = self.limit.map(|limit| limit.as_secs_f64() * 1e3),
            ok = error.is_none(),
            code = error.map(Error::code),
            error = error.map(tracing::field::display),
            cause = self.cause().map(super::Cause::name),
            node = last.map(|attempt| &*attempt.node),
            address = last.map(|attempt| &*attempt.address),
            tries = self.attempts().count(),
            refused_by = self.refusals().last().map(|refusal| refusal.by),
            steps = %self.to_json(),
            "{}",
            if error.is_none() { "a call was explained" } else { "a call failed" },
        );
    }
}

const TARGET: &str = "micro::why";
