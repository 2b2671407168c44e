//! One line a call.

use std::thread::panicking;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Next, Wrapper};
use crate::call::{Body, Reply, Request};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::metadata::Text;
use crate::method::MethodRef;
use crate::tasks::Tasks;

/// Writes one `tracing` event for each call, of the target `micro::access`, when it has ended.
///
/// Its fields: `service` and `endpoint`; `peer` and `protocol`, who called and how, on a server;
/// `code`, 200 or the error's; `error`, its id and words; `took_ms`; `request_bytes` and
/// `reply_bytes` of single messages, not of streams; `request_id`, where metadata has
/// `X-Request-Id` or another [key](AccessLog::request_id_key): so [`RequestId`](super::RequestId), which
/// sees to it, stands outside, that is before. Never messages or other metadata. The level is `info`, or `warn` for calls that
/// failed with 500 or more or took longer than the [slow](AccessLog::slow) limit.
///
/// A call whose time is up before it has ended is told as 408, one that its caller has given up as 499,
/// and one that has panicked as 500. Of a stream a server's tells the whole, a client's the opening.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::{Service, wrapper::{AccessLog, RequestId}};
///
/// // Calls that went well and fast: one of a hundred.
/// let log = AccessLog::new().sample(0.01).slow(Duration::from_millis(500));
/// let service = Service::new("greeter").wrap_handler(RequestId::new()).wrap_handler(log);
/// # let _ = service;
/// ```
#[derive(Clone, Debug)]
pub struct AccessLog {
    share: f64,
    slow: Option<Duration>,
    request_id: Text,
    tasks: Tasks,
}

impl AccessLog {
    /// Of every call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of calls that went well and fast, this share is told, 0 to 1; of others, all.
    #[must_use]
    pub fn sample(mut self, share: f64) -> Self {
        self.share = share.clamp(0.0, 1.0);
        self
    }

    /// Calls that take longer are told with the level `warn`.
    #[must_use]
    pub fn slow(mut self, limit: Duration) -> Self {
        self.slow = Some(limit);
        self
    }

    /// The key of metadata under which calls have their id, where [`RequestId`](super::RequestId) was
    /// told [another](super::RequestId::key) than `X-Request-Id`.
    #[must_use]
    pub fn request_id_key(mut self, key: impl Into<Text>) -> Self {
        self.request_id = key.into();
        self
    }

    /// Samples are drawn from the random numbers of `tasks`: those of a service that is to be
    /// replayed.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    fn draws(&self) -> bool {
        /// How fine a share can be.
        const PARTS: usize = 1 << 20;
        #[expect(
            clippy::cast_precision_loss,
            reason = "both are far below where a double's whole numbers end"
        )]
        let drawn = || self.tasks.below(PARTS) as f64 / PARTS as f64;
        self.share >= 1.0 || drawn() < self.share
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            share: 1.0,
            slow: None,
            request_id: Text::from_static(super::request_id::KEY),
            tasks: Tasks::new(),
        }
    }
}

#[async_trait]
impl Wrapper for AccessLog {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        let mut line = Line {
            log: self,
            begun: Instant::now(),
            service: request.service.clone(),
            method: request.method.clone(),
            // A clone is two words: the wrappers further in may change theirs.
            cx: request.cx.clone(),
            request_bytes: length(&request.body),
            told: false,
        };
        let answer = next.run(request).await;
        let bytes = answer.as_ref().map(|reply| length(&reply.message));
        line.tell(bytes);
        answer
    }
}

/// What is told of one call, also where it is dropped before its end: since its time is up, or since
/// its caller is gone.
struct Line<'a> {
    log: &'a AccessLog,
    begun: Instant,
    service: Text,
    method: MethodRef,
    cx: Context,
    request_bytes: Option<usize>,
    told: bool,
}

impl Line<'_> {
    fn tell(&mut self, answer: Result<Option<usize>, &Error>) {
        self.told = true;
        let took = self.begun.elapsed();
        let is_slow = self.log.slow.is_some_and(|limit| took > limit);
        let failed = answer.is_err_and(|error| !(1..500).contains(&error.code()));
        if answer.is_ok() && !is_slow && !self.log.draws() {
            return;
        }
        let error = answer.err();
        let code = error.map_or(200, Error::code);
        let reply_bytes = answer.unwrap_or_default();
        let error = error.map(tracing::field::display);
        let took_ms = took.as_secs_f64() * 1e3;
        let request_bytes = self.request_bytes;
        let (service, endpoint) = (&*self.service, &*self.method.endpoint);
        let peer = self.cx.peer().map(|peer| &*peer.address);
        let protocol = self.cx.peer().map(|peer| peer.protocol);
        let request_id = self.cx.metadata().get(&self.log.request_id);
        if failed || is_slow {
            tracing::warn!(target: TARGET, service, endpoint, peer, protocol, code, error, took_ms, request_bytes, reply_bytes, request_id);
        } else {
            tracing::info!(target: TARGET, service, endpoint, peer, protocol, code, error, took_ms, request_bytes, reply_bytes, request_id);
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let error = match self.cx.remaining() {
            _ if panicking() => Error::internal(id::SERVER, "panicked"),
            Some(left) if left.is_zero() => Error::timeout(id::SERVER, "its time was up"),
            // As nginx tells a caller that is gone.
            _ => Error::new(id::SERVER, "given up by its caller", 499),
        };
        self.tell(Err(&error));
    }
}

/// Where its events are found.
const TARGET: &str = "micro::access";

fn length(body: &Body) -> Option<usize> {
    match body {
        Body::One(bytes) => Some(bytes.len()),
        Body::Empty | Body::Stream(_) => None,
    }
}
