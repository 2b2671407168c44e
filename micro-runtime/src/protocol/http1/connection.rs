//! A connection while the protocols of the web own it: one task, which reads, runs the handler of the
//! one request that is served, and writes.
//!
//! Requests that come before the answer to the one before wait unread, so answers leave in order.
//! Reading goes on while a handler runs, so that a caller that goes is noticed.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::exchange::{Exchange, HIGH_WATER};
use super::heads::{self, Framing, Said};
use super::kind::Kind;
use super::timing::Timing;
use super::{Wire, refusal};
use crate::context::Peer;
use crate::http1::{Malformed, Opening, Outbox, Piece, linger, poll_fill, put_date, put_plain};
use crate::protocol::age::Age;
use crate::protocol::exchange::{Answer, Inbound, Incoming};
use crate::protocol::grpc::{Grpc, Served, Web};
use crate::router::Core;

/// Unread bytes kept while nobody takes them: enough to see most callers go.
const PAUSED_INBOX: usize = 64 * 1024;
/// What is passed over of a body that nobody reads, so that the connection can be kept.
const PASSED_OVER: usize = 256 * 1024;

/// The same of a connection that we close.
const LAST: usize = 1024 * 1024;

/// Serves `wire` to its end, or until mucp comes on it.
pub(super) async fn serve(settings: &Grpc, wire: Wire, core: &Arc<Core>) -> Option<Wire> {
    let mut connection = Conn::new(settings, core, wire);
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
            linger(connection.wire.io, LAST).await;
            None
        }
        End::HandOver => Some(connection.wire),
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer is gone, or is to see that its answer is not whole.
    Gone,
    /// We close; the peer may still be reading.
    Linger,
    /// The next request is mucp's.
    HandOver,
}

pub(super) struct Conn<'a> {
    pub(super) settings: &'a Grpc,
    pub(super) core: &'a Arc<Core>,
    pub(super) wire: Wire,
    web: Web,
    pub(super) current: Option<Current>,
    age: Age,
    pub(super) draining: bool,
    /// No more requests are taken; when all is written the connection closes.
    pub(super) closing: bool,
    pub(super) timing: Timing,
}

/// The request that is served.
pub(super) struct Current {
    exchange: Arc<Exchange>,
    served: Option<Served>,
    /// Whether its handler may have something to do.
    due: bool,
    /// Whether its body is still coming, and what of it was passed over.
    open: bool,
    passed_over: usize,
    /// Its length, where that is known.
    left: Option<usize>,
    /// The caller waits for our word before it sends the body.
    expects: bool,
    keep_alive: bool,
    http11: bool,
    /// The answer must not have a body.
    head_only: bool,
    /// How the body that leaves is framed, once its head has.
    framing: Option<Framing>,
    /// How much of it is still to leave, where its length was said.
    missing: usize,
    /// All of the answer is given to the connection.
    pub(super) answered: bool,
}

impl<'a> Conn<'a> {
    fn new(settings: &'a Grpc, core: &'a Arc<Core>, wire: Wire) -> Self {
        let mut peer = Peer::new(wire.peer.clone(), wire.local.clone(), "web");
        peer.secure = wire.secure;
        Self {
            settings,
            core,
            wire,
            web: Web::new(settings, core, peer),
            current: None,
            age: Age::new(settings.max_age, core.tasks()),
            draining: false,
            closing: false,
            timing: Timing::default(),
        }
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    /// How it ended, when it has.
    fn advance(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        if let Some(current) = &mut self.current {
            current.due = true;
            current.exchange.enter();
        }
        loop {
            while self.step(task)? {}
            if self.current.is_none() && (self.closing || self.draining) && self.wire.out.is_empty()
            {
                return Err(End::Linger);
            }
            self.poll_timer(task)?;
            match &self.current {
                Some(current) if !current.exchange.leave(task.waker()) => {}
                _ => return Ok(()),
            }
        }
    }

    /// One turn: answers leave before more is read. Whether anything moved.
    fn step(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        self.write(task)?;
        Ok(self.run(task) || self.collect()? || self.parse(task)? || self.read(task)?)
    }

    fn write(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        if self.wire.out.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        let wire = &mut self.wire;
        let wrote = wire.out.poll_write(&mut *wire.io, &mut written, task);
        if written > 0 {
            self.timing.moved();
        }
        if let Poll::Ready(Err(_)) = wrote {
            return Err(self.lose(task));
        }
        if let Some(current) = &mut self.current {
            let waiting = current.exchange.set_queued(self.wire.out.len());
            current.tell(waiting, task);
        }
        Ok(())
    }

    /// Polls the handler, if it may have something to do. Whether something came of it.
    fn run(&mut self, task: &mut Task<'_>) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        if std::mem::take(&mut current.due)
            && let Some(served) = &mut current.served
            && served.as_mut().poll(task).is_ready()
        {
            current.served = None;
            return true;
        }
        current.exchange.take_moved()
    }

    /// Takes what there is of the answer. Whether there was something, or the exchange has ended.
    fn collect(&mut self) -> Result<bool, End> {
        let before = self.wire.out.len();
        let ended = self.collect_answer()?;
        Ok(ended || self.wire.out.len() != before)
    }

    fn collect_answer(&mut self) -> Result<bool, End> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        let mut state = current.exchange.state();
        let out = &mut self.wire.out;
        if state.abandoned {
            return Err(End::Gone);
        }
        if current.expects && state.wanted && !state.responded {
            current.expects = false;
            out.buffer()
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if let Some((status, headers)) = state.head.take() {
            let known = state.ended && state.trailers.is_empty();
            // Who serves may know it before all is there.
            let said = heads::length(&headers).filter(|_| !known);
            let framing = match known.then(|| state.body.len()).or(said) {
                _ if is_bodiless(status) => Framing::Bodiless,
                Some(length) => Framing::Length(length),
                None if current.http11 => Framing::Chunked,
                None => Framing::UntilClose,
            };
            // Of a body whose length nobody has said it is not known whether it will be cut, and a
            // caller that was told it may go on would lose its next request.
            let has_rest = (state.ended && current.left.is_none()) || current.is_to_be_cut();
            let is_last = framing == Framing::UntilClose
                || self.draining
                || self.age.is_over(Instant::now())
                || (current.open && has_rest);
            current.keep_alive &= !is_last;
            let said = Said {
                framing,
                close: !current.keep_alive,
                keeps: !current.http11,
            };
            let head = out.buffer();
            heads::write(head, status, &headers, said);
            head.extend_from_slice(b"date: ");
            put_date(head, self.core.tasks().now());
            head.extend_from_slice(b"\r\n\r\n");
            current.head_only |= framing == Framing::Bodiless;
            current.framing = Some(framing);
            current.missing = match framing {
                Framing::Length(length) => length,
                _ => usize::MAX,
            };
        }
        let Some(framing) = current.framing else {
            // A handler that is done and has not answered never will.
            if current.served.is_some() || state.responded {
                return Ok(false);
            }
            drop(state);
            return Ok(self.give_up());
        };
        let chunked = framing == Framing::Chunked && !current.head_only;
        if !state.body.is_empty() {
            if current.head_only {
                state.body.clear();
            } else if state.body.len() > current.missing {
                return Err(End::Gone);
            } else {
                current.missing -= state.body.len();
                put_body(out, &mut state.body, chunked);
            }
        }
        if !state.ended {
            drop(state);
            if current.served.is_none() {
                return Err(End::Gone);
            }
            return Ok(false);
        }
        if !current.answered {
            current.answered = true;
            // The next answer would be taken for what is missing of this one.
            let is_short = matches!(framing, Framing::Length(_)) && current.missing > 0;
            current.keep_alive &= !is_short || current.head_only;
            if chunked {
                let end = out.buffer();
                end.extend_from_slice(b"0\r\n");
                heads::write_fields(end, &state.trailers);
                end.extend_from_slice(b"\r\n");
            }
        }
        drop(state);
        Ok(self.finish())
    }

    /// Ends the exchange, where its answer and its handler have. Whether it did.
    fn finish(&mut self) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        if current.served.is_some() {
            return false;
        }
        current.exchange.deafen();
        if current.open && current.keep_alive && !current.is_to_be_cut() {
            // The rest of the body stands before the next request.
            return false;
        }
        self.closing |= !current.keep_alive || current.open;
        self.current = None;
        self.timing.moved();
        true
    }

    /// Answers a request in place of a handler that did not.
    fn give_up(&mut self) -> bool {
        let malformed = self
            .current
            .take()
            .and_then(|current| current.exchange.malformed());
        match malformed {
            Some(malformed) => self.refuse_bytes(malformed),
            None => self.refuse(500, "Internal Server Error", "the request was not answered"),
        }
        true
    }

    fn parse(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        match &self.current {
            None => self.parse_head(task),
            Some(current) if !current.open => Ok(false),
            Some(current) if current.exchange.is_full(self.window()) => Ok(false),
            Some(_) => Ok(self.parse_body(task)),
        }
    }

    fn parse_head(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        let wire = &mut self.wire;
        if self.closing || wire.out.len() >= HIGH_WATER {
            return Ok(false);
        }
        let kind = match wire.decoder.head(&mut wire.inbox) {
            Ok(None) => return Ok(false),
            Ok(Some(head)) => Kind::of(head),
            Err(malformed) => {
                self.refuse_bytes(malformed);
                return Ok(true);
            }
        };
        self.timing.moved();
        if kind == Kind::Mucp {
            return Err(End::HandOver);
        }
        if let Some(opening) = wire.decoder.open() {
            self.begin(kind, opening, task);
        }
        Ok(true)
    }

    fn begin(&mut self, kind: Kind, opening: Opening, task: &mut Task<'_>) {
        let Opening {
            head,
            length,
            keep_alive,
        } = opening;
        if let Some((code, status, words)) = refusal::of(kind, &head, self.settings) {
            return self.refuse(code, status, words);
        }
        let parts = match heads::read(&head) {
            Ok(parts) => parts,
            Err(malformed) => return self.refuse_bytes(malformed),
        };
        let expects = match head.get(b"Expect") {
            Some(value) if !value.eq_ignore_ascii_case(b"100-continue") => {
                let words = "only 100-continue can be expected";
                return self.refuse(417, "Expectation Failed", words);
            }
            expected => expected.is_some() && head.http11 && self.wire.inbox.is_empty(),
        };
        let (exchange, input, answer) = Exchange::new();
        self.current = Some(Current {
            exchange,
            served: None,
            due: true,
            open: true,
            passed_over: 0,
            left: length,
            expects: expects && length != Some(0),
            keep_alive,
            http11: head.http11,
            head_only: parts.method == Method::HEAD,
            framing: None,
            missing: usize::MAX,
            answered: false,
        });
        self.wire.decoder.recycle(head);
        // What is there of the body is there for the first look of its handler.
        while matches!(self.parse(task), Ok(true)) {}
        let served = self.web.begin(Incoming {
            head: parts,
            input: Inbound::Http1(input),
            answer: Answer::Http1(answer),
        });
        if let Some(current) = &mut self.current {
            current.served = served;
        }
    }

    fn parse_body(&mut self, task: &mut Task<'_>) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        let wire = &mut self.wire;
        let waiting = match wire.decoder.piece(&mut wire.inbox) {
            Ok(Piece::Nothing) => return false,
            Ok(Piece::Data(data)) => {
                current.expects = false;
                current.left = current.left.map(|left| left.saturating_sub(data.len()));
                if current.answered {
                    current.passed_over += data.len();
                }
                current.exchange.put(data)
            }
            Ok(Piece::End(trailers)) => {
                current.open = false;
                current.exchange.put_end(heads::read_trailers(trailers))
            }
            Err(malformed) => {
                // Nothing that follows can be read.
                current.open = false;
                current.keep_alive = false;
                current.exchange.put_end(Err(malformed))
            }
        };
        current.tell(waiting, task);
        true
    }

    fn read(&mut self, task: &mut Task<'_>) -> Result<bool, End> {
        let window = self.window();
        let stopped = match &self.current {
            Some(current) if current.open => current.exchange.is_full(window),
            Some(_) => self.wire.inbox.len() >= PAUSED_INBOX,
            // A head has bounds of its own.
            None => self.closing || self.wire.out.len() >= HIGH_WATER,
        };
        if stopped {
            return Ok(false);
        }
        let wire = &mut self.wire;
        let room = wire.decoder.room(&wire.inbox);
        match poll_fill(&mut *wire.io, &mut wire.inbox, room, task) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(1..)) => Ok(true),
            Poll::Ready(Ok(0) | Err(_)) => Err(self.lose(task)),
        }
    }

    /// The peer has closed, also if only its sending side: whoever called is not there any more. The
    /// handler sees it once before it is dropped.
    fn lose(&mut self, task: &mut Task<'_>) -> End {
        if let Some(current) = &mut self.current {
            for waiting in current.exchange.lose() {
                waiting.wake();
            }
            if let Some(served) = &mut current.served {
                let _ = served.as_mut().poll(task);
            }
        }
        End::Gone
    }

    fn window(&self) -> usize {
        usize::try_from(self.settings.stream_window).unwrap_or(usize::MAX)
    }

    /// Answers bytes that are no request, and closes.
    fn refuse_bytes(&mut self, malformed: Malformed) {
        let (code, status) = malformed.status();
        self.refuse(code, status, &malformed.to_string());
    }

    /// Answers in plain text, and closes.
    fn refuse(&mut self, code: u16, status: &'static str, words: &str) {
        self.closing = true;
        let words = format!("{code} {status}: {words}");
        put_plain(&mut self.wire.out, code, status, &words);
    }
}

impl Current {
    /// Wakes who waits for what the connection has done: mostly the handler that it polls itself.
    fn tell(&mut self, waiting: Option<Waker>, task: &Task<'_>) {
        match waiting {
            Some(waiting) if waiting.will_wake(task.waker()) => self.due = true,
            Some(waiting) => waiting.wake(),
            None => {}
        }
    }

    /// Whether too much of the body is still to come for it to be passed over.
    fn is_to_be_cut(&self) -> bool {
        self.expects || self.left.unwrap_or(0).max(self.passed_over) > PASSED_OVER
    }
}

/// Whether an answer of this status has no body, and no length of one.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Moves what there is of a body.
fn put_body(out: &mut Outbox, body: &mut Outbox, chunked: bool) {
    if !chunked {
        return out.append(body);
    }
    let size = format!("{:x}\r\n", body.len());
    out.buffer().extend_from_slice(size.as_bytes());
    out.append(body);
    out.buffer().extend_from_slice(b"\r\n");
}
