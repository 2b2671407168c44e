//! The client's side: one connection to a node, made when a call needs it and again when it is lost.

mod calls;
mod link;
mod names;
mod stream;

pub(super) use names::answer_ping;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
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

/// What a dial came to; `None` while it goes on.
type Dialled = Option<Result<Arc<Link>>>;

enum State {
    /// Nothing yet, or nothing any more.
    Idle,
    /// One dial for all who wait.
    Dialling(watch::Receiver<Dialled>),
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
        let (mut dialled, dials) = {
            let mut state = self.lock();
            match &*state {
                State::Open(link) if link.is_open() => return Ok(link.clone()),
                State::Dialling(dialled) => (dialled.clone(), None),
                State::Closed => return Err(self.closed()),
                State::Idle | State::Open(_) => {
                    let (tell, dialled) = watch::channel(None);
                    *state = State::Dialling(dialled.clone());
                    (dialled, Some(tell))
                }
            }
        };
        if let Some(tell) = dials {
            // A task of its own, so that a caller who gives up does not undo it for the others.
            let this = self.clone();
            self.environment
                .tasks
                .spawn(async move { this.dial(dial_timeout, tell).await });
        }
        let done = async {
            dialled
                .wait_for(Option::is_some)
                .await
                .map(|done| done.clone())
        };
        match timeout_at(Instant::now() + dial_timeout, done).await {
            Ok(Ok(Some(result))) => result,
            Ok(Ok(None)) | Err(_) => Err(self.no_answer(dial_timeout)),
            Ok(Err(_)) => {
                self.forget(&dialled);
                let words = "the client stops: no connections are made any more";
                Err(Error::unavailable(id::CLIENT, words).unprocessed())
            }
        }
    }

    async fn dial(&self, dial_timeout: Duration, tell: watch::Sender<Dialled>) {
        let result = match timeout_at(Instant::now() + dial_timeout, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(self.no_answer(dial_timeout)),
        };
        let closed = {
            let mut state = self.lock();
            let closed = matches!(*state, State::Closed);
            if !closed {
                // A failure is told to those who waited, and never kept.
                *state = match &result {
                    Ok(link) => State::Open(link.clone()),
                    Err(_) => State::Idle,
                };
            }
            closed
        };
        if let (true, Ok(link)) = (closed, &result) {
            link.retire();
        }
        tell.send_replace(Some(result));
    }

    /// Whoever comes next dials anew: the task that dialled was stopped from outside.
    fn forget(&self, dialled: &watch::Receiver<Dialled>) {
        let mut state = self.lock();
        if matches!(&*state, State::Dialling(other) if other.same_channel(dialled)) {
            *state = State::Idle;
        }
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

impl fmt::Debug for BraidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BraidChannel")
            .field("node", &self.0.node)
            .finish_non_exhaustive()
    }
}
