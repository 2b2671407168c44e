//! The server's side: one reader a connection, which polls unary handlers itself and spawns the rest.

mod answer;
mod messages;
mod routes;
mod session;
mod start;
mod stream;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::Braid as Settings;
use super::arrivals::Arrivals;
use super::dictionary::Known;
use super::fault::Fault;
use super::fields::{Fields, Goaway, Part, message, read_credit, write_hello};
use super::flow::Flow;
use super::inbox::{Broken, Inbox};
use super::outbox::{Flush, Outbox, Room};
use super::pieces::Partial;
use super::pings::Pings;
use super::wire::{CallId, Frame, Head, Hello, Kind, MAGIC, flag};
use crate::call::{Body, Request};
use crate::context::{Context, Peer};
use crate::error::{Error, id};
use crate::metadata::{Metadata, Text};
use crate::protocol::age::Age;
use crate::router::{Core, Draining};
use crate::transport::Connection;
use routes::{Routes, Way};
use session::{Coming, Found, Session, Waiting};
use start::{poll_unary, spawn_unary, start_stream};
use stream::Opened;

/// How many handlers are polled in one turn of the reader; then other tasks run. Their awaits share
/// the reader's budget of tokio's cooperation, which is used up after about twice as many.
const INLINE: usize = 64;
/// How long the end of a connection waits for the peer to read our last words and close.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(super) async fn serve(settings: &Settings, connection: Connection, core: Arc<Core>) {
    let limits = *core.limits();
    let ours = Hello::ours(
        limits.calls_per_connection,
        limits.message,
        [limits.stream_window, limits.stream_bytes],
        [limits.head, limits.headers],
    );
    let mut peer = Peer::new(connection.peer, connection.local, "braid");
    peer.secure = connection.secure;
    let (read, write) = connection.io.split();
    let mut inbox = Inbox::new(read, ours);
    let theirs = match timeout(limits.first_request, inbox.opening()).await {
        Ok(Ok(theirs)) => Ok(theirs),
        Ok(Err(Broken::Fault(fault))) => Err(fault),
        Ok(Err(Broken::Io(_))) => return,
        Err(_) => Err(Fault::Slow),
    };
    let limits_of_peer = theirs.unwrap_or(ours);
    let patience = settings.patience(limits.write);
    let out = Outbox::new(write, patience, Waiting::new(&limits_of_peer));
    let session = Arc::new(Session::new(out, limits_of_peer, settings.compress));
    let _ = session.out.append(Room::Ignored, |queue, _, _| {
        queue.raw(&MAGIC);
        queue.frame(
            Head::new(Kind::Hello, 0, CallId::NONE),
            &Bytes::new(),
            |out| write_hello(&ours, out),
        );
        ((), Flush::Now)
    });
    let open = Open(session);
    let mut reader = Reader {
        session: open.0.clone(),
        inbox,
        ours,
        routes: Routes::default(),
        arrivals: Arrivals::default(),
        peer: Arc::new(peer),
        taken: 0,
        polled: 0,
        left: None,
        known: Known::default(),
        pings: Pings::default(),
        goes_on: false,
        age: Age::new(settings.max_age, core.tasks()),
        drains: false,
        core,
    };
    let mut writes = pin!(open.0.out.run());
    let end = match theirs {
        Ok(_) => tokio::select! {
            biased;
            () = &mut writes => End::Gone,
            end = reader.run() => end,
        },
        Err(fault) => End::Fault(fault),
    };
    if reader.last_words(end) {
        let last = async {
            writes.await;
            // Closing with bytes unread would reset the connection, and take our words with it.
            reader.inbox.discard().await;
        };
        if timeout(LINGER, last).await.is_err() {
            debug!(peer = %reader.peer.address, "the caller does not close its connection");
        }
    }
}

/// A connection's handlers, which end with it.
struct Open(Arc<Session>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort_all();
        self.0.out.close(gone());
    }
}

/// What handlers get whose caller is not there any more.
fn gone() -> Error {
    Error::timeout(id::SERVER, "the caller has given the call up or is gone")
}

/// How a connection ends.
enum End {
    /// The peer has closed it, or it is broken.
    Gone,
    /// The server stops, and nothing runs any more.
    Drained,
    /// The peer has broken the protocol.
    Fault(Fault),
}

struct Reader {
    session: Arc<Session>,
    inbox: Inbox,
    ours: Hello,
    routes: Routes,
    arrivals: Arrivals,
    peer: Arc<Peer>,
    /// How many calls were taken.
    taken: u64,
    /// How many handlers were polled in this turn.
    polled: usize,
    /// When the handler that was polled last was left, while nothing was awaited since.
    left: Option<Instant>,
    /// What is remembered of metadata.
    known: Known,
    pings: Pings,
    /// Whether a message in pieces went on in this turn.
    goes_on: bool,
    /// How long the connection lives.
    age: Age,
    /// Whether new calls are no longer taken.
    drains: bool,
    core: Arc<Core>,
}

impl Reader {
    async fn run(&mut self) -> End {
        let core = self.core.clone();
        let session = self.session.clone();
        let draining = core.draining();
        let mut waits: Draining = draining.clone();
        let mut begun = pin!(waits.begun());
        let mut old = pin!(self.age.over());
        // Until when the frame that has begun must be all there.
        let mut until: Option<Instant> = None;
        loop {
            // First those that came with the HELLO.
            let frames = match self.take_frames().await {
                Ok(frames) => frames,
                Err(fault) => return End::Fault(fault),
            };
            let within_messages = session.is_within_messages();
            if !within_messages && !self.inbox.is_within_frame() {
                until = None;
            } else if until.is_none() || self.goes_on || frames > 0 && !within_messages {
                // Other frames do not keep a message alive that does not go on.
                until = Instant::now().checked_add(core.limits().request_read);
            }
            // Where bytes are always there, the waiting below is not reached.
            if !self.drains && draining.has_begun() {
                self.drain("the server stops");
            }
            let inbox = &mut self.inbox;
            let read = async {
                match until {
                    None => inbox.fill().await.map_err(|_| End::Gone),
                    Some(until) => match timeout_at(until, inbox.fill()).await {
                        Ok(read) => read.map_err(|_| End::Gone),
                        Err(_) => Err(End::Fault(Fault::Slow)),
                    },
                }
            };
            let read = tokio::select! {
                biased;
                read = read => read,
                () = &mut begun, if !self.drains => {
                    self.drain("the server stops");
                    continue;
                }
                () = &mut old, if !self.drains => {
                    self.drain("the connection is old enough");
                    continue;
                }
                () = session.idle(), if self.drains => return End::Drained,
            };
            match read {
                Ok(0) => return End::Gone,
                Ok(_) => session.out.hear(),
                Err(end) => return end,
            }
        }
    }

    /// Takes the frames that are there; says how many.
    async fn take_frames(&mut self) -> Result<usize, Fault> {
        let mut frames = 0;
        self.polled = 0;
        self.goes_on = false;
        while let Some(frame) = self.inbox.next()? {
            frames += 1;
            let Head {
                kind, id, flags, ..
            } = frame.head;
            if kind == Kind::Message && flags == 0 && self.arrivals.are_of(id) {
                self.arrivals.add(frame.payload);
                continue;
            }
            self.hand_over()?;
            if self.polled >= INLINE {
                self.polled = 0;
                self.pause();
                tokio::task::yield_now().await;
            }
            if self.take_frame(frame)? {
                // The one thing that this reader waits for. The peer's reader waits for nothing, so
                // room comes, or the peer is given up.
                self.pause();
                if !self.session.out.room().await {
                    return Ok(frames);
                }
            }
        }
        self.hand_over()?;
        self.pause();
        Ok(frames)
    }

    /// Hands a stream the messages that came for it.
    fn hand_over(&mut self) -> Result<(), Fault> {
        if let Some((id, owed)) = self.arrivals.hand_over()? {
            let head = Head::new(Kind::Credit, 0, id);
            self.session
                .control(head, Flush::Held, |out| owed.write(out));
        }
        Ok(())
    }

    /// Lets others have what was taken so far, before anything is awaited.
    fn pause(&mut self) {
        self.left = None;
        self.arrivals.wake();
        self.session.out.flush();
    }

    /// Takes one frame; says whether the queue of replies is full.
    fn take_frame(&mut self, frame: Frame) -> Result<bool, Fault> {
        let id = frame.head.id;
        match frame.head.kind {
            Kind::Call => return self.take_call(frame),
            Kind::Message => {
                let (head, fields) = Fields::of(frame);
                match message(&head, fields, true, &self.ours)? {
                    Part::None => {}
                    Part::Whole(message) => {
                        let message = self.unpack(&head, message)?;
                        self.take_message(id, message)?;
                    }
                    Part::First(total, first) => {
                        if self.stream(id)?.is_some() {
                            let packed = head.has(flag::PACKED);
                            let coming = Coming { packed, call: None };
                            self.begin(id, Partial::new(coming, total, &first))?;
                        }
                    }
                }
            }
            Kind::Piece => return self.take_piece(frame),
            Kind::End => {
                if frame.head.flags != 0 {
                    return Err(Fault::Flags {
                        kind: Kind::End,
                        flags: frame.head.flags,
                    });
                }
                Fields::of(frame).1.end()?;
                if self.session.is_within_message(id) {
                    return Err(Fault::Order(id));
                }
                if let Some(flow) = self.stream(id)? {
                    flow.close()?.wake();
                }
            }
            Kind::Cancel => {
                Fields::of(frame).1.end()?;
                self.find(id)?;
                if let Some(left) = self.session.leave(id) {
                    left.running.stop();
                }
                self.session.out.forget(id);
            }
            Kind::Credit => {
                let credit = read_credit(frame)?;
                if let Some(flow) = self.stream(id)? {
                    flow.grant(credit)?.wake();
                }
            }
            Kind::Ping => {
                self.pings.count()?;
                let (head, mut fields) = Fields::of(frame);
                let number = fields.u64()?;
                fields.end()?;
                if !head.has(flag::ANSWER) {
                    self.session
                        .out
                        .beside(|waiting| waiting.ping = Some(number));
                }
            }
            Kind::Goaway => {
                let Goaway { code, reason, .. } = Goaway::read(frame)?;
                debug!(peer = %self.peer.address, code, %reason, "the caller goes away");
            }
            Kind::Hello => return Err(Fault::Hello),
            kind @ (Kind::Reply | Kind::Error) => return Err(Fault::Direction(kind)),
        }
        Ok(false)
    }

    /// What has the id `id`; calls that came after our GOAWAY were never there.
    fn find(&self, id: CallId) -> Result<Found, Fault> {
        match self.session.find(id) {
            Err(Fault::Unknown(_)) if self.drains => Ok(Found::Late),
            found => found,
        }
    }

    /// The stream with this id; `None` where it is over.
    fn stream(&self, id: CallId) -> Result<Option<Arc<Flow>>, Fault> {
        match self.find(id)? {
            Found::Stream(flow) => Ok(Some(flow)),
            Found::Unary => Err(Fault::Order(id)),
            Found::Late => Ok(None),
        }
    }

    fn take_call(&mut self, frame: Frame) -> Result<bool, Fault> {
        if self.drains {
            // The GOAWAY has told the caller that this one is not processed.
            return Ok(false);
        }
        let (head, mut fields) = Fields::of(frame);
        let way = self.routes.find(&head, &mut fields, &self.core)?;
        // Reading the clock is not cheap: of calls that came together it is read once for each.
        let now = self.left.take().unwrap_or_else(Instant::now);
        let deadline = match head.has(flag::DEADLINE) {
            true => now.checked_add(fields.deadline()?),
            false => None,
        };
        let metadata = match head.has(flag::METADATA) {
            true => fields.metadata(&self.ours, &mut self.known)?,
            false => Metadata::new(),
        };
        let part = message(&head, fields, head.has(flag::BODY), &self.ours)?;
        self.session.admit(head.id, self.ours.calls as usize)?;
        self.taken += 1;
        let route = match &way.to {
            Ok((route, _)) => route,
            Err(error) => return Ok(self.session.fail(head.id, error.clone())),
        };
        let streams = route.method().kind.is_stream();
        if streams != head.has(flag::STREAM) {
            let does = |streams| match streams {
                true => "streams",
                false => "does not stream",
            };
            let endpoint = &route.method().endpoint;
            let words = format!(
                "{endpoint} {}, and the call {}",
                does(streams),
                does(!streams)
            );
            return Ok(self
                .session
                .fail(head.id, Error::bad_request(id::SERVER, words)));
        }
        let deadline = deadline.or_else(|| {
            let limit = self.core.limits().call.filter(|_| !streams)?;
            now.checked_add(limit)
        });
        let cx = Context::build(metadata, deadline, Some(self.peer.clone()));
        match part {
            Part::None => self.start(&head, now, cx, &way, None),
            Part::Whole(message) => {
                let message = self.unpack(&head, message)?;
                self.start(&head, now, cx, &way, Some(message))
            }
            Part::First(total, first) => {
                let coming = Coming {
                    packed: head.has(flag::PACKED),
                    call: Some(Asked { head, cx, way }),
                };
                self.begin(head.id, Partial::new(coming, total, &first))?;
                Ok(false)
            }
        }
    }

    /// Starts a call that is all there; says whether the queue of replies is full.
    fn start(
        &mut self,
        head: &Head,
        now: Instant,
        cx: Context,
        way: &Way,
        message: Option<Bytes>,
    ) -> Result<bool, Fault> {
        let Way { service, to } = way;
        let Ok((route, codec)) = to else {
            return Ok(false);
        };
        let request =
            |cx, body| Request::new(cx, service.clone(), route.method(), codec.clone(), body);
        if !head.has(flag::STREAM) {
            let request = request(cx, Body::One(message.unwrap_or_default()));
            self.polled += 1;
            let (session, core) = (&self.session, &self.core);
            let serving = match route.start_at(now, request) {
                Ok(serving) => serving,
                Err(error) => return Ok(session.fail(head.id, error)),
            };
            if !route.pace().is_inline() {
                spawn_unary(serving, Some(route.pace().clone()), head.id, session, core);
                return Ok(false);
            }
            let full = poll_unary(serving, head.id, session, core);
            self.left = route.pace().note(now);
            return Ok(full);
        }
        let flow = Arc::new(Flow::new(
            head.id,
            self.ours.window(),
            self.session.theirs.window(),
        ));
        if let Some(message) = message {
            flow.push(&mut [message].into())?;
        }
        if head.has(flag::LAST) {
            flow.close()?;
        }
        let stream = Opened::new(self.session.clone(), head.id, flow.clone(), cx.clone());
        let request = request(cx, Body::Stream(stream.halves()));
        Ok(start_stream(route, now, request, stream, flow, &self.core))
    }

    /// Tells the caller that no more calls are taken.
    fn drain(&mut self, why: &'static str) {
        self.drains = true;
        self.say_goaway(0, why.into());
    }

    fn say_goaway(&self, code: u16, reason: Text) {
        let goaway = Goaway {
            taken: self.taken,
            code,
            reason,
        };
        let head = Head::new(Kind::Goaway, 0, CallId::NONE);
        self.session
            .control(head, Flush::Now, |out| goaway.write(out));
    }

    /// Says why the connection ends; whether there was something to say.
    fn last_words(&self, end: End) -> bool {
        match end {
            End::Gone => return false,
            End::Drained => {}
            End::Fault(fault) => {
                debug!(peer = %self.peer.address, %fault, "the caller broke the protocol");
                self.session.abort_all();
                self.session.out.beside(Waiting::clear);
                self.say_goaway(fault.code(), fault.to_string().into());
            }
        }
        self.session.out.finish();
        true
    }
}

/// A call, its message apart.
pub(super) struct Asked {
    head: Head,
    cx: Context,
    way: Arc<Way>,
}
