//! The server's side: one task for each connection, which reads, runs the handlers and writes.
//!
//! Unary calls run one after the other and are answered in order, as a caller on HTTP/1.1 expects;
//! streams run beside them, told apart by `Micro-Stream`. Reading goes on while handlers run, so
//! that a caller that goes is noticed at once, and stops where a bound is reached.

mod dispatch;
mod inbound;
mod reply;
mod stream;
mod timing;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use tokio::time::Instant;

use self::dispatch::{Unary, Waiting};
use self::inbound::Inbound;
use self::reply::{Echo, Said};
use self::stream::{HIGH_WATER, Hub, Shared};
use self::timing::Timing;
use super::Mucp;
use super::envelope::Envelope;
use crate::call::Reply;
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::http1::{Malformed, Outbox, linger, poll_fill, put_plain};
use crate::metadata::Text;
use crate::method::Kind;
use crate::protocol::http1::{Wire, is_mucp};
use crate::router::{Core, Serving};

/// Requests that wait for those before them; reading stops there.
const WAITING: usize = 64;
/// Bytes of waiting requests, or of one stream's input, at which reading stops. One message more
/// may come, of any size that the limits allow.
const READ_AHEAD: usize = 1024 * 1024;
/// Unread bytes kept while reading has stopped: enough to see most callers go.
const PAUSED_INBOX: usize = 64 * 1024;
/// Ends of streams that are remembered, so that late messages do not start them anew.
const ENDED: usize = 64;

/// Serves a connection until it ends, or until a request comes that is not mucp's where others are
/// served on it. Where mucp is not `on`, its callers are told so.
pub(in crate::protocol) async fn serve(
    settings: &Mucp,
    on: bool,
    wire: Wire,
    core: &Arc<Core>,
) -> Option<Wire> {
    let mut connection = Conn::new(settings, on, core, wire);
    let mut draining = core.draining();
    let mut begun = std::pin::pin!(draining.begun());
    let end = poll_fn(|task| {
        if !connection.draining {
            connection.draining = begun.as_mut().poll(task).is_ready();
        }
        match connection.advance(task) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    })
    .await;
    match end {
        End::Gone => None,
        End::Linger => {
            linger(connection.wire.io, usize::MAX).await;
            None
        }
        End::HandOver => Some(connection.wire),
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer is gone.
    Gone,
    /// We close; the peer may still be reading.
    Linger,
    /// The next request is not mucp's.
    HandOver,
}

struct Conn<'a> {
    settings: &'a Mucp,
    core: &'a Arc<Core>,
    /// Whether calls are served.
    on: bool,
    wire: Wire,
    peer: Arc<Peer>,
    /// The unary call that runs.
    unary: Option<Unary>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    streams: Vec<Slot>,
    /// Ids of streams that have ended, the latest last.
    ended: VecDeque<Text>,
    /// The stream whose full input stopped the reading.
    blocked: Option<Arc<Shared>>,
    /// A stream's output waits for room in `out`.
    clogged: bool,
    hub: Arc<Hub>,
    draining: bool,
    /// No new call is taken; when all are answered the connection closes.
    closing: bool,
    /// What came was no request; nothing more is read.
    broken: bool,
    /// The peer has closed: what it had sent of streams is still taken.
    hung_up: bool,
    /// Only handlers that may finish without their caller are left.
    alone: bool,
    /// Whether the last thing on the connection was a stream.
    rests: bool,
    /// Whether the request that is coming is known to be mucp's, or known not to be.
    mine: bool,
    others: bool,
    timing: Timing,
}

/// An open stream.
struct Slot {
    id: Text,
    kind: Kind,
    serving: Serving,
    shared: Arc<Shared>,
    waker: Waker,
    deadline: Option<Instant>,
    /// Whether a message came already.
    begun: bool,
    /// Whether the caller has ended the input, or given it up.
    input_ended: bool,
    given_up: bool,
    /// Whether the caller wants the connection closed after it.
    close: bool,
}

impl<'a> Conn<'a> {
    fn new(settings: &'a Mucp, on: bool, core: &'a Arc<Core>, wire: Wire) -> Self {
        let mut peer = Peer::new(wire.peer.clone(), wire.local.clone(), "mucp");
        peer.secure = wire.secure;
        Self {
            settings,
            core,
            on,
            wire,
            peer: Arc::new(peer),
            unary: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            streams: Vec::new(),
            ended: VecDeque::new(),
            blocked: None,
            clogged: false,
            hub: Arc::default(),
            draining: false,
            closing: false,
            broken: false,
            hung_up: false,
            alone: false,
            rests: false,
            mine: false,
            others: false,
            timing: Timing::new(core.limits()),
        }
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    /// How it ended, when it has.
    fn advance(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        loop {
            self.hub.enter();
            while self.step(task)? {}
            if self.alone && self.streams.is_empty() {
                return Err(End::Gone);
            }
            if self.is_idle() && self.others && !self.hung_up {
                return Err(End::HandOver);
            }
            if self.is_idle() && (self.closing || self.draining) && self.wire.out.is_empty() {
                return Err(End::Linger);
            }
            if self.poll_timer(task)? {
                continue;
            }
            if self.streams.is_empty() {
                return Ok(());
            }
            self.hub.leave(task.waker());
            if !self.streams.iter().any(|slot| slot.shared.is_woken()) {
                return Ok(());
            }
        }
    }

    /// One turn: answers leave before new requests are read. Whether anything moved.
    fn step(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        self.write(task)?;
        let moved = self.poll_unary(task) | self.poll_streams();
        Ok(moved || self.parse()? || self.read(task)?)
    }

    fn is_idle(&self) -> bool {
        self.unary.is_none() && self.waiting.is_empty() && self.streams.is_empty()
    }

    fn write(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        if self.hung_up {
            self.wire.out.clear();
        }
        if !self.wire.out.is_empty() {
            let mut written = 0;
            let wrote = self
                .wire
                .out
                .poll_write(&mut *self.wire.io, &mut written, task);
            if written > 0 {
                self.timing.wrote();
            }
            if let Poll::Ready(Err(_)) = wrote {
                self.hang_up()?;
            }
        }
        if self.clogged && self.wire.out.len() < HIGH_WATER {
            self.clogged = false;
            for slot in &self.streams {
                slot.shared.drain(&mut self.wire.out);
            }
        }
        Ok(())
    }

    /// Whether no bound forbids to take one more request.
    fn has_room(&mut self) -> bool {
        let limits = self.core.limits();
        if let Some(blocked) = &self.blocked
            && !blocked.is_full(limits.stream_window, READ_AHEAD)
        {
            self.blocked = None;
        }
        self.blocked.is_none()
            && self.waiting.len() < WAITING
            && self.waiting_bytes < READ_AHEAD
            && self.wire.out.len() < HIGH_WATER
    }

    /// Whether requests are taken from what was read.
    fn takes(&mut self) -> bool {
        let over = self.closing && self.streams.is_empty();
        let waits = self.others && !self.hung_up;
        !(self.alone || self.broken || over || waits) && self.has_room()
    }

    fn parse(&mut self) -> Result<bool, End> {
        if !self.takes() {
            return Ok(false);
        }
        if self.wire.shared && !self.mine {
            self.look()?;
            if self.others || self.broken {
                return Ok(true);
            }
        }
        let wire = &mut self.wire;
        match wire.decoder.decode(&mut wire.inbox) {
            Ok(Some(message)) => {
                self.mine = false;
                self.timing.message();
                self.dispatch(message);
                Ok(true)
            }
            Ok(None) | Err(_) if self.hung_up => {
                self.be_alone()?;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(malformed) => {
                self.refuse_bytes(malformed);
                Ok(true)
            }
        }
    }

    /// Looks whose request comes next, if its head is there. One that is no head is nobody's, and
    /// used up by the look.
    fn look(&mut self) -> Result<(), End> {
        let wire = &mut self.wire;
        match wire.decoder.head(&mut wire.inbox) {
            Ok(Some(head)) => {
                self.mine = is_mucp(head);
                self.others = !self.mine;
            }
            Ok(None) => {}
            Err(malformed) => self.refuse_bytes(malformed),
        }
        if self.others && self.hung_up {
            self.be_alone()?;
        }
        Ok(())
    }

    fn read(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        let stopped = self.alone || self.hung_up || self.broken;
        if stopped || (self.wire.inbox.len() >= PAUSED_INBOX && !self.takes()) {
            return Ok(false);
        }
        let room = self.wire.decoder.room(&self.wire.inbox);
        match poll_fill(&mut *self.wire.io, &mut self.wire.inbox, room, task) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(1..)) => Ok(true),
            Poll::Ready(Ok(0) | Err(_)) => {
                self.hang_up()?;
                Ok(true)
            }
        }
    }

    /// The peer has closed, also if only its sending side: whoever called is not there any more.
    fn hang_up(&mut self) -> Result<(), End> {
        self.hung_up = true;
        self.unary = None;
        self.waiting.clear();
        self.wire.out.clear();
        if self.streams.is_empty() {
            return Err(End::Gone);
        }
        for slot in &self.streams {
            slot.shared.mute(slot.kind);
        }
        Ok(())
    }

    /// All that the peer had sent is taken: only those handlers go on whose input it has ended,
    /// as a Go client does that uploads and closes. The others are dropped.
    fn be_alone(&mut self) -> Result<(), End> {
        self.alone = true;
        self.blocked = None;
        self.streams.retain(|slot| {
            let ended = slot.input_ended && !slot.given_up;
            let stays = ended && slot.kind != Kind::ServerStream;
            if !stays {
                slot.shared.close("the caller has closed the connection");
            }
            stays
        });
        if self.streams.is_empty() {
            return Err(End::Gone);
        }
        self.timing.alone(self.settings.farewell);
        Ok(())
    }

    /// Answers bytes that are no request, after the calls before them, and closes.
    fn refuse_bytes(&mut self, malformed: Malformed) {
        self.broken = true;
        self.closing = true;
        self.drop_streams("the caller sent what is no request");
        let mut answer = Outbox::default();
        let (code, status) = malformed.status();
        let words = malformed.to_string();
        let head = self.wire.decoder.take_head().map(Inbound::new);
        match head.filter(|inbound| inbound.admit(self.settings).is_ok()) {
            Some(inbound) => {
                let error = Error::new(id::SERVER, words, i32::from(code));
                let envelope = Envelope::of(inbound.body_type());
                let echo = Echo::Of(&inbound);
                reply::put_error(&mut answer, echo, envelope, "", &error, true);
            }
            None => put_plain(
                &mut answer,
                code,
                status,
                &format!("{code} {status}: {words}"),
            ),
        }
        self.say(answer);
    }

    fn drop_streams(&mut self, why: &'static str) {
        for slot in self.streams.drain(..) {
            slot.shared.close(why);
        }
    }

    fn poll_unary(&mut self, task: &mut Task<'_>) -> bool {
        let mut moved = false;
        while self.unary.is_none() {
            match self.waiting.pop_front() {
                None => return moved,
                Some(Waiting::Answer(mut answer)) => self.wire.out.append(&mut answer),
                Some(Waiting::Call(call)) => {
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(call.size());
                    self.start(*call);
                }
            }
            moved = true;
        }
        let Some(unary) = &mut self.unary else {
            return moved;
        };
        match Pin::new(&mut unary.serving).poll(task) {
            Poll::Pending => moved,
            Poll::Ready(answer) => {
                self.answer(answer);
                true
            }
        }
    }

    /// Answers the unary call that runs.
    fn answer(&mut self, answer: Result<Reply>) {
        let Some(unary) = self.unary.take() else {
            return;
        };
        let close = unary.close || self.draining;
        let echo = Echo::Of(&unary.inbound);
        let envelope = unary.envelope;
        let id = &unary.id;
        match answer {
            Ok(reply) => {
                let said = Said {
                    body: envelope.seal_reply("", id, reply.message.into_bytes()),
                    grpc: envelope == Envelope::Grpc,
                    close,
                    ..Said::default()
                };
                reply::put(&mut self.wire.out, echo, said);
            }
            Err(error) => {
                reply::put_error(&mut self.wire.out, echo, envelope, id, &error, close);
            }
        }
        self.wire.decoder.recycle(unary.inbound.head);
    }

    /// Polls the streams' handlers that were woken and takes what they have sent.
    fn poll_streams(&mut self) -> bool {
        let mut moved = false;
        let mut at = 0;
        while let Some(slot) = self.streams.get_mut(at) {
            if !slot.shared.take_woken() {
                at += 1;
                continue;
            }
            let mut task = Task::from_waker(&slot.waker);
            let ended = Pin::new(&mut slot.serving).poll(&mut task);
            if self.wire.out.len() < HIGH_WATER || ended.is_ready() {
                moved |= slot.shared.drain(&mut self.wire.out);
            } else {
                self.clogged = true;
            }
            match ended {
                Poll::Pending => at += 1,
                Poll::Ready(ended) => {
                    self.end_stream(at, ended.err());
                    moved = true;
                }
            }
        }
        moved
    }

    /// Says how stream number `at` has ended and forgets it.
    fn end_stream(&mut self, at: usize, error: Option<Error>) {
        if at >= self.streams.len() {
            return;
        }
        let slot = self.streams.swap_remove(at);
        slot.shared.drain(&mut self.wire.out);
        slot.shared.close("the stream has ended");
        let last = slot.close || (self.draining && self.is_idle());
        slot.shared
            .put_end(&mut self.wire.out, error.as_ref(), last);
        self.closing |= slot.close;
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(slot.id);
        self.rests = true;
    }

    /// Appends an answer that needs no handler, in its turn.
    fn say(&mut self, mut answer: Outbox) {
        if self.unary.is_none() && self.waiting.is_empty() {
            self.wire.out.append(&mut answer);
        } else {
            self.waiting.push_back(Waiting::Answer(answer));
        }
    }
}
