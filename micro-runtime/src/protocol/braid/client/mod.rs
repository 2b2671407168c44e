//! The client's side: one connection to a node, made when a call needs it and again when it is lost.

mod calls;
mod link;
mod names;
mod reader;
mod stream;

pub(super) use names::answer_ping;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::wire::Hello;
use crate::call::{Reply, Request};
use crate::error::{Error, Result, id};
use crate::method::Kind;
use crate::protocol::{AttemptLimits, Channel, Destination, Environment};
use crate::transport::Borrowed;
use link::{Failed, Link};

/// Limits of ours that no setting names: a stream's window, a metadata block's bytes and pairs.
const WINDOW: usize = 128;
const METADATA: usize = 64 * 1024;
const PAIRS: usize = 256;

/// How many connections one call tries that end before it is sent.
const DIALS: usize = 3;

/// The way to one node.
pub(super) struct BraidChannel(Arc<Shared>);

struct Shared {
    node: Destination,
    environment: Environment,
    state: Mutex<State>,
}

/// One dial, for all who wait for it. Not a watch channel: tokio wakes its waiters at random.
struct Dial {
    done: Notify,
    result: OnceLock<Result<Arc<Link>>>,
}

impl Dial {
    /// Waits for what it comes to. Cancel safe.
    async fn result(&self) -> Result<Arc<Link>> {
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

    fn tell(&self, result: Result<Arc<Link>>) {
        // The first counts: a dial that was stopped after its end has told already.
        let _ = self.result.set(result);
        self.done.notify_waiters();
    }
}

fn stops() -> Error {
    let words = "the client stops: no connections are made any more";
    Error::unavailable(id::CLIENT, words).unprocessed()
}

enum State {
    /// Nothing yet, or nothing any more.
    Idle,
    /// One dial for all who wait.
    Dialling(Arc<Dial>),
    Open(Arc<Link>),
    /// Closed: no more calls.
    Closed,
}

impl BraidChannel {
    pub(super) fn new(node: Destination, environment: &Environment) -> Self {
        Self(Arc::new(Shared {
            node,
            environment: environment.clone(),
            state: Mutex::new(State::Idle),
        }))
    }
}

impl Channel for BraidChannel {
    fn call<'a>(
        &'a self,
        request: &'a Request,
        limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        Box::pin(async move {
            for _ in 0..DIALS {
                let link = self.0.link(limits.dial_timeout).await?;
                let answer = match request.method.kind {
                    Kind::Unary => link.unary(request, limits.deadline).await,
                    Kind::ServerStream => link.stream(request, limits.deadline, false).await,
                    Kind::ClientStream | Kind::Bidi => {
                        link.stream(request, limits.deadline, true).await
                    }
                };
                match answer {
                    Ok(reply) => return Ok(reply),
                    Err(Failed::Call(error)) => return Err(error),
                    // It ended, or the peer stops, before the call was sent: a new one is dialled.
                    Err(Failed::Retired) => {}
                }
            }
            let words = format!("{} takes no calls", self.0.node.address);
            Err(Error::unavailable(id::CLIENT, words).unprocessed())
        })
    }

    fn close(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Closed);
        if let State::Open(link) = before {
            link.retire();
        }
    }
}

impl Drop for BraidChannel {
    fn drop(&mut self) {
        // Streams may outlive the channel; the connection ends with the last of them.
        self.close();
    }
}

impl Shared {
    /// The connection, made where there is none.
    async fn link(self: &Arc<Self>, dial_timeout: Duration) -> Result<Arc<Link>> {
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
    fn keep(&self, result: &Result<Arc<Link>>) -> bool {
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

    async fn connect(&self) -> Result<Arc<Link>> {
        let Environment {
            transport,
            tasks,
            max_message,
            ..
        } = &self.environment;
        let connection = transport.dial(&self.node.address).await?;
        let ours = Hello::new(0, *max_message, WINDOW, METADATA, PAIRS);
        // Whatever fails here, no call was sent yet.
        Link::open(connection, self.node.id.clone(), ours, tasks)
            .await
            .map_err(|error| {
                Error::internal(id::CLIENT, format!("connection error: {}", error.detail()))
                    .with_source(error)
                    .unprocessed()
            })
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial's task.
struct Dialling {
    shared: Arc<Shared>,
    dial: Arc<Dial>,
}

impl Dialling {
    async fn run(self, dial_timeout: Duration) {
        let until = Instant::now() + dial_timeout;
        let result = match timeout_at(until, self.shared.connect()).await {
            Ok(result) => result,
            Err(_) => Err(self.shared.no_answer(dial_timeout)),
        };
        self.end(result);
    }

    fn end(&self, result: Result<Arc<Link>>) {
        let closed = self.shared.keep(&result);
        if let (true, Ok(link)) = (closed, &result) {
            link.retire();
        }
        self.dial.tell(result);
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        // Stopped from outside: whoever comes next dials anew.
        if self.dial.result.get().is_none() {
            self.end(Err(stops()));
        }
    }
}

impl fmt::Debug for BraidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BraidChannel")
            .field("node", &self.0.node)
            .finish_non_exhaustive()
    }
}
