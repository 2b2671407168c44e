//! Keeps the tracing events and spans of a test's thread.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// One event: its target, level and fields.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) target: String,
    pub(crate) level: Level,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Told {
    /// A field's value; `-` where there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("-", String::as_str)
    }
}

/// What was told since it was made, by this thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Told>>>);

impl Log {
    /// Listens while the guard lives.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        // Where there is one listener in all, `tracing` asks that of the thread which comes first to
        // an event whether anybody wants it, and another test's thread has none.
        static OTHER: OnceLock<Dispatch> = OnceLock::new();
        OTHER.get_or_init(|| Dispatch::new(Listener(Self::default())));
        let log = Self::default();
        let guard = tracing::subscriber::set_default(Listener(log.clone()));
        (log, guard)
    }

    /// All events and spans of `target`.
    pub(crate) fn of(&self, target: &str) -> Vec<Told> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter(|told| told.target == target)
            .cloned()
            .collect()
    }

    fn add(&self, metadata: &Metadata<'_>, fields: Fields) {
        self.0.lock().unwrap().push(Told {
            target: metadata.target().to_owned(),
            level: *metadata.level(),
            fields: fields.0,
        });
    }
}

struct Listener(Log);

impl Subscriber for Listener {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        // Asked each time: tests of other threads have listeners of their own.
        Interest::sometimes()
    }
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        self.0.add(span.metadata(), fields);
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.add(event.metadata(), fields);
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
