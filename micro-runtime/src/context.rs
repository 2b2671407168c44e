//! What a call carries besides its message: metadata, deadline, cancellation, peer, extensions.
//!
//! A handler gets `&Context`. A call that it makes takes this context as its parent by itself:
//! while a handler's future is polled, [`Context::current`] is its context. A spawned task has
//! none; give it a clone and name it with `.within(&cx)`.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metadata::{Metadata, Text, is_hop};

/// The context of one call; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Context {
    call: Arc<CallState>,
    /// What was changed after the context was shared.
    changed: Option<Arc<Changes>>,
}

struct CallState {
    metadata: Metadata,
    deadline: Option<Instant>,
    peer: Option<Arc<Peer>>,
    cancelled: AtomicBool,
    /// Whether the call has come to its handler, past all wrappers.
    reached: AtomicBool,
    /// Made on first use: most calls are never watched.
    cancel: OnceLock<Notify>,
    /// Made on first use: most handlers send nothing beside their message.
    reply: OnceLock<Mutex<ReplyParts>>,
}

#[derive(Clone, Default)]
struct Changes {
    metadata: Option<Metadata>,
    deadline: Option<Instant>,
    extensions: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// What a handler sends back beside its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplyParts {
    pub(crate) metadata: Metadata,
    pub(crate) trailers: Metadata,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address: `127.0.0.1:52044`, a path, or `memory`.
    pub address: Text,
    /// Our own address on that connection.
    pub local: Text,
    /// What frames the calls: `mucp`, `braid`.
    pub protocol: &'static str,
    /// The node's id in the registry, where we called it by name.
    pub node: Text,
    /// Whether TLS protects the connection.
    pub secure: bool,
}

impl Peer {
    /// A peer at `address`, reached from `local` over `protocol`.
    pub fn new(address: impl Into<Text>, local: impl Into<Text>, protocol: &'static str) -> Self {
        Self {
            address: address.into(),
            local: local.into(),
            protocol,
            ..Self::default()
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new(Metadata::new())
    }
}

impl Context {
    /// A context with `metadata`, without deadline or peer.
    pub fn new(metadata: Metadata) -> Self {
        Self::build(metadata, None, None)
    }

    /// A context with all that a protocol knows when a call arrives or leaves.
    pub fn build(metadata: Metadata, deadline: Option<Instant>, peer: Option<Arc<Peer>>) -> Self {
        Self {
            call: Arc::new(CallState {
                metadata,
                deadline,
                peer,
                cancelled: AtomicBool::new(false),
                reached: AtomicBool::new(false),
                cancel: OnceLock::new(),
                reply: OnceLock::new(),
            }),
            changed: None,
        }
    }

    /// The context of what `parent` sends: its user metadata and what `forward` names, under the
    /// sender's `own`, and its deadline.
    pub(crate) fn outgoing(parent: Option<&Self>, own: Metadata, forward: &[String]) -> Self {
        let Some(parent) = parent else {
            return Self::new(own);
        };
        let named = |key: &str| forward.iter().any(|name| name.eq_ignore_ascii_case(key));
        let passes = |key: &str| !is_hop(key) || named(key);
        let inherited = parent.metadata();
        let metadata = if inherited.iter().any(|(key, _)| passes(key)) {
            let mut metadata = Metadata::with_capacity(inherited.len() + own.len());
            for (key, value) in inherited.iter_text() {
                if passes(key) {
                    metadata.set(key.clone(), value.clone());
                }
            }
            metadata.merge(&own);
            metadata
        } else {
            own
        };
        Self::build(metadata, parent.deadline(), None)
    }

    /// The context of the handler that is being polled, if any.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The metadata: of a served call what came in, of a call being made what goes out.
    pub fn metadata(&self) -> &Metadata {
        self.changed
            .as_ref()
            .and_then(|changed| changed.metadata.as_ref())
            .unwrap_or(&self.call.metadata)
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.changed
            .as_ref()
            .and_then(|changed| changed.deadline)
            .or(self.call.deadline)
    }

    /// How long the caller still waits; zero when the deadline has passed, `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Who called, or who is called.
    pub fn peer(&self) -> Option<&Peer> {
        self.call.peer.as_deref()
    }

    /// The extension of type `T` that a wrapper has put here.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        let changed = self.changed.as_ref()?;
        let (_, value) = changed
            .extensions
            .iter()
            .find(|(kind, _)| *kind == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// The context with an extension; an earlier one of the same type gives way.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        let extensions = &mut self.change().extensions;
        extensions.retain(|(kind, _)| *kind != TypeId::of::<T>());
        extensions.push((TypeId::of::<T>(), Arc::new(value)));
        self
    }

    /// The context with other metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        match Arc::get_mut(&mut self.call) {
            Some(call) if self.changed.is_none() => call.metadata = metadata,
            _ => self.change().metadata = Some(metadata),
        }
        self
    }

    /// The context with one more pair of metadata.
    #[must_use]
    pub fn with_pair(self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        let mut metadata = self.metadata().clone();
        metadata.set(key, value);
        self.with_metadata(metadata)
    }

    /// The context with a deadline, if it is sooner than the one that is there.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.limit(deadline);
        self
    }

    /// Gives it a deadline, if it is sooner than the one that is there.
    pub(crate) fn limit(&mut self, deadline: Instant) {
        if self.deadline().is_none_or(|known| deadline < known) {
            match Arc::get_mut(&mut self.call) {
                Some(call) if self.changed.is_none() => call.deadline = Some(deadline),
                _ => self.change().deadline = Some(deadline),
            }
        }
    }

    /// Sets the metadata that goes back with the reply, where the protocol carries any (mucp does not).
    pub fn reply_metadata(&self) -> ReplyMetadata<'_> {
        ReplyMetadata {
            parts: self.reply(),
            trailers: false,
        }
    }

    /// Sets the metadata that goes back at the end, where the protocol carries any (mucp does not).
    pub fn reply_trailers(&self) -> ReplyMetadata<'_> {
        ReplyMetadata {
            parts: self.reply(),
            trailers: true,
        }
    }

    /// Takes what the handler wants to send back beside its message.
    pub(crate) fn take_reply_parts(&self) -> ReplyParts {
        match self.call.reply.get() {
            Some(_) => std::mem::take(&mut self.reply()),
            None => ReplyParts::default(),
        }
    }

    /// Whether the handler has set anything that goes back beside its message.
    #[cfg(feature = "grpc")]
    pub(crate) fn has_reply_parts(&self) -> bool {
        self.call.reply.get().is_some() && {
            let parts = self.reply();
            !parts.metadata.is_empty() || !parts.trailers.is_empty()
        }
    }

    /// Whether the call was given up: its caller is gone, or its deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.call.cancelled.load(Ordering::Acquire)
            || self
                .deadline()
                .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Waits until the call is given up or its deadline passes; for a call that is answered, and has
    /// no deadline, it never ends.
    ///
    /// A handler need not watch it: its future is dropped then. It is for work that the handler
    /// has spawned. Cancel safe.
    pub async fn cancelled(&self) {
        let notify = self.call.cancel.get_or_init(Notify::new);
        let told = async {
            loop {
                let mut next = std::pin::pin!(notify.notified());
                next.as_mut().enable();
                if self.call.cancelled.load(Ordering::Acquire) {
                    return;
                }
                next.await;
            }
        };
        match self.deadline() {
            Some(deadline) => drop(tokio::time::timeout_at(deadline, told).await),
            None => told.await,
        }
    }

    /// Notes that the call has come to its handler.
    pub(crate) fn reach(&self) {
        self.call.reached.store(true, Ordering::Release);
    }

    /// Whether the call has come to its handler: if not, an error of it is a wrapper's.
    pub(crate) fn is_reached(&self) -> bool {
        self.call.reached.load(Ordering::Acquire)
    }

    /// Marks the call as given up.
    pub(crate) fn cancel(&self) {
        self.call.cancelled.store(true, Ordering::Release);
        // Made here too, where nobody waits yet: whoever comes second finds what the other has made,
        // so that either the waiter sees the flag or this wakes it. A look without making it could
        // pass by a waiter that passes by the flag.
        self.call.cancel.get_or_init(Notify::new).notify_waiters();
    }

    /// Runs `future` with this context as the current one at each poll.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut own = Some(self);
        poll_fn(|task| {
            let mut entered = Entered::new(&mut own);
            let polled = future.as_mut().poll(task);
            entered.leave();
            polled
        })
        .await
    }

    fn change(&mut self) -> &mut Changes {
        Arc::make_mut(self.changed.get_or_insert_default())
    }

    fn reply(&self) -> MutexGuard<'_, ReplyParts> {
        let reply = self.call.reply.get_or_init(Mutex::default);
        reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("metadata", self.metadata())
            .field("remaining", &self.remaining())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// Sets pairs that go back to the caller. Short-lived: do not hold it across an await.
#[derive(Debug)]
pub struct ReplyMetadata<'a> {
    parts: MutexGuard<'a, ReplyParts>,
    trailers: bool,
}

impl ReplyMetadata<'_> {
    /// Sets `key` to `value`.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<Text>) -> &mut Self {
        let parts = &mut *self.parts;
        if self.trailers {
            &mut parts.trailers
        } else {
            &mut parts.metadata
        }
        .set(key, value);
        self
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Swaps a context into the thread's slot and back, also when the poll unwinds.
struct Entered<'a> {
    own: &'a mut Option<Context>,
    inside: bool,
}

impl<'a> Entered<'a> {
    fn new(own: &'a mut Option<Context>) -> Self {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, own));
        Self { own, inside: true }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.inside) {
            CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.own));
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nested_scopes_restore_the_outer_one() {
        let outer = Context::new([("k", "outer")].into_iter().collect());
        let inner = Context::new([("k", "inner")].into_iter().collect());
        let key = || Context::current().and_then(|cx| cx.metadata().get("k").map(str::to_owned));
        outer
            .scope(async {
                assert_eq!(key().as_deref(), Some("outer"));
                inner
                    .scope(async { assert_eq!(key().as_deref(), Some("inner")) })
                    .await;
                tokio::task::yield_now().await;
                assert_eq!(key().as_deref(), Some("outer"));
            })
            .await;
        assert_eq!(key(), None);
    }

    #[tokio::test]
    async fn a_panic_restores_the_outer_one() {
        let cx = Context::default();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let future = pin!(cx.scope(async { panic!("on purpose") }));
            let _: std::task::Poll<()> =
                future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        }));
        assert!(caught.is_err());
        assert!(Context::current().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_ends_at_cancel_and_at_the_deadline() {
        let cx = Context::default();
        let waiting = {
            let cx = cx.clone();
            async move { cx.cancelled().await }
        };
        let (_, ()) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            cx.cancel()
        });
        assert!(cx.is_cancelled());

        let cx = Context::default().with_deadline(Instant::now() + Duration::from_secs(3));
        let before = Instant::now();
        cx.cancelled().await;
        assert_eq!(before.elapsed(), Duration::from_secs(3));
        assert!(cx.is_cancelled());
    }

    #[test]
    fn changes_to_a_shared_context_leave_the_other_alone() {
        let first = Context::new([("a", "1")].into_iter().collect());
        let second = first.clone().with_pair("b", "2").with_extension(7_u32);
        assert_eq!(
            (first.metadata().len(), first.extension::<u32>()),
            (1, None)
        );
        assert_eq!(
            (second.metadata().get("b"), second.extension::<u32>()),
            (Some("2"), Some(&7))
        );
    }
}
