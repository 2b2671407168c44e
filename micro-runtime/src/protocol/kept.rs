//! The one connection of a channel, made when a call needs it and again when it is lost.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Destination, Environment};
use crate::error::{Error, Result, id};

/// A connection that many calls share.
pub(super) trait Link: Send + Sync + 'static {
    /// Whether it takes calls.
    fn is_open(&self) -> bool;

    /// Takes no more calls, and ends when none is in flight.
    fn retire(&self);
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
    state: Mutex<State<C::Link>>,
}

/// One dial, for all who wait for it. Not a watch channel: tokio wakes its waiters at random.
struct Dial<L> {
    done: Notify,
    result: OnceLock<Result<Arc<L>>>,
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
    Error::unavailable(id::CLIENT, words).unprocessed()
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
            state: Mutex::new(State::Idle),
        }))
    }

    /// The node that it goes to.
    pub(super) fn node(&self) -> &Destination {
        &self.0.node
    }

    /// The connection, where there is one that takes calls.
    pub(super) fn open(&self) -> Option<Arc<C::Link>> {
        match &*self.0.lock() {
            State::Open(link) if link.is_open() => Some(link.clone()),
            _ => None,
        }
    }

    /// The connection, made where there is none.
    pub(super) async fn link(&self, dial_timeout: Duration) -> Result<Arc<C::Link>> {
        self.0.link(dial_timeout).await
    }

    /// Takes no more calls; those in flight go on.
    pub(super) fn close(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Closed);
        if let State::Open(link) = before {
            link.retire();
        }
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
            let mut state = self.lock();
            match &*state {
                State::Open(link) if link.is_open() => return Ok(link.clone()),
                State::Dialling(dial) => (dial.clone(), false),
                State::Closed => return Err(self.closed()),
                State::Idle | State::Open(_) => {
                    let dial = Arc::new(Dial {
                        done: Notify::new(),
                        result: OnceLock::new(),
                    });
                    *state = State::Dialling(dial.clone());
                    (dial, true)
                }
            }
        };
        if ours {
            // A task of its own, so that a caller who gives up does not undo it for the others.
            let dialling = Dialling {
                shared: self.clone(),
                dial: dial.clone(),
            };
            self.environment
                .tasks
                .spawn(async move { dialling.run(dial_timeout).await });
        }
        match timeout_at(Instant::now() + dial_timeout, dial.result()).await {
            Ok(result) => result,
            Err(_) => Err(self.no_answer(dial_timeout)),
        }
    }

    /// Keeps what a dial came to; says whether the connection is not wanted any more.
    fn keep(&self, result: &Result<Arc<C::Link>>) -> bool {
        let mut state = self.lock();
        if matches!(*state, State::Closed) {
            return true;
        }
        // A failure is told to those who waited, and never kept.
        *state = match result {
            Ok(link) => State::Open(link.clone()),
            Err(_) => State::Idle,
        };
        false
    }

    fn closed(&self) -> Error {
        let words = format!("the channel to {} is closed", self.node.address);
        Error::unavailable(id::CLIENT, words).unprocessed()
    }

    fn no_answer(&self, dial_timeout: Duration) -> Error {
        let words = format!(
            "connection error: dial {}: no connection within {dial_timeout:?}",
            self.node.address
        );
        Error::internal(id::CLIENT, words).unprocessed()
    }

    fn lock(&self) -> MutexGuard<'_, State<C::Link>> {
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
        let closed = self.shared.keep(&result);
        if let (true, Ok(link)) = (closed, &result) {
            link.retire();
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
