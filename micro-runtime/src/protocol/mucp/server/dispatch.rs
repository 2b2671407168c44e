//! From a request to what is done with it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::inbound::{Inbound, Refusal};
use super::reply::{self, Echo, Rendered, Said};
use super::stream::Shared;
use super::{Conn, READ_AHEAD, Slot};
use crate::call::{Body, Request};
use crate::codec::{BytesCodec, Codec};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::http1::{Message, Outbox, put_plain};
use crate::metadata::Text;
use crate::method::{Idempotency, Kind};
use crate::protocol::mucp::envelope::Envelope;
use crate::protocol::mucp::names::{EOS, TEXT_PLAIN};
use crate::router::{Route, Serving};

/// What waits for the unary calls before it.
pub(super) enum Waiting {
    /// A call.
    Call(Box<Call>),
    /// An answer that needed no handler.
    Answer(Outbox),
}

/// A unary call that has not started.
pub(super) struct Call {
    inbound: Inbound,
    route: Route,
    codec: Arc<dyn Codec>,
    envelope: Envelope,
    /// Its id in an envelope.
    id: String,
    message: Bytes,
    /// Counted from when it came, not from when its turn came.
    deadline: Option<Instant>,
    close: bool,
}

impl Call {
    /// How many bytes it holds.
    pub(super) fn size(&self) -> usize {
        self.inbound.head.len() + self.message.len()
    }
}

/// A unary call that runs.
pub(super) struct Unary {
    pub(super) inbound: Inbound,
    pub(super) serving: Serving,
    pub(super) envelope: Envelope,
    pub(super) id: String,
    pub(super) deadline: Option<Instant>,
    pub(super) close: bool,
}

/// Why a request does not start anything.
enum Instead {
    /// Another status than 200; the connection closes.
    Plain(u16, &'static str, String),
    /// An error as mucp says it.
    Error(Envelope, String, Error),
    /// A body of text, as Go's server refuses a content type.
    Text(String),
    /// Nothing but 200.
    Empty,
}

impl Conn<'_> {
    /// Takes one request.
    pub(super) fn dispatch(&mut self, message: Message) {
        let Message {
            head,
            body,
            keep_alive,
        } = message;
        let inbound = Inbound::new(head);
        let stream = inbound.stream();
        if let Some(id) = &stream {
            if let Some(at) = self.streams.iter().position(|slot| slot.id == *id) {
                self.input(at, &inbound, body);
                self.wire.decoder.recycle(inbound.head);
                return;
            }
            // Go's clients end a stream also after the server has; and whatever else comes late
            // must not start it anew.
            if inbound.error() == Some(EOS) || self.ended.contains(id) {
                return;
            }
        }
        if self.closing || self.hung_up {
            return;
        }
        let refused = match self.admit(&inbound, body, stream, !keep_alive) {
            Ok(Some(Begun::Unary(route, codec, opened))) => {
                let call = Call {
                    deadline: self.deadline(&inbound, Kind::Unary),
                    inbound,
                    route,
                    codec,
                    envelope: opened.0,
                    id: opened.1,
                    message: opened.2,
                    close: !keep_alive,
                };
                self.closing |= call.close;
                self.queue(call);
                return;
            }
            Ok(Some(Begun::Stream)) => return self.wire.decoder.recycle(inbound.head),
            Ok(None) => Instead::Empty,
            Err(instead) => instead,
        };
        self.refuse(&inbound, refused, !keep_alive);
        self.wire.decoder.recycle(inbound.head);
    }

    /// Finds what a request calls; a stream is opened at once.
    fn admit(
        &mut self,
        inbound: &Inbound,
        body: Bytes,
        stream: Option<Text>,
        close: bool,
    ) -> Result<Option<Begun>, Instead> {
        let body_type = inbound.body_type();
        let envelope = Envelope::of(body_type);
        inbound
            .admit(self.settings)
            .map_err(|refusal| match refusal {
                Refusal::Call(error) => Instead::Error(envelope, String::new(), error),
                Refusal::Http(code, status, words) => Instead::Plain(code, status, words),
            })?;
        if !self.on {
            let words = "mucp is switched off on this server";
            let error = Error::not_implemented(id::SERVER, words).unprocessed();
            return Err(Instead::Error(envelope, String::new(), error));
        }
        if inbound.is_event() {
            return self.admit_event(body);
        }
        let Some(codec) = self.core.codecs().get(body_type).cloned() else {
            let given = inbound.content_type();
            return Err(Instead::Text(format!("unsupported Content-Type: {given}")));
        };
        let fail = |id: &str, error| Instead::Error(envelope, id.to_owned(), error);
        let endpoint = inbound.endpoint();
        // The body of a stream's opening is nothing; only where no header names the endpoint it
        // is looked into.
        let named = (!endpoint.is_empty()).then(|| self.core.find(endpoint));
        if let (Some(Ok(route)), Some(id)) = (&named, &stream)
            && route.method().kind.is_stream()
        {
            let route = route.clone();
            return self.open(inbound, codec, envelope, route, id.clone(), close);
        }
        let opened = envelope.open_request(body).map_err(|error| {
            let words = format!("rpc: router cannot decode request: {}", error.detail());
            fail("", Error::plain(words))
        })?;
        let own_id = match envelope {
            Envelope::ProtoRpc | Envelope::JsonRpc => opened.id,
            Envelope::Bare | Envelope::Grpc => String::new(),
        };
        let route = named
            .unwrap_or_else(|| self.core.find(&opened.method))
            .map_err(|error| fail(&own_id, error))?;
        if self.draining {
            return Err(fail(&own_id, stopping()));
        }
        let method = route.method();
        if inbound.is_get() && method.idempotency != Idempotency::NoSideEffects {
            let words = format!("{} has side effects: call it with POST", method.endpoint);
            return Err(fail(&own_id, Error::method_not_allowed(id::SERVER, words)));
        }
        if !method.kind.is_stream() {
            let opened = (envelope, own_id, opened.message);
            return Ok(Some(Begun::Unary(route, codec, opened)));
        }
        match stream {
            Some(stream) => self.open(inbound, codec, envelope, route, stream, close),
            None => {
                let words = format!("{} is a stream: send Micro-Stream", method.endpoint);
                Err(fail(&own_id, Error::bad_request(id::SERVER, words)))
            }
        }
    }

    /// Events are for subscribers, and an event without one is no error in Go.
    fn admit_event(&self, body: Bytes) -> Result<Option<Begun>, Instead> {
        let Some(route) = self.core.events() else {
            return Ok(None);
        };
        let envelope = Envelope::Bare;
        if self.draining {
            return Err(Instead::Error(envelope, String::new(), stopping()));
        }
        // Each subscriber reads it in its own way.
        let codec = Arc::new(BytesCodec);
        let opened = (envelope, String::new(), body);
        Ok(Some(Begun::Unary(route, codec, opened)))
    }

    /// Runs a call, or has it wait for those before it.
    fn queue(&mut self, call: Call) {
        self.rests = false;
        if self.unary.is_none() && self.waiting.is_empty() {
            self.start(call);
        } else {
            self.waiting_bytes += call.size();
            self.waiting.push_back(Waiting::Call(Box::new(call)));
        }
    }

    /// Starts a call's handler, or answers that it cannot be.
    pub(super) fn start(&mut self, call: Call) {
        let Call {
            inbound,
            route,
            codec,
            envelope,
            id,
            message,
            deadline,
            close,
        } = call;
        let request = self.request(&inbound, &route, codec, Body::One(message), deadline);
        match route.start(request) {
            Ok(serving) => {
                self.unary = Some(Unary {
                    inbound,
                    serving,
                    envelope,
                    id,
                    deadline,
                    close,
                });
            }
            Err(error) => {
                let echo = Echo::Of(&inbound);
                reply::put_error(&mut self.wire.out, echo, envelope, &id, &error, close);
                self.wire.decoder.recycle(inbound.head);
            }
        }
    }

    /// Opens a stream.
    fn open(
        &mut self,
        inbound: &Inbound,
        codec: Arc<dyn Codec>,
        envelope: Envelope,
        route: Route,
        stream: Text,
        close: bool,
    ) -> Result<Option<Begun>, Instead> {
        let fail = |error| Instead::Error(envelope, String::new(), error);
        // Nothing was open that could have failed at the caller's.
        if inbound.error().is_some() {
            return Ok(Some(Begun::Stream));
        }
        if self.draining {
            return Err(fail(stopping()));
        }
        let running = self.streams.len() + self.waiting.len() + usize::from(self.unary.is_some());
        if running >= self.core.limits().calls_per_connection {
            let words = format!("{running} calls run on this connection already, the most it may");
            return Err(fail(Error::unavailable(id::SERVER, words).unprocessed()));
        }
        let method = route.method();
        let deadline = self.deadline(inbound, method.kind);
        let call_id = inbound.str(inbound.known.id).to_owned();
        let shared = Shared::new(
            self.hub.clone(),
            envelope,
            Rendered::new(inbound),
            inbound.endpoint().to_owned(),
            call_id,
        );
        let body = Body::Stream(shared.halves());
        let request = self.request(inbound, &route, codec, body, deadline);
        let serving = route.start(request).map_err(fail)?;
        if inbound.asks_for_ends() {
            shared.put_ends(&mut self.wire.out);
        }
        self.streams.push(Slot {
            id: stream,
            kind: method.kind,
            serving,
            waker: shared.clone().into(),
            shared,
            deadline,
            begun: false,
            input_ended: false,
            given_up: false,
            close,
        });
        Ok(Some(Begun::Stream))
    }

    /// Gives a stream what came for it.
    fn input(&mut self, at: usize, inbound: &Inbound, body: Bytes) {
        let Some(slot) = self.streams.get_mut(at) else {
            return;
        };
        if slot.input_ended {
            return;
        }
        match inbound.error() {
            Some(words) => {
                slot.input_ended = true;
                let error = (words != EOS).then(|| Error::from_wire(words));
                slot.given_up = error.is_some();
                slot.shared.end_input(error);
            }
            // The handler of a server stream takes one message; more would stop the reading.
            None if slot.begun && slot.kind == Kind::ServerStream => {}
            None => {
                slot.begun = true;
                match slot.shared.open(body) {
                    Ok(message) => slot.shared.push(message),
                    Err(error) => {
                        slot.input_ended = true;
                        slot.given_up = true;
                        slot.shared.end_input(Some(error));
                    }
                }
                if slot
                    .shared
                    .is_full(self.core.limits().stream_window, READ_AHEAD)
                {
                    self.blocked = Some(slot.shared.clone());
                }
            }
        }
    }

    fn request(
        &self,
        inbound: &Inbound,
        route: &Route,
        codec: Arc<dyn Codec>,
        body: Body,
        deadline: Option<Instant>,
    ) -> Request {
        let metadata = inbound.metadata(&self.wire.local, &self.peer.address);
        let service = metadata
            .get_text("Micro-Service")
            .cloned()
            .unwrap_or_default();
        let cx = Context::build(metadata, deadline, Some(self.peer.clone()));
        Request::new(cx, service, route.method(), codec, body)
    }

    /// When the caller gives up. The server's own default is for unary calls alone.
    fn deadline(&self, inbound: &Inbound, kind: Kind) -> Option<Instant> {
        let default = self.core.limits().call.filter(|_| !kind.is_stream());
        let limit = inbound.timeout().or(default)?;
        Instant::now().checked_add(limit)
    }

    /// Answers what starts nothing.
    fn refuse(&mut self, inbound: &Inbound, instead: Instead, close: bool) {
        let mut answer = Outbox::default();
        let echo = Echo::Of(inbound);
        let mut close = close;
        match instead {
            Instead::Plain(code, status, words) => {
                close = true;
                let words = format!("{code} {status}: {words}");
                put_plain(&mut answer, code, status, &words);
            }
            Instead::Error(envelope, id, error) => {
                reply::put_error(&mut answer, echo, envelope, &id, &error, close);
            }
            Instead::Text(words) => {
                let said = Said {
                    body: words.into(),
                    content_type: Some(TEXT_PLAIN),
                    close,
                    ..Said::default()
                };
                reply::put(&mut answer, echo, said);
            }
            Instead::Empty => {
                let said = Said {
                    close,
                    ..Said::default()
                };
                reply::put(&mut answer, echo, said);
            }
        }
        self.closing |= close;
        self.say(answer);
    }
}

/// What a request has begun.
enum Begun {
    /// A unary call, with its envelope, its id in that, and the message.
    Unary(Route, Arc<dyn Codec>, (Envelope, String, Bytes)),
    /// A stream, which is open.
    Stream,
}

/// What a new call is told while the server stops.
fn stopping() -> Error {
    Error::unavailable(id::SERVER, "the server is stopping: call another node").unprocessed()
}
