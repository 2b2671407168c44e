//! The one connection of a channel, made when a call needs it and again when it is lost.
//!
//! A connection that was used for long enough is replaced by a new one while calls go on by the old.
//! A node that cannot be reached is not dialled by every call: after a second failure in a row calls
//! are told of the last one for a while, which is never longer than a second. The first failure
//! keeps nobody from trying again.

use std::future::Future;
use std::pin::pin;
#[cfg(feature = "grpc")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Destination, Environment};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::tasks::{Tasks, after};

/// A connection that many calls share.
pub(super) trait Link: Send + Sync + 'static {
    /// Whether it takes calls.
    fn is_open(&self) -> bool;

    /// Whether it was used for as long as one is, so that a new one is to take its place.
    fn is_old(&self) -> bool;

    /// Whether the peer was heard to speak the protocol. A connection that ends before it does is as
    /// good as none.
    fn is_proven(&self) -> bool;

    /// Takes no more calls, and ends when none is in flight.
    fn retire(&self);
}

/// What is known of a connection.
#[cfg(feature = "grpc")]
#[derive(Default)]
pub(super) struct Marks {
    retired: AtomicBool,
    old: AtomicBool,
    proven: AtomicBool,
}

#[cfg(feature = "grpc")]
impl Marks {
    pub(super) fn is_open(&self) -> bool {
        !self.retired.load(Ordering::Acquire)
    }

    pub(super) fn is_old(&self) -> bool {
        self.old.load(Ordering::Acquire)
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// It takes no more calls.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// It was used for as long as one is.
    pub(super) fn grow_old(&self) {
        self.old.store(true, Ordering::Release);
    }

    /// The peer has answered.
    pub(super) fn prove(&self) {
        // Read first: all calls would write the same place otherwise.
        if !self.is_proven() {
            self.proven.store(true, Ordering::Relaxed);
        }
    }
}

/// Makes connections of one protocol.
pub(super) trait Connect: Send + Sync + 'static {
    /// What it makes.
    type Link: Link;

    /// A connection to `node`, whose time the caller bounds. Whatever fails here, no call was sent yet.
    fn connect(
        &self,
        node: &Destination,
        environment: &Environment,
    ) -> impl Future<Output = Result<Arc<Self::Link>>> + Send;
}

/// The one connection to a node.
pub(super) struct Kept<C: Connect>(Arc<Shared<C>>);

struct Shared<C: Connect> {
    connect: C,
    node: Destination,
    environment: Environment,
    state: Mutex<Standing<C::Link>>,
}

/// How things stand with a node.
struct Standing<L> {
    state: State<L>,
    /// Whether an old connection is being replaced.
    renews: bool,
    trouble: Trouble,
}

/// What went wrong last.
#[derive(Default)]
struct Trouble {
    /// How many dials failed, one after another.
    failures: u32,
    last: Option<(Error, Instant)>,
}

impl Trouble {
    /// One more dial has failed: how long the next one is left alone, and what calls are told.
    fn add(&mut self, error: Error, tasks: &Tasks) {
        self.failures = self.failures.saturating_add(1);
        self.last = self.failures.checked_sub(2).map(|times| {
            let pause = FIRST_PAUSE
                .saturating_mul(1 << times.min(8))
                .min(LONGEST_PAUSE);
            // Not all callers of a node at once, when it is back.
            (error, after(pause / 2 + tasks.up_to(pause / 2)))
        });
    }

    /// Why nobody dials now.
    fn now(&self) -> Option<Error> {
        let (error, until) = self.last.as_ref()?;
        (Instant::now() < *until).then(|| error.clone())
    }
}

/// How long a node is left alone after the second failure in a row; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One dial, for all who wait for it. Not a watch channel: tokio wakes its waiters at random.
struct Dial<L> {
    done: Notify,
    result: OnceLock<Result<Arc<L>>>,
}

impl<L> Default for Dial<L> {
    fn default() -> Self {
        Self {
            done: Notify::new(),
            result: OnceLock::new(),
        }
    }
}

impl<L> Dial<L> {
    /// Waits for what it comes to. Cancel safe.
    async fn result(&self) -> Result<Arc<L>> {
        let mut done = pin!(self.done.notified());
        done.as_mut().enable();
        if self.result.get().is_none() {
            done.await;
        }
        match self.result.get() {
            Some(result) => result.clone(),
            None => Err(stops()),
        }
    }

    fn tell(&self, result: Result<Arc<L>>) {
        // The first counts: a dial that was stopped after its end has told already.
        let _ = self.result.set(result);
        self.done.notify_waiters();
    }
}

fn stops() -> Error {
    let words = "the client stops: no connections are made any more";
    Error::unavailable(id::CLIENT, words)
        .unprocessed()
        .caused_by(Cause::Own)
}

enum State<L> {
    /// Nothing yet, or nothing any more.
    Idle,
    /// One dial for all who wait.
    Dialling(Arc<Dial<L>>),
    Open(Arc<L>),
    /// Closed: no more calls.
    Closed,
}

impl<C: Connect> Kept<C> {
    /// No connection yet.
    pub(super) fn new(connect: C, node: Destination, environment: &Environment) -> Self {
        Self(Arc::new(Shared {
            connect,
            node,
            environment: environment.clone(),
            state: Mutex::new(Standing {
                state: State::Idle,
                renews: false,
                trouble: Trouble::default(),
            }),
        }))
    }

    /// The node that it goes to.
    #[cfg(feature = "grpc")]
    pub(super) fn node(&self) -> &Destination {
        &self.0.node
    }

    /// The connection, where there is one that takes calls.
    pub(super) fn open(&self) -> Option<Arc<C::Link>> {
        match &self.0.lock().state {
            State::Open(link) if link.is_open() => Some(link.clone()),
            _ => None,
        }
    }

    /// As [`open`](Self::open), where it is not to be replaced: otherwise [`link`](Self::link).
    pub(super) fn fresh(&self) -> Option<Arc<C::Link>> {
        self.open().filter(|link| !link.is_old())
    }

    /// The connection, made where there is none; of an old one a new one is made beside the call.
    pub(super) async fn link(&self, dial_timeout: Duration) -> Result<Arc<C::Link>> {
        self.0.link(dial_timeout).await
    }

    /// Takes no more calls; those in flight go on.
    pub(super) fn close(&self) {
        let before = std::mem::replace(&mut self.0.lock().state, State::Closed);
        if let State::Open(link) = before {
            link.retire();
        }
    }

    /// Lets `link` take no more calls, so that the next one dials.
    pub(super) fn leave(&self, link: &Arc<C::Link>) {
        {
            let mut standing = self.0.lock();
            if matches!(&standing.state, State::Open(open) if Arc::ptr_eq(open, link)) {
                standing.state = State::Idle;
                if link.is_proven() {
                    standing.trouble = Trouble::default();
                }
            }
        }
        link.retire();
    }
}

impl<C: Connect> Drop for Kept<C> {
    fn drop(&mut self) {
        // Streams may outlive the channel; the connection ends with the last of them.
        self.close();
    }
}

impl<C: Connect> Shared<C> {
    /// The connection, made where there is none.
    async fn link(self: &Arc<Self>, dial_timeout: Duration) -> Result<Arc<C::Link>> {
        let (dial, ours) = {
            let mut standing = self.lock();
            let Standing {
                state,
                renews,
                trouble,
            } = &mut *standing;
            let old = match state {
                State::Open(link) if link.is_open() => {
                    if !link.is_old() || *renews || trouble.now().is_some() {
                        return Ok(link.clone());
                    }
                    *renews = true;
                    Some(link.clone())
                }
                State::Open(link) => {
                    match link.is_proven() {
                        true => *trouble = Trouble::default(),
                        false => trouble.add(self.silent(), &self.environment.tasks),
                    }
                    *state = State::Idle;
                    None
                }
                State::Dialling(_) | State::Idle | State::Closed => None,
            };
            match (old, &*state) {
                (Some(old), _) => {
                    drop(standing);
                    self.dial(Arc::new(Dial::default()), dial_timeout);
                    return Ok(old);
                }
                (None, State::Closed) => return Err(self.closed()),
                (None, State::Dialling(dial)) => (dial.clone(), false),
                (None, State::Idle | State::Open(_)) => {
                    if let Some(error) = trouble.now() {
                        return Err(error);
                    }
                    let dial = Arc::new(Dial::default());
                    *state = State::Dialling(dial.clone());
                    (dial, true)
                }
            }
        };
        if ours {
            self.dial(dial.clone(), dial_timeout);
        }
        match timeout_at(Instant::now() + dial_timeout, dial.result()).await {
            Ok(result) => result,
            Err(_) => Err(self.no_answer(dial_timeout)),
        }
    }

    /// Dials in a task of its own, so that a caller who gives up does not undo it for the others.
    fn dial(self: &Arc<Self>, dial: Arc<Dial<C::Link>>, dial_timeout: Duration) {
        let dialling = Dialling {
            shared: self.clone(),
            dial,
        };
        self.environment
            .tasks
            .spawn(async move { dialling.run(dial_timeout).await });
    }

    /// Keeps what a dial came to; gives the connection that is not wanted any more.
    fn keep(&self, result: &Result<Arc<C::Link>>) -> Option<Arc<C::Link>> {
        let mut standing = self.lock();
        standing.renews = false;
        match (result, &standing.state) {
            (Ok(link), State::Closed) => Some(link.clone()),
            (Ok(link), _) => {
                match std::mem::replace(&mut standing.state, State::Open(link.clone())) {
                    State::Open(old) => Some(old),
                    State::Idle | State::Dialling(_) | State::Closed => None,
                }
            }
            (Err(error), state) => {
                // A failure is told to those who waited, and the connection that there is goes on.
                if matches!(state, State::Dialling(_)) {
                    standing.state = State::Idle;
                }
                let tasks = &self.environment.tasks;
                standing.trouble.add(error.clone(), tasks);
                None
            }
        }
    }

    /// What calls are told of a node whose connections end before it has said anything.
    fn silent(&self) -> Error {
        let words = format!(
            "connection error: {} ends its connections without a word",
            self.node.address
        );
        Error::internal(id::CLIENT, words)
            .unprocessed()
            .caused_by(Cause::Lost)
    }

    fn closed(&self) -> Error {
        let words = format!("the channel to {} is closed", self.node.address);
        Error::unavailable(id::CLIENT, words)
            .unprocessed()
            .caused_by(Cause::Own)
    }

    fn no_answer(&self, dial_timeout: Duration) -> Error {
        let words = format!(
            "connection error: dial {}: no connection within {dial_timeout:?}",
            self.node.address
        );
        Error::internal(id::CLIENT, words).unprocessed()
    }

    fn lock(&self) -> MutexGuard<'_, Standing<C::Link>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial's task.
struct Dialling<C: Connect> {
    shared: Arc<Shared<C>>,
    dial: Arc<Dial<C::Link>>,
}

impl<C: Connect> Dialling<C> {
    async fn run(self, dial_timeout: Duration) {
        let until = Instant::now() + dial_timeout;
        let Shared {
            connect,
            node,
            environment,
            ..
        } = &*self.shared;
        let result = match timeout_at(until, connect.connect(node, environment)).await {
            Ok(result) => result,
            Err(_) => Err(self.shared.no_answer(dial_timeout)),
        };
        self.end(result);
    }

    fn end(&self, result: Result<Arc<C::Link>>) {
        if let Some(unwanted) = self.shared.keep(&result) {
            unwanted.retire();
        }
        self.dial.tell(result);
    }
}

impl<C: Connect> Drop for Dialling<C> {
    fn drop(&mut self) {
        // Stopped from outside: whoever comes next dials anew.
        if self.dial.result.get().is_none() {
            self.end(Err(stops()));
        }
    }
}
