//! The heads of requests.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::time::Instant;

use super::super::super::encoding::{Encoding, READS};
use super::super::super::{content, headers, timeout};
use super::link::Link;
use super::{Dialect, How};
use crate::call::Request;
use crate::error::{Error, Result, id};
use crate::method::Idempotency;

const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
/// How the messages of Connect's streams are compressed, and may be.
pub(super) const CONNECT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");
const GRPC_WEB: HeaderName = HeaderName::from_static("x-grpc-web");
/// The largest timeout that Connect can say: ten digits.
const LONGEST_TIMEOUT: u128 = 9_999_999_999;
/// The longest path and query of a GET; servers and caches take no longer ones as a rule.
const LONGEST_GET: usize = 8 * 1024;

/// The head of a call's request, before it is known how its messages are sent.
pub(super) struct Heading<'a> {
    how: &'a How,
    link: &'a Link,
    request: &'a Request,
    deadline: Option<Instant>,
    content_type: HeaderValue,
}

impl<'a> Heading<'a> {
    /// Of `request`, which has time until `deadline`.
    ///
    /// # Errors
    /// 500 where the dialect has no name for the content type.
    pub(super) fn new(
        how: &'a How,
        link: &'a Link,
        request: &'a Request,
        deadline: Option<Instant>,
    ) -> Result<Self> {
        Ok(Self {
            how,
            link,
            request,
            deadline,
            content_type: content::of_call(request.codec.content_type())?,
        })
    }

    /// The name of the codec: `proto`, `json`.
    pub(super) fn subtype(&self) -> &str {
        let name = self.content_type.to_str().unwrap_or_default();
        name.split_once('+').map_or("proto", |(_, subtype)| subtype)
    }

    /// Of a request whose messages have their lengths before them.
    ///
    /// # Errors
    /// 400 where the method's path or the metadata cannot be sent.
    pub(super) fn of_frames(&self) -> Result<http::Request<()>> {
        let mut all = self.headers()?;
        let (prefix, encoding, reads) = match self.how.dialect {
            Dialect::Connect => (
                "application/connect+",
                CONNECT_ENCODING,
                CONNECT_ACCEPT_ENCODING,
            ),
            Dialect::GrpcWeb => {
                all.insert(GRPC_WEB, HeaderValue::from_static("1"));
                (
                    "application/grpc-web+",
                    headers::ENCODING,
                    headers::ACCEPT_ENCODING,
                )
            }
        };
        all.insert(CONTENT_TYPE, self.content_type(prefix)?);
        all.insert(reads, READS);
        if let Some(name) = self.how.encoding().name() {
            all.insert(encoding, name);
        }
        self.head(Method::POST, self.path()?, all)
    }

    /// Of Connect's unary call whose body is the message, compressed so.
    ///
    /// # Errors
    /// As [`of_frames`](Self::of_frames).
    pub(super) fn of_post(&self, encoding: Encoding) -> Result<http::Request<()>> {
        let mut all = self.headers()?;
        all.insert(CONTENT_TYPE, self.content_type("application/")?);
        all.insert(ACCEPT_ENCODING, READS);
        if let Some(name) = encoding.name() {
            all.insert(CONTENT_ENCODING, name);
        }
        self.head(Method::POST, self.path()?, all)
    }

    /// Of Connect's unary call that has all in its head; `None` where the method may not be called
    /// so, or the message is too long for it.
    ///
    /// # Errors
    /// As [`of_frames`](Self::of_frames).
    pub(super) fn of_get(
        &self,
        message: &Bytes,
        encoding: Encoding,
    ) -> Result<Option<http::Request<()>>> {
        if !self.how.get || self.request.method.idempotency != Idempotency::NoSideEffects {
            return Ok(None);
        }
        let mut target = self.request.method.path.clone().into_owned();
        target.push_str("?connect=v1&encoding=");
        target.push_str(self.subtype());
        if let Encoding::With(compression) = encoding {
            target.push_str("&compression=");
            target.push_str(compression.name());
        }
        target.push_str("&base64=1&message=");
        if target.len() + message.len().div_ceil(3) * 4 > LONGEST_GET {
            return Ok(None);
        }
        URL_SAFE_NO_PAD.encode_string(message, &mut target);
        let mut all = self.headers()?;
        // The query says it.
        all.remove(CONNECT_VERSION);
        all.insert(ACCEPT_ENCODING, READS);
        self.head(Method::GET, path(target)?, all).map(Some)
    }

    fn content_type(&self, prefix: &str) -> Result<HeaderValue> {
        HeaderValue::try_from([prefix, self.subtype()].concat())
            .map_err(|error| Error::bad_request(id::CLIENT, error.to_string()).unprocessed())
    }

    fn path(&self) -> Result<PathAndQuery> {
        path(self.request.method.path.clone().into_owned())
    }

    /// What all requests have.
    fn headers(&self) -> Result<HeaderMap> {
        let metadata = self.request.cx.metadata();
        let mut all = HeaderMap::with_capacity(8 + metadata.len());
        all.insert(
            USER_AGENT,
            HeaderValue::from_static(super::super::super::USER_AGENT),
        );
        if self.how.dialect == Dialect::Connect {
            all.insert(CONNECT_VERSION, HeaderValue::from_static("1"));
        }
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.how.dialect {
                Dialect::Connect => {
                    // Down, since a handler must not have more time than its caller.
                    let millis = left.as_millis().min(LONGEST_TIMEOUT);
                    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
                    all.insert(CONNECT_TIMEOUT, HeaderValue::from(millis));
                }
                Dialect::GrpcWeb => {
                    all.insert(headers::GRPC_TIMEOUT, timeout::write(left));
                }
            }
        }
        headers::write_all(metadata, &mut all)?;
        Ok(all)
    }

    fn head(
        &self,
        method: Method,
        path: PathAndQuery,
        all: HeaderMap,
    ) -> Result<http::Request<()>> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.link.scheme.clone());
        uri.authority = Some(self.link.authority.clone());
        uri.path_and_query = Some(path);
        let uri = Uri::from_parts(uri)
            .map_err(|error| Error::bad_request(id::CLIENT, error.to_string()).unprocessed())?;
        let mut head = http::Request::new(());
        *head.method_mut() = method;
        *head.uri_mut() = uri;
        *head.headers_mut() = all;
        Ok(head)
    }
}

fn path(target: String) -> Result<PathAndQuery> {
    PathAndQuery::try_from(target.as_str()).map_err(|_| {
        let words = format!("{target:?} cannot be a path");
        Error::bad_request(id::CLIENT, words).unprocessed()
    })
}
