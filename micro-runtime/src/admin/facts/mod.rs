//! What is told, as data. The field names are those of the JSON: `docs/ADMIN.md` explains each.

mod breakers;
mod calls;
mod nodes;
mod stats;
mod why;

pub(super) use breakers::{Breakers, Standing, Value, breakers};
pub(super) use calls::calls;
pub(super) use nodes::{Barred, Node, nodes, pools};
pub(super) use stats::{Stats, stats};
pub(super) use why::why;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::client::Client;
use crate::event::Subscribers;
use crate::router::Core;
use crate::server::Health;
use crate::tasks::Tasks;

/// Of how many names is told that the service calls.
const NAMES: usize = 200;

/// Where all that is told comes from.
pub(crate) struct Sources {
    pub(crate) about: About,
    pub(crate) core: Arc<Core>,
    /// Connections to the server.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) client: Client,
    pub(crate) health: Health,
    pub(crate) events: Arc<Subscribers>,
    /// Whether the registry has been told of the service.
    pub(crate) registered: Box<dyn Fn() -> bool + Send + Sync>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) tasks: Tasks,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// Which service it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) node: String,
    pub(crate) address: String,
    pub(crate) advertised: String,
    pub(crate) registry: String,
    pub(crate) protocols: Vec<&'static str>,
    pub(crate) tls: bool,
    #[serde(rename = "started_unix_ms", serialize_with = "as_unix")]
    pub(crate) started: SystemTime,
}

/// A setting with where its value comes from; no secrets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: String,
}

/// What `/settings` tells.
#[derive(Debug, Serialize)]
pub(super) struct Settings<'a> {
    settings: &'a [Setting],
}

pub(super) fn settings(sources: &Sources) -> Settings<'_> {
    Settings {
        settings: &sources.settings,
    }
}

/// What `/health` tells.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    pub(super) live: bool,
    reasons: Vec<&'static str>,
}

/// The program's own word alone: who asks restarts what does not live, and a check that fails, since
/// a database is gone for instance, fails in all nodes at once, and after a restart as before.
pub(super) fn health(sources: &Sources) -> Live {
    let reasons: Vec<_> = sources.health.fault().into_iter().collect();
    Live {
        live: reasons.is_empty(),
        reasons,
    }
}

/// What `/ready` tells.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    pub(super) ready: bool,
    /// `starting`, `serving`, `stopping`.
    pub(super) state: &'static str,
    pub(super) reasons: Vec<&'static str>,
}

pub(super) fn ready(sources: &Sources, stopping: bool) -> Ready {
    let state = match sources.health.runs() {
        _ if stopping || sources.core.draining().has_begun() => "stopping",
        true => "serving",
        false => "starting",
    };
    let mut reasons = Vec::new();
    match state {
        "starting" => reasons.push("the start is not done"),
        "stopping" => reasons.push("the service stops"),
        _ => {}
    }
    if !(sources.registered)() {
        reasons.push("the service is not registered");
    }
    reasons.extend(sources.health.failing_check());
    reasons.extend(sources.health.fault());
    Ready {
        ready: reasons.is_empty(),
        state,
        reasons,
    }
}

/// A time in milliseconds, to the microsecond.
pub(super) fn ms(time: Duration) -> f64 {
    let micros = u32::try_from(time.as_micros());
    // What is longer than an hour is told to the millisecond.
    micros.map_or_else(
        |_| (time.as_secs_f64() * 1e3).round(),
        |micros| f64::from(micros) / 1e3,
    )
}

/// A time of day as milliseconds since 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn as_unix<S: serde::Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(unix_ms(*time))
}
