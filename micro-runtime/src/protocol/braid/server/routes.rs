//! The routes that a connection's calls have named: looked up once, then found by number.

use std::sync::Arc;

use super::super::fault::Fault;
use super::super::fields::Fields;
use super::super::wire::{Head, NAME, NO_ROUTE, ROUTE_BYTES, ROUTES, flag};
use crate::codec::Codec;
use crate::error::Error;
use crate::metadata::Text;
use crate::router::{Core, Route};

/// Where a call goes, and what its messages are encoded in.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) service: Text,
    /// Or why there is none.
    pub(super) to: Result<(Route, Arc<dyn Codec>), Error>,
}

/// The ways that calls of one connection have named.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: Vec<Arc<Way>>,
    bytes: usize,
}

impl Routes {
    /// The way of a call, whose names `fields` begins with where it names any.
    pub(super) fn find(
        &mut self,
        head: &Head,
        fields: &mut Fields,
        core: &Core,
    ) -> Result<Arc<Way>, Fault> {
        let unknown = Fault::Route(head.route);
        if !head.has(flag::NAMES) {
            let known = self.known.get(usize::from(head.route));
            return known.cloned().ok_or(unknown);
        }
        let path = fields.short_text(NAME)?;
        let content_type = fields.short_text(NAME)?;
        let service = fields.short_text(NAME)?;
        if head.route == NO_ROUTE {
            return Ok(Arc::new(way(&path, &content_type, &service, core)));
        }
        self.bytes += path.len() + content_type.len() + service.len();
        if usize::from(head.route) != self.known.len()
            || self.known.len() >= ROUTES
            || self.bytes > ROUTE_BYTES
        {
            return Err(unknown);
        }
        let way = Arc::new(way(&path, &content_type, &service, core));
        self.known.push(way.clone());
        Ok(way)
    }
}

fn way(path: &str, content_type: &str, service: &str, core: &Core) -> Way {
    // `/go.micro.srv.greeter.Say/Hello` is the endpoint `go.micro.srv.greeter.Say.Hello`.
    let endpoint = path.strip_prefix('/').unwrap_or(path).replacen('/', ".", 1);
    let to = core.find(&endpoint).and_then(|route| {
        let codec = core.codecs().require(content_type)?.clone();
        Ok((route, codec))
    });
    Way {
        // A copy: a slice would keep the block that it was read into.
        service: Text::from(service.to_owned()),
        to,
    }
}
