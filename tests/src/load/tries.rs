//! Notes tries that failed, from what the client writes to its log about each of them: the load
//! itself is as any other, with the client's own policy.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{Try, lock};

/// Takes the events of the log that tell of a try.
pub(super) struct Noting(Arc<Mutex<Vec<Try>>>);

impl Noting {
    /// Notes into `tries`.
    pub(super) fn new(tries: Arc<Mutex<Vec<Try>>>) -> Self {
        Self(tries)
    }
}

impl Subscriber for Noting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= Level::DEBUG
            && metadata.fields().field("attempt").is_some()
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut seen = Try {
            at: Instant::now(),
            node: String::new(),
            error: String::new(),
        };
        event.record(&mut seen);
        lock(&self.0).push(seen);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

impl Visit for Try {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "node" {
            value.clone_into(&mut self.node);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error" {
            self.error = format!("{value:?}");
        }
    }
}
