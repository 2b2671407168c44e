//! What a server serves: names to handlers, and the counters and limits around them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::counters::CallCounters;
use super::figures::{Counted, Figures};
use super::limits::Limits;
use super::once::Once;
use super::pace::Pace;
#[cfg(feature = "grpc")]
use super::room::Room;
use super::serving::{Serving, deadline_passed};
use super::watch::Running;
use crate::call::{Dispatch, Request};
use crate::call::{Next, Wrapper};
use crate::codec::Codecs;
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::method::Method;
use crate::tasks::Tasks;

/// What protocols serve with: routes, limits, codecs, tasks, and whether the server drains.
#[derive(Debug)]
pub struct Core {
    options: CoreOptions,
    /// Handlers by the service's short name: Go Micro's names have no package.
    services: BTreeMap<&'static str, Arc<Mounted>>,
    /// All by full name.
    full_names: BTreeMap<&'static str, Arc<Mounted>>,
    /// What takes events that come as calls.
    events: Option<Arc<Mounted>>,
    counters: Arc<CallCounters>,
    drain: watch::Sender<bool>,
    /// For messages that are not all there.
    #[cfg(feature = "grpc")]
    room: Arc<Room>,
}

/// What a [`Core`] is made of.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CoreOptions {
    /// The name that the server is registered under.
    pub name: String,
    /// Bounds.
    pub limits: Limits,
    /// Codecs by content type.
    pub codecs: Codecs,
    /// Who spawns.
    pub tasks: Tasks,
    /// Wrappers around every handler, the first outermost.
    pub wrappers: Vec<Arc<dyn Wrapper>>,
    /// Services of the runtime's own, found by their full names alone, where no user's has them. They
    /// are not the one call of a server that takes one.
    pub(crate) beside: Vec<Arc<dyn Dispatch>>,
    /// The full names of those services that callers mean who name no package, where two have one
    /// short name.
    pub short_names: Vec<String>,
    /// What takes events that come as calls: its one method gets them.
    pub(crate) events: Option<Arc<dyn Dispatch>>,
    /// Where calls are counted.
    pub(crate) counters: Arc<CallCounters>,
    /// Takes one call in all, where it is given; those of the `Debug` service do not count.
    pub(crate) once: Option<Arc<Once>>,
}

struct Mounted {
    service: Arc<dyn Dispatch>,
    /// By method name, sorted.
    methods: Vec<(&'static str, u16)>,
    /// By method index.
    paces: Vec<Arc<Pace>>,
    /// By method index, where calls are watched; else none.
    figures: Vec<Arc<Figures>>,
    wrappers: Arc<[Arc<dyn Wrapper>]>,
    /// Where it counts as the one call of a function.
    once: Option<Arc<Once>>,
}

impl Mounted {
    fn new(
        service: Arc<dyn Dispatch>,
        wrappers: Arc<[Arc<dyn Wrapper>]>,
        once: Option<Arc<Once>>,
        options: &CoreOptions,
    ) -> Self {
        let all = service.descriptor().methods;
        let inline = options.limits.inline;
        let figures = match options.counters.watch {
            Some(_) => all.iter().map(|_| Arc::default()).collect(),
            None => Vec::new(),
        };
        let paces = all.iter().map(|_| Arc::new(Pace::new(inline))).collect();
        let mut methods: Vec<_> = all
            .iter()
            .map(|method| {
                let name = method.endpoint.rsplit_once('.');
                (
                    name.map_or(&*method.endpoint, |(_, name)| name),
                    method.index,
                )
            })
            .collect();
        methods.sort_unstable();
        Self {
            service,
            methods,
            paces,
            figures,
            wrappers,
            once,
        }
    }

    fn full_name(&self) -> &'static str {
        self.service.descriptor().full_name
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mounted").field(&self.full_name()).finish()
    }
}

impl Core {
    /// A core that serves `services`.
    ///
    /// # Errors
    /// 409 where two services share a short name, which Go Micro's callers cannot tell apart, and none
    /// of them is named as its [owner](CoreOptions::short_names): with both full names. Where one is
    /// served twice. 400 where an owner is named that is not served.
    pub fn new(
        options: CoreOptions,
        services: impl IntoIterator<Item = Arc<dyn Dispatch>>,
    ) -> Result<Self> {
        let wrappers: Arc<[Arc<dyn Wrapper>]> = options.wrappers.clone().into();
        let mut core = Self {
            counters: options.counters.clone(),
            #[cfg(feature = "grpc")]
            room: Arc::new(Room::new(options.limits.unfinished)),
            options,
            services: BTreeMap::new(),
            full_names: BTreeMap::new(),
            events: None,
            drain: watch::Sender::new(false),
        };
        let inline = core.options.limits.inline;
        // The wrappers of handlers are not those of subscribers, which it knows itself.
        core.events = core.options.events.take().map(|service| {
            Arc::new(Mounted {
                paces: vec![Arc::new(Pace::new(inline))],
                service,
                methods: Vec::new(),
                figures: Vec::new(),
                wrappers: Arc::new([]),
                // Of a function, subscribers see to it that there is one event.
                once: None,
            })
        });
        for service in services {
            let once = core
                .options
                .once
                .clone()
                .filter(|_| service.descriptor().name != "Debug");
            let mounted = Mounted::new(service, wrappers.clone(), once, &core.options);
            core.add(mounted)?;
        }
        for service in std::mem::take(&mut core.options.beside) {
            let mounted = Mounted::new(service, wrappers.clone(), None, &core.options);
            let mounted = Arc::new(mounted);
            core.full_names
                .entry(mounted.full_name())
                .or_insert(mounted);
        }
        for owner in &core.options.short_names {
            if !core.full_names.contains_key(&**owner) {
                let words = format!("{owner} is to own its short name, and is not served");
                return Err(Error::bad_request(id::SERVER, words));
            }
        }
        Ok(core)
    }

    /// Serves one more service, by its full name and by its short one unless that is another's.
    fn add(&mut self, mounted: Mounted) -> Result<()> {
        let (full_name, name) = (mounted.full_name(), mounted.service.descriptor().name);
        let mounted = Arc::new(mounted);
        if self.full_names.insert(full_name, mounted.clone()).is_some() {
            let words = format!("{full_name} is served twice");
            return Err(Error::conflict(id::SERVER, words));
        }
        let Some(other) = self.services.get(name).map(|other| other.full_name()) else {
            self.services.insert(name, mounted);
            return Ok(());
        };
        let owns = |name: &str| self.options.short_names.iter().any(|owner| owner == name);
        match (owns(other), owns(full_name)) {
            (true, false) => {}
            (false, true) => {
                self.services.insert(name, mounted);
            }
            (false, false) | (true, true) => {
                let words = format!(
                    "{other} and {full_name} are both {name} to callers that name no package: name one of them as the owner of its short name, or serve them in two services"
                );
                return Err(Error::conflict(id::SERVER, words));
            }
        }
        Ok(())
    }

    /// The name that the server is registered under.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// Room for what comes of messages before they are whole, of one connection: twice that of the
    /// largest one, since a buffer that grows may be so much larger than what is in it, and enough
    /// for several calls at once where messages have to be short.
    #[cfg(feature = "grpc")]
    pub(crate) fn room_of_connection(&self) -> Arc<Room> {
        let largest = self.options.limits.message;
        self.room.part(largest.saturating_mul(2).max(LEAST_ROOM))
    }

    /// The codecs.
    pub fn codecs(&self) -> &Codecs {
        &self.options.codecs
    }

    /// Who spawns.
    pub fn tasks(&self) -> &Tasks {
        &self.options.tasks
    }

    /// What is served.
    pub fn services(&self) -> impl Iterator<Item = &Arc<dyn Dispatch>> {
        self.full_names.values().map(|mounted| &mounted.service)
    }

    /// The handler of Go Micro's `endpoint`: `Say.Hello`, or with the full name `a.b.Say.Hello`.
    ///
    /// # Errors
    /// The texts of Go Micro's server, as plain errors.
    pub fn find(&self, endpoint: &str) -> Result<Route> {
        let ill_formed = || {
            Error::plain(format!(
                "rpc: service/endpoint request ill-formed: {endpoint}"
            ))
        };
        let (service, method) = endpoint.rsplit_once('.').ok_or_else(ill_formed)?;
        if service.is_empty() || method.is_empty() {
            return Err(ill_formed());
        }
        let mounted = match self.services.get(service) {
            Some(mounted) => mounted,
            None if service.contains('.') => self.full_names.get(service).ok_or_else(ill_formed)?,
            None => return Err(Error::plain(format!("rpc: can't find service {service}"))),
        };
        self.route(mounted, method)
            .ok_or_else(|| Error::plain(format!("rpc: can't find method {method}")))
    }

    /// The handler of gRPC's `service`, with its package or with any other, and `method`.
    ///
    /// The full name comes first; else, as in Go Micro, what stands before the last dot is ignored.
    ///
    /// # Errors
    /// 501 with the words of Go Micro's gRPC server.
    pub fn find_method(&self, service: &str, method: &str) -> Result<Route> {
        let short = service.rsplit_once('.').map_or(service, |(_, short)| short);
        let mounted = self
            .full_names
            .get(service)
            .or_else(|| self.services.get(short))
            .ok_or_else(|| {
                Error::not_implemented(id::SERVER, format!("unknown service {short}"))
            })?;
        self.route(mounted, method).ok_or_else(|| {
            Error::not_implemented(id::SERVER, format!("unknown service {short}.{method}"))
        })
    }

    /// The way of events that come as calls; `None` where the service has no subscribers.
    pub(crate) fn events(&self) -> Option<Route> {
        let mounted = self.events.as_ref()?;
        self.route_to(mounted, 0)
    }

    fn route(&self, mounted: &Arc<Mounted>, method: &str) -> Option<Route> {
        let at = mounted
            .methods
            .binary_search_by_key(&method, |(name, _)| name)
            .ok()?;
        let (_, index) = *mounted.methods.get(at)?;
        self.route_to(mounted, index)
    }

    fn route_to(&self, mounted: &Arc<Mounted>, index: u16) -> Option<Route> {
        let methods = mounted.service.descriptor().methods;
        Some(Route {
            pace: mounted.paces.get(usize::from(index))?.clone(),
            mounted: mounted.clone(),
            method: methods.get(usize::from(index))?,
            counters: self.counters.clone(),
            calls: self.options.limits.calls,
        })
    }

    /// How many calls run.
    pub fn running(&self) -> usize {
        self.counters.running()
    }

    /// How many calls were started since the start, and how many of them failed.
    pub fn totals(&self) -> (u64, u64) {
        self.counters.totals()
    }

    /// The calls that run, oldest first, and how many more there are; nothing where nobody looks.
    pub(crate) fn listed(&self) -> (Vec<Running>, u64) {
        self.counters.listed()
    }

    /// What was counted of each method, with the full name of its service; nothing where nobody looks.
    pub(crate) fn counted(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (&'static str, &'static Method, Counted)> + '_ {
        let clock = self.counters.watch.as_ref().map(|watch| watch.clock(now));
        self.full_names.values().flat_map(move |mounted| {
            let methods = mounted.service.descriptor().methods;
            let clock = clock.unwrap_or_default();
            mounted
                .figures
                .iter()
                .zip(methods)
                .map(move |(figures, method)| (mounted.full_name(), method, figures.counted(clock)))
        })
    }

    /// The wrappers around every handler, the first outermost.
    pub(crate) fn wrappers(&self) -> &[Arc<dyn Wrapper>] {
        &self.options.wrappers
    }

    /// Whether, and when, the server stops taking calls.
    pub fn draining(&self) -> Draining {
        Draining(self.drain.subscribe())
    }

    /// Asks every connection to take no new calls and to close when idle.
    pub fn start_drain(&self) {
        self.drain.send_replace(true);
    }
}

/// Tells a connection that the server drains: it then takes no new call and closes when idle.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Draining {
    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it begins. Cancel safe.
    pub async fn begun(&mut self) {
        if self.0.wait_for(|begun| *begun).await.is_err() {
            // The core is gone, and with it the server.
        }
    }
}

/// The way to one handler, found once for a call; cheap to clone, and may be kept by a connection.
#[derive(Clone, Debug)]
pub struct Route {
    mounted: Arc<Mounted>,
    method: &'static Method,
    pace: Arc<Pace>,
    counters: Arc<CallCounters>,
    calls: usize,
}

impl Route {
    /// The method found.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// Where the method's handlers run.
    pub(crate) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Starts the handler with `request`, whose method must be this route's.
    ///
    /// # Errors
    /// 503 when the server runs as many calls as it may, or takes one only and has it; 408 when the
    /// deadline has passed already. All are [unprocessed](Error::is_unprocessed).
    pub fn start(&self, request: Request) -> Result<Serving> {
        self.start_at(Instant::now(), request)
    }

    /// As [`start`](Route::start), for a protocol that knows the time: reading the clock is not cheap.
    pub(crate) fn start_at(&self, now: Instant, request: Request) -> Result<Serving> {
        if request
            .cx
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            return Err(deadline_passed().unprocessed());
        }
        let running = self.counters.begun();
        if running >= self.calls {
            self.counters.ended();
            return Err(Error::unavailable(
                id::SERVER,
                format!("{running} calls run already, the most that this server takes"),
            )
            .unprocessed());
        }
        if let Some(once) = &self.mounted.once
            && !once.take()
        {
            self.counters.ended();
            return Err(Error::unavailable(
                id::SERVER,
                "this server takes one call, and has taken it",
            )
            .unprocessed());
        }
        self.counters.started();
        let cx: Context = request.cx.clone();
        let Mounted {
            service, wrappers, ..
        } = &*self.mounted;
        let index = self.method.index;
        let counters = self.counters.clone();
        // Before the handler begins, which may be at its end or in trouble when it returns.
        let ticket = self.counters.watch.as_ref().and_then(|watch| {
            let figures = self.mounted.figures.get(usize::from(index))?;
            Some(watch.enter(self.method, &cx, now, figures))
        });
        let serving = if wrappers.is_empty() {
            cx.reach();
            Serving::start(cx, counters, || service.call(index, request))
        } else {
            let next = Next::to_dispatch(wrappers.clone(), service.clone(), index, cx.clone());
            Serving::start(cx, counters, || Box::pin(next.run(request)))
        };
        Ok(serving.watched(ticket))
    }
}

/// The least of what one connection may hold of messages that are not whole.
#[cfg(feature = "grpc")]
const LEAST_ROOM: usize = 4 << 20;
