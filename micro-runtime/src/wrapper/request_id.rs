//! One id for all that one request sets off.

use async_trait::async_trait;
use tracing::Instrument;

use super::{Next, Wrapper};
use crate::call::{Reply, Request};
use crate::error::Result;
use crate::metadata::Text;
use crate::tasks::Tasks;

/// Sees to it that each call has an id in its metadata, under `X-Request-Id` unless another key is
/// named: the caller's where it has one, else a random UUID.
///
/// On a server the id goes back with the reply's metadata (not over mucp, whose replies have none), on
/// to the calls that the handler makes, and into a tracing span around the handler; a client's gives it to calls that no handler makes. An
/// id that is too long to be one (128 bytes), or that has other characters than visible ASCII, is
/// replaced: it ends up in logs. It is the first of a service's wrappers: those before it, such as an
/// [`AccessLog`](super::AccessLog), do not see an id that it has made.
///
/// ```
/// # async fn example() -> micro_runtime::Result<()> {
/// use micro_runtime::{Service, wrapper::RequestId};
///
/// let service = Service::new("greeter").wrap_handler(RequestId::new()).wrap_call(RequestId::new());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestId {
    key: Text,
    tasks: Tasks,
}

/// Where it is, unless another key is named.
pub(super) const KEY: &str = "X-Request-Id";

/// The longest id that is taken from a caller, in bytes.
const LONGEST: usize = 128;

impl RequestId {
    /// Under `X-Request-Id`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Under this key of metadata.
    #[must_use]
    pub fn key(mut self, key: impl Into<Text>) -> Self {
        self.key = key.into();
        self
    }

    /// New ids are made of the random numbers of `tasks`: those of a service that is to be replayed.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self {
            key: Text::from_static(KEY),
            tasks: Tasks::new(),
        }
    }
}

#[async_trait]
impl Wrapper for RequestId {
    async fn wrap(&self, mut request: Request, next: Next) -> Result<Reply> {
        let known = request.cx.metadata().get_text(&self.key);
        let id = match known.filter(|id| is_fit(id)) {
            Some(id) => id.clone(),
            None => {
                let id = Text::from(self.tasks.uuid());
                request.cx = request.cx.with_pair(self.key.clone(), id.clone());
                id
            }
        };
        request
            .cx
            .reply_metadata()
            .set(self.key.clone(), id.clone());
        let span = tracing::info_span!(
            "call",
            endpoint = &*request.method.endpoint,
            request_id = &*id
        );
        next.run(request).instrument(span).await
    }
}

fn is_fit(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|byte| byte.is_ascii_graphic())
}
