//! The beginning of a call: what its head asks for, its one message, and the run of its handler.

use std::future::poll_fn;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::super::message::{Broken, Encoding, Messages};
use super::super::status::code;
use super::super::{content, headers, timeout};
use super::reply::Caller;
use super::stream::Opened;
use super::{Served, Shared, web, with_parts};
use crate::call::{Body, Request};
use crate::codec::Codec;
use crate::context::{Context, Peer};
use crate::error::{Error, Result, id};
use crate::http1::{is_allowed_origin, is_loopback};
use crate::metadata::Metadata;
use crate::protocol::exchange::{Answer, Inbound, Incoming};
use crate::router::{Pace, Route};
use crate::tasks::{after, later};

/// What became of a stream that the peer has opened.
pub(super) enum Begun {
    /// It was refused; what its caller still sends.
    Refused(Inbound),
    /// It was refused by what would have run it.
    Answered,
    Unary {
        call: Served,
        /// How the method's handlers run, and when this call came.
        pace: Arc<Pace>,
        now: Instant,
    },
    /// Input of it is waited for: a stream, or what is refused once all of it is there.
    Stream(Served),
}

/// A call that may be served.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) route: Route,
    pub(super) codec: Arc<dyn Codec>,
    pub(super) cx: Context,
    pub(super) caller: Caller,
    pub(super) input: Inbound,
    pub(super) messages: Messages,
    pub(super) answer: Answer,
    now: Instant,
}

/// Why a request is refused before its call begins.
pub(super) enum Refused {
    /// It is not gRPC, or not from where it may come.
    Http(StatusCode, Error),
    Call(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Begins the call of a request.
pub(super) fn begin(shared: &Arc<Shared>, incoming: Incoming) -> Begun {
    if !is_grpc(&incoming.head) {
        return web::begin(shared, incoming);
    }
    let Incoming {
        head,
        input,
        mut answer,
    } = incoming;
    let caller = Caller::of(&head.headers, &shared.settings);
    let asked = match read_head(shared, &head) {
        Ok(asked) => asked,
        Err(Refused::Http(status, error)) => {
            caller.fail_as(status, &mut answer, &error);
            return Begun::Refused(input);
        }
        // Another node would say the same: nobody is told to ask one.
        Err(Refused::Call(error)) => {
            caller.fail(&mut answer, &error);
            return Begun::Refused(input);
        }
    };
    let metadata = headers::read_request(&head.headers);
    let messages = Messages::new(asked.encoding, shared.most);
    let peer = &shared.peer;
    asked.begin(shared, metadata, peer, caller, messages, input, answer)
}

pub(super) fn is_grpc(head: &Parts) -> bool {
    head.headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| content::is_grpc(value.as_bytes()))
}

/// What a head asks for.
pub(super) struct Asked {
    route: Route,
    codec: Arc<dyn Codec>,
    pub(super) encoding: Encoding,
    deadline: Option<Instant>,
    now: Instant,
}

impl Asked {
    /// A call of `route` at `now`, whose caller waits until `deadline`, or as long as the server lets
    /// it.
    pub(super) fn new(
        shared: &Shared,
        route: Route,
        codec: Arc<dyn Codec>,
        encoding: Encoding,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let deadline = deadline.or_else(|| {
            let unary = !route.method().kind.is_stream();
            let limit = shared.core.limits().call.filter(|_| unary)?;
            now.checked_add(limit)
        });
        Self {
            route,
            codec,
            encoding,
            deadline,
            now,
        }
    }

    /// Begins the call.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the call")]
    pub(super) fn begin(
        self,
        shared: &Arc<Shared>,
        metadata: Metadata,
        peer: &Arc<Peer>,
        caller: Caller,
        messages: Messages,
        input: Inbound,
        answer: Answer,
    ) -> Begun {
        let streams = self.route.method().kind.is_stream();
        let call = Call {
            shared: shared.clone(),
            route: self.route,
            codec: self.codec,
            cx: Context::build(metadata, self.deadline, Some(peer.clone())),
            caller,
            input,
            messages: messages.within(shared.room.hold()),
            answer,
            now: self.now,
        };
        match streams {
            true => Opened::serve(call),
            false => Begun::Unary {
                pace: call.route.pace().clone(),
                now: call.now,
                call: Box::pin(call.unary()),
            },
        }
    }
}

fn read_head(shared: &Shared, head: &Parts) -> Result<Asked, Refused> {
    let Parts {
        method,
        uri,
        headers,
        ..
    } = head;
    guard(shared, head)?;
    if method != Method::POST {
        let words = "gRPC is called with POST";
        return Err(Refused::Http(
            StatusCode::METHOD_NOT_ALLOWED,
            Error::method_not_allowed(id::SERVER, words),
        ));
    }
    if headers.len() > shared.core.limits().headers {
        let words = format!("{} headers are too many", headers.len());
        let error = Error::new(id::SERVER, words, 431).with_grpc_code(code::RESOURCE_EXHAUSTED);
        return Err(error.into());
    }
    let path = uri.path();
    let (service, name) = read_path(path).ok_or_else(|| {
        let words = format!("malformed method name: {path:?}");
        Error::bad_request(id::SERVER, words)
    })?;
    let route = shared.core.find_method(service, name)?;
    let content_type = headers
        .get(CONTENT_TYPE)
        .expect("a request without one is not gRPC's");
    let codec = content::codec(shared.core.codecs(), content_type)?.clone();
    let encoding = read_encoding(headers)?;
    let now = Instant::now();
    let deadline = read_deadline(headers, now)?;
    Ok(Asked::new(shared, route, codec, encoding, deadline, now))
}

/// The service and the method that a path names.
pub(super) fn read_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .filter(|(service, name)| !service.is_empty() && !name.is_empty() && !name.contains('/'))
}

/// Refuses what a web page may have sent from elsewhere.
pub(super) fn guard(shared: &Shared, head: &Parts) -> Result<(), Refused> {
    let settings = &shared.settings;
    let refuse = |words: &'static str| {
        Refused::Http(StatusCode::FORBIDDEN, Error::forbidden(id::SERVER, words))
    };
    for origin in head.headers.get_all(http::header::ORIGIN) {
        if !is_allowed_origin(&settings.origins, origin.as_bytes()) {
            return Err(refuse(
                "pages of this origin may not call here: name it in the allowed origins",
            ));
        }
    }
    if settings.loopback_only {
        let authority = head.uri.authority().map(|authority| authority.as_str());
        let host = head.headers.get(http::header::HOST);
        let named = authority
            .map(str::as_bytes)
            .or_else(|| host.map(|host| host.as_bytes()));
        if !named.is_some_and(is_loopback) {
            return Err(refuse(
                "the server listens on loopback, and :authority names another place",
            ));
        }
    }
    Ok(())
}

pub(super) fn read_encoding(headers: &HeaderMap) -> Result<Encoding> {
    let name = headers.get(headers::ENCODING).map(|value| value.as_bytes());
    Encoding::read(name).ok_or_else(|| {
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        let words = format!("messages in {name} are not read here");
        Error::not_implemented(id::SERVER, words)
    })
}

/// The sooner of gRPC's timeout and Go Micro's.
pub(super) fn read_deadline(headers: &HeaderMap, now: Instant) -> Result<Option<Instant>> {
    let standard = match headers.get(headers::GRPC_TIMEOUT) {
        None => None,
        Some(value) => {
            let read = timeout::read(value.as_bytes()).ok_or_else(|| {
                Error::internal(id::SERVER, format!("malformed grpc-timeout: {value:?}"))
            })?;
            Some(later(now, read))
        }
    };
    let go_micro = headers
        .get(headers::GO_MICRO_TIMEOUT)
        .and_then(|value| timeout::read_go_micro(value.as_bytes()))
        .map(|read| later(now, read));
    Ok([standard, go_micro].into_iter().flatten().min())
}

impl Call {
    /// Reads the one message, runs the handler and answers.
    async fn unary(mut self) {
        let message = match self.one_message().await {
            Ok(message) => message,
            Err(Broken::Message(error)) => {
                return self.caller.fail(&mut self.answer, &error);
            }
            // Nobody is there to be told.
            Err(Broken::Stream(_)) => return,
        };
        let Self {
            shared,
            route,
            codec,
            cx,
            caller,
            mut answer,
            now,
            // What still comes is not read. Kept, since dropping it would end the stream.
            input: _input,
            ..
        } = self;
        let request = Request::new(
            cx.clone(),
            shared.service.clone(),
            route.method(),
            codec,
            Body::One(message),
        );
        let serving = match route.start_at(now, request) {
            Ok(serving) => serving,
            Err(error) => return caller.fail(&mut answer, &error),
        };
        let result = tokio::select! {
            biased;
            () = poll_fn(|task| answer.poll_reset(task)) => return,
            result = serving.finish() => result,
        };
        let result = result.map_err(|error| with_parts(error, &cx));
        let patience = shared.core.limits().write;
        caller.answer(&mut answer, result, patience).await;
    }

    /// The one message of a unary call.
    async fn one_message(&mut self) -> Result<bytes::Bytes, Broken> {
        let Self {
            input, messages, ..
        } = self;
        let first = poll_fn(|task| messages.poll_next(input, task));
        let patience = later(self.now, self.shared.core.limits().request_read);
        let until = self
            .cx
            .deadline()
            .map_or(patience, |deadline| deadline.min(patience));
        let first = timeout_at(until, first)
            .await
            .map_err(|_| late())??
            .ok_or_else(|| Broken::Message(count("none")))?;
        if !messages.is_at_end(input) {
            let patience = self.caller.patience();
            let until = patience.map_or(until, |limit| until.min(after(limit)));
            let more = poll_fn(|task| messages.poll_next(input, task));
            match timeout_at(until, more).await {
                Ok(Ok(Some(_))) => return Err(Broken::Message(count("more than one"))),
                Ok(more) => drop(more?),
                Err(_) if patience.is_none() => return Err(late()),
                // A caller who never ends its input is served nevertheless.
                Err(_) => {}
            }
        }
        Ok(first)
    }
}

fn late() -> Broken {
    let words = "the request did not come in time";
    Broken::Message(Error::timeout(id::SERVER, words))
}

/// What a caller gets who sent another number of messages than one.
pub(super) fn count(came: &str) -> Error {
    let words = format!("the method takes one message, and {came} came");
    Error::not_implemented(id::SERVER, words)
}
