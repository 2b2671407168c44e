//! What is not gRPC itself and yet calls the same methods: gRPC-Web, Connect, and plain JSON.
//!
//! A request's head says which it is. Each differs in heads, in how messages lie in the body, and in
//! how an end is told; the call between is gRPC's. What a web page may do is in [`cors`].

mod accepts;
mod cors;
mod error;
mod query;
mod read;
mod reply;
mod trailers;

pub(super) use reply::Web;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::super::message::Messages;
use super::Shared;
use super::call::{self, Begun, Refused};
use super::reply::Caller;
use super::rest;
use crate::codec::{Codec, Payload};
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::protocol::exchange::{Inbound, Incoming};
use cors::Page;
use read::{Asked, Source};

/// A way of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    GrpcWeb,
    /// The same in base64.
    GrpcWebText,
    /// Connect's for unary methods, which plain JSON is a part of.
    Unary,
    /// Connect's for streams.
    Stream,
}

impl Dialect {
    /// That of a request; [`Unary`](Dialect::Unary) where its head does not say.
    fn of(head: &Parts) -> Self {
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap_or_default());
        let essence = read::essence(content_type);
        let is = |name: &str| {
            essence
                .strip_prefix(name)
                .is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'+')))
        };
        if is("application/grpc-web-text") {
            Self::GrpcWebText
        } else if is("application/grpc-web") {
            Self::GrpcWeb
        } else if is("application/connect") {
            Self::Stream
        } else {
            Self::Unary
        }
    }

    fn is_connect(self) -> bool {
        matches!(self, Self::Unary | Self::Stream)
    }
}

/// What the calls of a connection share that are not gRPC.
pub(super) struct Kit {
    grpc_web: Arc<Peer>,
    connect: Arc<Peer>,
    proto: Option<Arc<dyn Codec>>,
    json: Option<Arc<dyn Codec>>,
}

impl Kit {
    fn new(shared: &Shared) -> Self {
        let peer = |protocol| {
            Arc::new(Peer {
                protocol,
                ..Peer::clone(&shared.peer)
            })
        };
        let named = |name, grpc| {
            let inner = shared.core.codecs().get(grpc)?.clone();
            Some(Arc::new(Named { name, inner }) as Arc<dyn Codec>)
        };
        Self {
            grpc_web: peer("grpc-web"),
            connect: peer("connect"),
            proto: named(read::PROTO, "application/grpc+proto"),
            json: named(read::JSON, "application/grpc+json"),
        }
    }

    /// That of `shared`, made on first use.
    fn of(shared: &Shared) -> &Self {
        shared.web.get_or_init(|| Self::new(shared))
    }
}

/// Begins the call of a request that is not gRPC's.
pub(super) fn begin(shared: &Arc<Shared>, incoming: Incoming) -> Begun {
    let Incoming {
        head,
        input,
        mut answer,
    } = incoming;
    let dialect = Dialect::of(&head);
    let mut caller = Caller::of_web(Web::new(dialect, &head), &head.headers);
    if let Err(refused) = call::guard(shared, &head) {
        caller.refuse(&mut answer, &refused);
        return Begun::Refused(input);
    }
    let page = Page::of(&shared.settings, &head.headers);
    if cors::is_preflight(&head) {
        cors::answer_preflight(&page, &head.headers, &mut answer);
        return Begun::Refused(input);
    }
    caller.show_to(page);
    let asked = match read::read(shared, dialect, &head, &mut caller) {
        Ok(asked) => asked,
        // On HTTP/1.1 a caller may wait for the answer before it sends.
        Err(refused) if input.is_at_end() || matches!(input, Inbound::Http1(_)) => {
            caller.refuse(&mut answer, &refused);
            return Begun::Refused(input);
        }
        Err(refused) => {
            return Begun::Stream(Box::pin(async move {
                if rest::take(input).await.is_ok() {
                    caller.refuse(&mut answer, &refused);
                }
            }));
        }
    };
    let Asked {
        asked,
        source,
        most,
    } = asked;
    let messages = match source {
        Source::Enveloped => Messages::new(asked.encoding, most),
        Source::Text => Messages::of_text(asked.encoding, most),
        Source::Whole => Messages::whole(asked.encoding, most),
        Source::Given(message) => Messages::given(message, asked.encoding, most),
    };
    let kit = Kit::of(shared);
    let peer = match dialect.is_connect() {
        true => &kit.connect,
        false => &kit.grpc_web,
    };
    let metadata = read::metadata(dialect, &head.headers);
    asked.begin(shared, metadata, peer, caller, messages, input, answer)
}

/// A codec under Connect's name, to which a message that cannot be read is the caller's mistake.
#[derive(Debug)]
struct Named {
    name: &'static str,
    inner: Arc<dyn Codec>,
}

impl Codec for Named {
    fn content_type(&self) -> &str {
        self.name
    }

    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
        self.inner.encode(message, out)
    }

    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
        self.inner
            .decode(body, message)
            .map_err(|error| match error.code() {
                0 => Error::bad_request(id::SERVER, error.detail().to_owned()).with_source(error),
                _ => error,
            })
    }

    fn size_hint(&self, message: &dyn Payload) -> usize {
        self.inner.size_hint(message)
    }
}

impl Caller {
    /// Answers a request that does not become a call. Another node would say the same: nobody is
    /// told to ask one.
    fn refuse(&self, answer: &mut crate::protocol::exchange::Answer, refused: &Refused) {
        match refused {
            Refused::Http(status, error) => self.fail_as(*status, answer, error),
            Refused::Call(error) => self.fail(answer, error),
        }
    }
}
