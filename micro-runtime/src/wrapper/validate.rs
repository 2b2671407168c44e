//! Refuses requests whose messages break rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;

use super::{Next, Wrapper};
use crate::call::{Body, Payload, RawReceive, RawStream, Reply, Request};
use crate::codec::{Codec, decode};
use crate::error::{Detail, Error, Result};
use crate::metadata::Metadata;

/// Checks messages by rules in code, before the handler sees them, or before a client sends them.
///
/// A message that breaks a rule is refused with 400, which names each field and what is wrong with it,
/// in words and as a `google.rpc.BadRequest` among the error's [details](Error::details). Of streams
/// each message is checked when it comes, on servers alone. A checked message is decoded once more
/// than others; endpoints without checks cost a look into a map.
///
/// Rules written in a `.proto` as `buf.validate` options are not read: the one crate that does needs
/// `protoc` to build.
///
/// ```
/// use micro_runtime::wrapper::{Validate, Violations};
/// # #[derive(Default)] struct Signup { name: String, age: u32 }
/// # use micro_runtime::{Result, codec::form::Form};
/// # impl micro_runtime::call::Payload for Signup {
/// #     fn proto_len(&self) -> usize { 0 }
/// #     fn encode_proto(&self, _: &mut bytes::BytesMut) {}
/// #     fn merge_proto(&mut self, _: bytes::Bytes) -> Result<()> { Ok(()) }
/// #     fn form(&self) -> Option<&dyn Form> { None }
/// #     fn form_mut(&mut self) -> Option<&mut dyn Form> { None }
/// # }
///
/// let validate = Validate::new().check("Accounts.Create", |signup: &Signup, wrong: &mut Violations| {
///     if signup.name.is_empty() {
///         wrong.add("name", "must not be empty");
///     }
///     if signup.age < 18 {
///         wrong.add("age", "must be 18 at least");
///     }
/// });
/// # let _: Box<dyn micro_runtime::wrapper::Wrapper> = Box::new(validate);
/// ```
#[derive(Clone, Default)]
pub struct Validate {
    checks: BTreeMap<String, Arc<Check>>,
}

/// With the id that its errors have.
type Check = dyn Fn(&dyn Codec, Bytes, &'static str) -> Result<()> + Send + Sync;

/// What is wrong with one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Adds one: the field's path, `address.street`, and what is wrong with it.
    pub fn add(&mut self, field: impl Into<String>, words: impl Into<String>) {
        self.0.push((field.into(), words.into()));
    }

    fn into_result(self, id: &'static str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let words: Vec<_> = self
            .0
            .iter()
            .map(|(field, words)| format!("{field}: {words}"))
            .collect();
        let violations = self.0.into_iter();
        let detail = BadRequest {
            field_violations: violations
                .map(|(field, description)| FieldViolation { field, description })
                .collect(),
        };
        Err(
            Error::bad_request(id, words.join("; ")).with_detail(Detail {
                type_url: "type.googleapis.com/google.rpc.BadRequest".to_owned(),
                value: detail.encode_to_vec().into(),
            }),
        )
    }
}

/// `google/rpc/error_details.proto`.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

impl Validate {
    /// Without checks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks each message of type `M` that `endpoint`, `Say.Hello`, is sent, in place of a check that
    /// it had.
    #[must_use]
    pub fn check<M: Payload + Default>(
        mut self,
        endpoint: impl Into<String>,
        check: impl Fn(&M, &mut Violations) + Send + Sync + 'static,
    ) -> Self {
        let check = move |codec: &dyn Codec, body: Bytes, id: &'static str| {
            let message = decode::<M>(codec, body)?;
            let mut wrong = Violations::default();
            check(&message, &mut wrong);
            wrong.into_result(id)
        };
        self.checks.insert(endpoint.into(), Arc::new(check));
        self
    }
}

#[async_trait]
impl Wrapper for Validate {
    async fn wrap(&self, mut request: Request, next: Next) -> Result<Reply> {
        if let Some(check) = self.checks.get(&*request.method.endpoint) {
            match &mut request.body {
                Body::One(body) => {
                    check(&*request.codec, body.clone(), next.id())?;
                }
                Body::Stream(_) => {
                    let body = std::mem::take(&mut request.body);
                    if let Body::Stream(RawStream { send, receive }) = body {
                        let receive = Box::new(Checked {
                            inner: receive,
                            check: check.clone(),
                            codec: request.codec.clone(),
                            id: next.id(),
                        });
                        request.body = Body::Stream(RawStream { send, receive });
                    }
                }
                Body::Empty => {}
            }
        }
        next.run(request).await
    }
}

impl fmt::Debug for Validate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Validate")
            .field(&self.checks.keys())
            .finish()
    }
}

/// Messages of a stream, each checked as it comes.
struct Checked {
    inner: Box<dyn RawReceive>,
    check: Arc<Check>,
    codec: Arc<dyn Codec>,
    id: &'static str,
}

impl RawReceive for Checked {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        self.inner.poll_next(task).map(|next| match next {
            Some(Ok(message)) => {
                let checked = (self.check)(&*self.codec, message.clone(), self.id);
                Some(checked.map(|()| message))
            }
            other => other,
        })
    }

    fn metadata(&self) -> Metadata {
        self.inner.metadata()
    }

    fn trailers(&self) -> Metadata {
        self.inner.trailers()
    }
}
