//! Which routes a connection has named already, so that a call carries a number.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::batch::Batch;
use super::super::dictionary::Told;
use super::super::outbox::Beside;
use super::super::pieces::Parts;
use super::super::wire::{CallId, Head, Hello, Kind, NAME, NO_ROUTE, ROUTE_BYTES, ROUTES, flag};
use crate::call::Request;
use crate::error::{Error, Result, id};
use crate::metadata::Text;

/// What a client keeps beside its queue.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) names: Names,
    pub(super) told: Told,
    pub(super) parts: Parts,
    /// The number of the last ping that is not answered yet; an older one need not be.
    pub(super) ping: Option<u64>,
    /// Streams whose sender was dropped. The end is told with the next write and not at once: where
    /// the receiver is dropped too, the stream is given up and must not look as if it ended well.
    pub(super) ending: Vec<CallId>,
}

impl Waiting {
    /// Nothing yet, for a peer with these limits.
    pub(super) fn new(theirs: &Hello) -> Self {
        Self {
            names: Names::default(),
            told: Told::new(theirs),
            parts: Parts::new(theirs),
            ping: None,
            ending: Vec::new(),
        }
    }
}

impl Beside for Waiting {
    fn waits(&self) -> bool {
        self.ping.is_some() || !self.ending.is_empty()
    }

    fn append(&mut self, queue: &mut Batch) {
        let parts = &self.parts;
        // A message of the stream goes before its end.
        for id in self.ending.extract_if(.., |id| !parts.has(*id)) {
            queue.frame(Head::new(Kind::End, 0, id), &Default::default(), |_| {});
        }
        if let Some(number) = self.ping.take() {
            answer_ping(number, queue);
        }
    }

    fn parts(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

/// Answers a ping.
pub(in super::super) fn answer_ping(number: u64, queue: &mut Batch) {
    let head = Head::new(Kind::Ping, flag::ANSWER, CallId::NONE);
    queue.frame(head, &Default::default(), |out| {
        out.extend_from_slice(&number.to_le_bytes());
    });
}

/// The routes of one connection by name; a route is a service, a path and a content type.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Sorted.
    known: Vec<Name>,
    /// How many bytes of names were sent.
    bytes: usize,
}

#[derive(Debug)]
struct Name {
    path: Text,
    content_type: Text,
    service: Text,
    number: u16,
}

/// How a call names its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Known(u16),
    /// Named here, and known from now on.
    New(u16),
    /// Named here alone: the connection has enough names.
    Unnumbered,
}

impl Route {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Known(number) | Self::New(number) => number,
            Self::Unnumbered => NO_ROUTE,
        }
    }

    pub(super) fn is_named(self) -> bool {
        !matches!(self, Self::Known(_))
    }
}

impl Names {
    /// The route of `request`, whose names [fit](check).
    pub(super) fn route(&mut self, request: &Request) -> Route {
        let names = names(request);
        let at = match self.known.binary_search_by(|known| known.cmp(names)) {
            Ok(at) => {
                return self
                    .known
                    .get(at)
                    .map_or(Route::Unnumbered, |name| Route::Known(name.number));
            }
            Err(at) => at,
        };
        let bytes = self.bytes + names.iter().map(|name| name.len()).sum::<usize>();
        let (Ok(number), true) = (
            u16::try_from(self.known.len()),
            self.known.len() < ROUTES && bytes <= ROUTE_BYTES,
        ) else {
            return Route::Unnumbered;
        };
        self.bytes = bytes;
        let path = match &request.method.path {
            Cow::Borrowed(path) => Text::from_static(path),
            Cow::Owned(path) => Text::from(path),
        };
        let name = Name {
            path,
            content_type: Text::from(request.codec.content_type().to_owned()),
            service: request.service.clone(),
            number,
        };
        self.known.insert(at, name);
        Route::New(number)
    }
}

impl Name {
    fn cmp(&self, [path, content_type, service]: [&[u8]; 3]) -> Ordering {
        self.path
            .as_bytes()
            .cmp(path)
            .then_with(|| self.content_type.as_bytes().cmp(content_type))
            .then_with(|| self.service.as_bytes().cmp(service))
    }
}

/// Path, content type and service of a request.
pub(super) fn names(request: &Request) -> [&[u8]; 3] {
    [
        request.method.path.as_bytes(),
        request.codec.content_type().as_bytes(),
        request.service.as_bytes(),
    ]
}

/// Refuses names that are too long for a frame.
pub(super) fn check(request: &Request) -> Result<()> {
    if names(request).iter().any(|name| name.len() > NAME) {
        return Err(Error::bad_request(
            id::CLIENT,
            format!("the names of service, method and content type may be {NAME} bytes long each"),
        ));
    }
    Ok(())
}
