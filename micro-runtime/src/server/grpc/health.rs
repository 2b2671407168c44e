//! Whether a service serves, as gRPC's health checks ask it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::generated::grpc::health::v1::health_check_response::ServingStatus as Wire;
use super::generated::grpc::health::v1::{
    Health as Serve, HealthCheckRequest, HealthCheckResponse, HealthListRequest,
    HealthListResponse, HealthServer,
};
use crate::call::{Dispatch, Sender};
use crate::context::Context;
use crate::error::{Error, Result, id};

/// Whether a service serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingStatus {
    /// It has not been found out yet.
    Unknown,
    /// It serves.
    Serving,
    /// It does not.
    NotServing,
}

/// What health checks are told (`grpc.health.v1.Health`); a handle that is cheap to clone.
///
/// Each service of a `.proto` that is served has a status by its full name, and all of them together
/// have one, whose name is empty or that of the registered service. They are
/// [`Serving`](ServingStatus::Serving) unless code sets them otherwise, and whatever it sets, none
/// serves before the start is done, while the service's own check fails, and once it stops. So they
/// are for who decides whether calls may come, and not for a probe that restarts what does not live:
/// that one asks the admin listener's `/health`.
///
/// ```
/// use micro_runtime::Service;
/// use micro_runtime::server::ServingStatus;
///
/// let service = Service::new("go.micro.srv.greeter");
/// let health = service.health();
/// // A part of it that callers may ask for by this name.
/// health.set("cache", ServingStatus::NotServing);
/// assert_eq!(health.status("cache"), Some(ServingStatus::NotServing));
/// assert_eq!(health.status("database"), None);
/// ```
#[derive(Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    statuses: BTreeMap<String, ServingStatus>,
    /// Between the end of the start and the beginning of the stop.
    runs: bool,
    /// The service's own check fails.
    unwell: bool,
    /// Nobody is to wait for a change any more.
    closed: bool,
}

impl State {
    fn of(&self, name: &str) -> Option<ServingStatus> {
        let status = *self.statuses.get(name)?;
        Some(match self.runs && !self.unwell {
            true => status,
            false => ServingStatus::NotServing,
        })
    }
}

impl Health {
    /// Sets the status of `service`, the full name of one that is served or a name of the user's own;
    /// the empty one is that of all together. Who watches it is told.
    pub fn set(&self, service: impl Into<String>, status: ServingStatus) {
        self.change(|state| {
            state.statuses.insert(service.into(), status);
        });
    }

    /// Forgets `service`: who asks for it is told that it is not known.
    pub fn clear(&self, service: &str) {
        self.change(|state| {
            state.statuses.remove(service);
        });
    }

    /// What who asks for `service` is told; `None` where it is not known.
    pub fn status(&self, service: &str) -> Option<ServingStatus> {
        self.lock().of(service)
    }

    /// Makes `services` known, where code has not set them already.
    pub(crate) fn know<'a>(&self, services: impl IntoIterator<Item = &'a str>) {
        self.change(|state| {
            for service in services {
                let status = state.statuses.entry(service.to_owned());
                status.or_insert(ServingStatus::Serving);
            }
        });
    }

    /// Says that the start is done, or that the stop begins.
    pub(crate) fn set_runs(&self, runs: bool) {
        self.change(|state| state.runs = runs);
    }

    /// Says what came of the service's own check.
    pub(crate) fn set_well(&self, well: bool) {
        self.change(|state| state.unwell = !well);
    }

    /// Between the end of the start and the beginning of the stop.
    pub(crate) fn runs(&self) -> bool {
        self.lock().runs
    }

    /// What the program says of the service as a whole where that is not well, whether it runs or not.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self.lock().statuses.get("") {
            Some(ServingStatus::Serving) | None => None,
            Some(_) => Some("the program says that it does not serve"),
        }
    }

    /// What the service's own check says, where it fails: of a database that is gone, perhaps, which
    /// no restart brings back.
    pub(crate) fn failing_check(&self) -> Option<&'static str> {
        let unwell = self.lock().unwell;
        unwell.then_some("the service's own check fails")
    }

    /// Ends what waits for changes, so that no stop waits for it.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Waits until [`close`](Health::close).
    pub(super) async fn closed(&self) {
        self.until(|state| state.closed.then_some(())).await;
    }

    /// Waits until `wanted` gives something. Cancel safe.
    async fn until<T>(&self, mut wanted: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = wanted(&self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let statuses = state.statuses.keys().map(|name| (name, state.of(name)));
        f.debug_map().entries(statuses).finish()
    }
}

/// Serves `grpc.health.v1.Health` with what `health` says.
pub(crate) fn health_service(health: Health) -> Arc<dyn Dispatch> {
    Arc::new(HealthServer::new(health))
}

impl Serve for Health {
    async fn check(
        &self,
        _cx: &Context,
        request: HealthCheckRequest,
    ) -> Result<HealthCheckResponse> {
        match self.status(&request.service) {
            Some(status) => Ok(response(Some(status))),
            None => Err(Error::not_found(id::SERVER, "unknown service")),
        }
    }

    async fn list(&self, _cx: &Context, _request: HealthListRequest) -> Result<HealthListResponse> {
        let state = self.lock();
        let statuses = state.statuses.keys();
        Ok(HealthListResponse {
            statuses: statuses
                .map(|name| (name.clone(), response(state.of(name))))
                .collect(),
        })
    }

    async fn watch(
        &self,
        _cx: &Context,
        request: HealthCheckRequest,
        out: Sender<HealthCheckResponse>,
    ) -> Result<()> {
        tokio::select! {
            biased;
            told = self.tell(&request.service, out) => told,
            () = self.closed() => Err(Error::unavailable(id::SERVER, "the server stops")),
        }
    }
}

impl Health {
    /// Sends the status of `service`, and again whenever it has changed.
    async fn tell(&self, service: &str, mut out: Sender<HealthCheckResponse>) -> Result<()> {
        let mut last = None;
        loop {
            let status = self.until(|state| {
                let status = state.of(service);
                (last != Some(status)).then_some(status)
            });
            let status = status.await;
            out.send(response(status)).await?;
            last = Some(status);
        }
    }
}

fn response(status: Option<ServingStatus>) -> HealthCheckResponse {
    let status = match status {
        Some(ServingStatus::Unknown) => Wire::Unknown,
        Some(ServingStatus::Serving) => Wire::Serving,
        Some(ServingStatus::NotServing) => Wire::NotServing,
        None => Wire::ServiceUnknown,
    };
    HealthCheckResponse {
        status: status.into(),
    }
}
