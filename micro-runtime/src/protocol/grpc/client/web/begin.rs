//! The heads of answers whose messages have their lengths before them.

use std::future::poll_fn;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::super::super::headers;
use super::super::super::message::{Encoding, Messages};
use super::super::super::status::{self, code};
use super::super::call::{Answer, failed};
use super::super::stream::Begin;
use super::closing::Closing;
use super::head::CONNECT_ENCODING;
use super::{Dialect, wrong};
use crate::call::Reply;
use crate::context::Peer;
use crate::error::{Error, Result};
use crate::metadata::Text;
use crate::protocol::exchange::{Answered, Inbound};

/// How the answers of a call are read.
pub(super) struct Reads {
    pub(super) dialect: Dialect,
    /// The codec that was asked for: `proto`, `json`.
    pub(super) subtype: Text,
    /// The longest message that is taken.
    pub(super) most: usize,
}

impl Begin for Reads {
    fn answer(&self, head: Parts, input: Inbound) -> Result<Answer> {
        let Parts {
            status, headers, ..
        } = head;
        let told = match self.dialect {
            Dialect::GrpcWeb => status::read(&headers),
            Dialect::Connect => None,
        };
        if status != StatusCode::OK {
            return Err(match told {
                Some(Err(error)) => error,
                _ => wrong::of_status(status, &headers),
            });
        }
        self.check_content_type(&headers)?;
        let metadata = headers::read(&headers);
        let messages = Messages::new(self.encoding(&headers)?, self.most);
        let closing = Closing::of(self.dialect, &headers);
        let messages = messages.closed_by(closing.flag());
        Ok(Answer::closed_by(closing, told, metadata, messages, input))
    }
}

impl Reads {
    fn check_content_type(&self, headers: &HeaderMap) -> Result<()> {
        let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
        let name = given.map(|given| {
            let end = given.iter().position(|byte| *byte == b';');
            given.get(..end.unwrap_or(given.len())).unwrap_or(given)
        });
        let ours = match self.dialect {
            Dialect::Connect => "application/connect",
            Dialect::GrpcWeb => "application/grpc-web",
        };
        let rest = name.and_then(|name| name.trim_ascii_end().strip_prefix(ours.as_bytes()));
        let subtype = match rest {
            Some([]) if self.dialect == Dialect::GrpcWeb => Some(&b"proto"[..]),
            Some([b'+', subtype @ ..]) => Some(subtype),
            _ => None,
        };
        let given = String::from_utf8_lossy(given.unwrap_or_default());
        match subtype {
            Some(subtype) if subtype == self.subtype.as_bytes() => Ok(()),
            Some(_) => Err(status::local(
                code::INTERNAL,
                format!("the answer is in {given:?}, which was not asked for"),
            )),
            None => Err(status::local(
                code::UNKNOWN,
                format!("the server's answer is none of {ours}: its content type is {given:?}"),
            )),
        }
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding> {
        let name = match self.dialect {
            Dialect::Connect => CONNECT_ENCODING,
            Dialect::GrpcWeb => headers::ENCODING,
        };
        let name = headers.get(name).map(|value| value.as_bytes());
        Encoding::read(name).ok_or_else(|| not_asked_for(name.unwrap_or_default()))
    }
}

/// The error of an answer that is compressed as we cannot read it.
pub(super) fn not_asked_for(encoding: &[u8]) -> Error {
    let name = String::from_utf8_lossy(encoding);
    let words = format!("the answer is in {name}, which was not asked for");
    status::local(code::INTERNAL, words)
}

/// The reply of a call that has one message.
pub(super) async fn unary(mut answered: Answered, reads: &Reads, peer: Arc<Peer>) -> Result<Reply> {
    let (head, input) = poll_fn(|task| answered.poll(task))
        .await
        .map_err(|fault| failed(&fault))?;
    reads.answer(head, input)?.into_reply(peer).await
}
