//! The server's side: one task a connection, which polls unary handlers itself and spawns the rest.

mod call;
mod input;
mod reply;
mod rest;
mod stream;
mod web;

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context as Task, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::Grpc;
use super::message::Broken;
use crate::context::{Context, Peer};
use crate::error::{Error, id};
use crate::metadata::{Metadata, Text};
use crate::protocol::age::Age;
use crate::protocol::exchange::Incoming;
use crate::protocol::http2::{self, Settings};
use crate::router::{Core, Room};
use crate::transport::Connection;
use call::Begun;
use reply::Caller;

/// How many handlers are polled in one turn of the connection's task; then other tasks run.
const INLINE: usize = 64;
/// How long a connection that drains is without a call before it is closed, whatever its peer says to
/// that: one that is gone says nothing.
const LINGER: Duration = Duration::from_secs(1);

/// What the calls of a connection share.
struct Shared {
    core: Arc<Core>,
    settings: Grpc,
    peer: Arc<Peer>,
    /// The server's name: no request of gRPC says which service it is for.
    service: Text,
    /// The longest message that is taken.
    most: usize,
    /// For messages that are not all there.
    room: Arc<Room>,
    /// What only calls that are not gRPC need; made by the first of them.
    web: OnceLock<web::Kit>,
}

impl Shared {
    fn new(settings: &Grpc, peer: Peer, core: Arc<Core>) -> Self {
        Self {
            settings: settings.clone(),
            peer: Arc::new(peer),
            service: core.name().to_owned().into(),
            most: core.limits().message.min(settings.max_message),
            room: core.room_of_connection(),
            core,
            web: OnceLock::new(),
        }
    }
}

/// What serves the calls of a connection of HTTP/1.1, which knows what is gRPC-Web, Connect or JSON.
pub(in crate::protocol) struct Web(Arc<Shared>);

impl Web {
    /// For the connection of `peer`.
    pub(in crate::protocol) fn new(settings: &Grpc, core: &Arc<Core>, peer: Peer) -> Self {
        Self(Arc::new(Shared::new(settings, peer, core.clone())))
    }

    /// Begins the call of a request; what is to be polled to its end, unless it is answered already.
    pub(in crate::protocol) fn begin(&self, incoming: Incoming) -> Option<Served> {
        match call::begin(&self.0, incoming) {
            Begun::Refused(_) | Begun::Answered => None,
            Begun::Unary { call, .. } | Begun::Stream(call) => Some(call),
        }
    }
}

/// Who is served on connections of HTTP/2.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http2 {
    /// gRPC, with these settings.
    pub(crate) grpc: Option<Grpc>,
    /// gRPC-Web, Connect and JSON, with these settings.
    pub(crate) web: Option<Grpc>,
}

/// Who is served on one of them; what the calls of either kind share is made with the first of them.
struct Speaking<'a> {
    speaks: &'a Http2,
    peer: Peer,
    core: &'a Arc<Core>,
    grpc: OnceLock<Option<Arc<Shared>>>,
    web: OnceLock<Option<Arc<Shared>>>,
}

impl Speaking<'_> {
    /// Begins the call of a request, or answers that it is of what is switched off.
    fn begin(&self, incoming: Incoming) -> Begun {
        let is_grpc = call::is_grpc(&incoming.head);
        let (shared, settings) = match is_grpc {
            true => (&self.grpc, &self.speaks.grpc),
            false => (&self.web, &self.speaks.web),
        };
        let shared = shared.get_or_init(|| {
            let settings = settings.as_ref()?;
            let shared = Shared::new(settings, self.peer.clone(), self.core.clone());
            Some(Arc::new(shared))
        });
        if let Some(shared) = shared {
            return call::begin(shared, incoming);
        }
        let Incoming {
            head,
            input,
            mut answer,
        } = incoming;
        if is_grpc {
            let words = "gRPC is switched off on this server";
            let error = Error::not_implemented(id::SERVER, words).unprocessed();
            let caller = Caller::of(&head.headers, &Grpc::new());
            caller.fail(&mut answer, &error);
        } else {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, text)]);
            let words = "gRPC-Web, Connect and JSON are switched off on this server\n";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            // Fails only where the caller is gone.
            if let Ok(mut out) = answer.respond(status, headers, false) {
                let _ = out.send(Bytes::from_static(words.as_bytes()).into(), true);
            }
        }
        // What it still sends is taken: a reset may overtake the answer.
        Begun::Refused(input)
    }
}

impl Http2 {
    /// Serves a connection to its end.
    pub(crate) async fn serve(&self, connection: Connection, core: Arc<Core>) {
        if let Some(settings) = self.grpc.as_ref().or(self.web.as_ref()) {
            serve(self, settings, connection, core).await;
        }
    }
}

async fn serve(speaks: &Http2, settings: &Grpc, connection: Connection, core: Arc<Core>) {
    // In a room of its own that is given back: connections are many, and most of them idle.
    let opened = Box::pin(open(settings, connection, &core));
    let Some((mut http, peer)) = opened.await else {
        return;
    };
    let speaking = Speaking {
        speaks,
        peer,
        core: &core,
        grpc: OnceLock::new(),
        web: OnceLock::new(),
    };
    let address = &speaking.peer.address;
    let mut draining = core.draining();
    let mut begun = pin!(draining.begun());
    let mut drains = false;
    let mut old = pin!(Age::new(settings.max_age, core.tasks()).over());
    let mut too_old = pin!(grace(None));
    let mut rests = pin!(sleep(LINGER));
    let mut was_idle = false;
    let mut polled = 0_usize;
    loop {
        let incoming = tokio::select! {
            biased;
            () = &mut begun, if !drains => {
                drains = true;
                http.drain();
                rests.as_mut().reset(Instant::now() + LINGER);
                continue;
            }
            () = &mut old, if !drains => {
                drains = true;
                http.drain();
                rests.as_mut().reset(Instant::now() + LINGER);
                too_old.set(grace(settings.max_age_grace));
                continue;
            }
            () = &mut too_old, if drains => {
                debug!(peer = %address, "an old connection is closed with calls on it");
                return;
            }
            incoming = http.next() => incoming,
            () = &mut rests, if drains => {
                if was_idle && http.is_idle() {
                    return;
                }
                was_idle = http.is_idle();
                rests.as_mut().reset(Instant::now() + LINGER);
                continue;
            }
        };
        match incoming {
            // Handlers that still run see it as the end of their streams.
            None => return,
            Some(Err(fault)) => {
                debug!(peer = %address, %fault, "a connection has failed");
                return;
            }
            Some(Ok(incoming)) => match speaking.begin(incoming.into()) {
                Begun::Answered => {}
                Begun::Refused(input) if input.is_at_end() => {}
                Begun::Refused(input) => {
                    core.tasks().spawn(async move {
                        // It is answered, however it ends.
                        let _ = rest::take(input).await;
                    });
                }
                Begun::Stream(call) => {
                    core.tasks().spawn(call);
                }
                Begun::Unary { call, pace, .. } if !pace.is_inline() => {
                    let call = async move { pace.run(call).await };
                    core.tasks().spawn(call);
                }
                Begun::Unary {
                    mut call,
                    pace,
                    now,
                } => {
                    // Nobody is woken by this poll: a call that is pending is polled again at once,
                    // in its task.
                    let pending = call
                        .as_mut()
                        .poll(&mut Task::from_waker(Waker::noop()))
                        .is_pending();
                    pace.note(now);
                    if pending {
                        core.tasks().spawn(call);
                    }
                    polled += 1;
                    if polled.is_multiple_of(INLINE) {
                        tokio::task::yield_now().await;
                    }
                }
            },
        }
    }
}

/// Ready when calls on an old connection have gone on for long enough.
async fn grace(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => pending().await,
    }
}

/// Opens HTTP/2 on a connection; `None` where its peer does not.
async fn open(
    settings: &Grpc,
    connection: Connection,
    core: &Core,
) -> Option<(Box<http2::Server>, Peer)> {
    let limits = core.limits();
    let mut peer = Peer::new(connection.peer, connection.local, "grpc");
    peer.secure = connection.secure;
    let offered = Settings {
        streams: u32::try_from(limits.calls_per_connection).unwrap_or(u32::MAX),
        stream_window: settings.stream_window,
        head: u32::try_from(limits.head).unwrap_or(u32::MAX),
        ping_after: settings.ping_after,
        ping_answer: settings.ping_answer,
    };
    let accepting = http2::accept(connection.io, &offered, limits.first_request);
    match timeout(limits.first_request, accepting).await {
        Ok(Ok(http)) => return Some((Box::new(http), peer)),
        Ok(Err(fault)) => {
            debug!(peer = %peer.address, %fault, "a connection ended before its first call");
        }
        Err(_) => debug!(peer = %peer.address, "a connection said nothing in time"),
    }
    None
}

/// A call that is served, to its end.
pub(in crate::protocol) type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What handlers get whose caller is not there any more.
fn gone() -> Error {
    Error::timeout(id::SERVER, "the caller has given the call up or is gone")
}

/// `error` with the trailers that its handler has set, and the metadata that it has set beside it.
fn with_trailers(error: Error, cx: &Context) -> (Metadata, Error) {
    let parts = cx.take_reply_parts();
    (parts.metadata, with_metadata(error, &parts.trailers))
}

/// `error` with all that its handler has set to go back.
fn with_parts(error: Error, cx: &Context) -> Error {
    let (metadata, error) = with_trailers(error, cx);
    with_metadata(error, &metadata)
}

/// `error` with `more` metadata; its own comes first.
fn with_metadata(error: Error, more: &Metadata) -> Error {
    if more.is_empty() {
        return error;
    }
    let mut metadata = error.metadata().clone();
    for (key, value) in more.iter_text() {
        metadata.set_default(key.clone(), value.clone());
    }
    error.with_metadata(metadata)
}

/// What a handler gets in place of a message.
fn input_error(broken: Broken) -> Error {
    match broken {
        Broken::Message(error) => error,
        Broken::Stream(_) => gone(),
    }
}
