//! A service called in its own process, without a connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::call::{
    Body, BoxFuture, Dispatch, Invoke, Next, Queue, RawReceive, RawSend, RawStream, Reply, Request,
    StreamEnd,
};
use crate::client::bounded;
use crate::context::{Context, Peer};
use crate::error::why::{Attempt, Failure, Step};
use crate::error::{Error, Result, id};
use crate::metadata::{Metadata, Text};
use crate::router::{Core, CoreOptions, Route, Serving};
use crate::tasks::after;

/// A service in this process, called without a network: what `SayClient::local` stands on.
///
/// Messages pass through the codec, and metadata, deadlines, cancellation and the ends of streams are
/// as over a connection. Nothing is retried, since there is one node.
#[derive(Clone, Debug)]
pub struct Local(Arc<Core>);

impl Local {
    /// A way to call `service` in process.
    pub fn new(service: impl Dispatch) -> Self {
        let service: Arc<dyn Dispatch> = Arc::new(service);
        let core = Core::new(CoreOptions::default(), [service]);
        Self(Arc::new(
            core.expect("one service cannot share its name with another"),
        ))
    }
}

impl Invoke for Local {
    fn invoke(&self, mut request: Request) -> BoxFuture<Result<Reply>> {
        let wrappers = std::mem::take(&mut request.options.wrappers);
        if !wrappers.is_empty() {
            let end: Arc<dyn Invoke> = Arc::new(self.clone());
            return Box::pin(async move {
                // As a client does: the wrappers' time is the call's.
                if !request.method.kind.is_stream() {
                    request.cx.limit(after(timeout(&request)));
                }
                Next::to_invoke(wrappers.into(), end).run(request).await
            });
        }
        let core = self.0.clone();
        Box::pin(async move {
            let asked = request.options.recorder.clone();
            let began = asked.is_some().then(Instant::now);
            let answer = call(&core, request).await;
            let took = began.map(|began| began.elapsed()).unwrap_or_default();
            let tried = |result| {
                let here = || Text::from_static("local");
                Step::Tried(Attempt::new(here(), here(), Duration::ZERO, took, result))
            };
            if let Some(asked) = asked {
                asked.note(tried(answer.as_ref().map(|_| ()).map_err(Failure::from)));
            }
            answer.map_err(|mut error| {
                // Those of a call that the handler has made are not this call's.
                error.take_why();
                let failure = Failure::from(&error);
                error.with_step(tried(Err(failure)))
            })
        })
    }
}

/// Go Micro's request timeout, which a client has where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

fn timeout(request: &Request) -> Duration {
    request.options.timeout.unwrap_or(TIMEOUT)
}

/// The most messages of a stream that wait: their bytes are not counted here.
const WINDOW: usize = 128;

async fn call(core: &Core, request: Request) -> Result<Reply> {
    let route = core.find(&request.method.endpoint)?;
    if route.method().kind.is_stream() {
        stream(core, &route, request).await
    } else {
        unary(&route, request).await
    }
}

async fn unary(route: &Route, mut request: Request) -> Result<Reply> {
    request.cx = served(&request).with_deadline(after(timeout(&request)));
    let mut reply = route.start(request)?.finish().await?;
    reply.peer = Some(itself());
    Ok(reply)
}

async fn stream(core: &Core, route: &Route, mut request: Request) -> Result<Reply> {
    request.cx = served(&request);
    let opened_by = after(timeout(&request));
    let idle = request.options.idle_timeout;
    if let Some(timeout) = request.options.stream_timeout {
        request.cx = request.cx.with_deadline(after(timeout));
    }
    let deadline = request.cx.deadline();
    let window = core.limits().stream_window.min(WINDOW);
    let (input, output) = (Queue::new(window), Queue::new(window));
    if let Body::One(first) = std::mem::take(&mut request.body) {
        input.push(first)?;
        input.end(StreamEnd::Done(Metadata::new()));
    }
    let (open, opened) = oneshot::channel();
    let opening = Arc::new(Opening {
        cx: request.cx.clone(),
        caller: Mutex::new(Some(open)),
    });
    request.body = Body::Stream(RawStream {
        send: Box::new(Replies {
            output: output.clone(),
            opening: opening.clone(),
        }),
        receive: Box::new(Requests(input.clone())),
    });
    let serving = route.start(request)?;
    let both = Both {
        input: input.clone(),
        output: output.clone(),
    };
    let task = core.tasks().spawn(async move {
        let end = serve(serving, &opening).await;
        both.end(end);
    });
    // From here on the handler goes with this call.
    let held = Arc::new(Held {
        task,
        input,
        output,
        end_is_due: AtomicBool::new(false),
    });
    let metadata = match tokio::time::timeout_at(opened_by, opened).await {
        Ok(Ok(answer)) => answer?,
        Ok(Err(_)) => return Err(stopped()),
        Err(_) => {
            let words = "the stream was not opened in time";
            return Err(Error::timeout(id::CLIENT, words));
        }
    };
    let mut reply = Reply::new(Body::Stream(RawStream {
        send: Box::new(Upload {
            held: held.clone(),
            finished: false,
        }),
        receive: Box::new(Download(held)),
    }));
    reply.metadata = metadata;
    reply.peer = Some(itself());
    Ok(bounded(reply, idle, deadline))
}

/// Runs a stream's handler to its end.
async fn serve(serving: Serving, opening: &Opening) -> StreamEnd {
    let mut handler = pin!(serving.finish());
    let answer = poll_fn(|task| {
        let answer = handler.as_mut().poll(task);
        if answer.is_pending() {
            opening.tell();
        }
        answer
    })
    .await;
    match answer {
        Err(error) => {
            opening.tell_with(Err(error.clone()));
            StreamEnd::Failed(error)
        }
        Ok(reply) => {
            let (metadata, mut trailers) = (reply.metadata, reply.trailers);
            if let Some(Ok(metadata)) = opening.tell_with(Ok(metadata)) {
                // Set after the opening had gone: better late than lost.
                for (key, value) in metadata.iter_text() {
                    trailers.set_default(key.clone(), value.clone());
                }
            }
            StreamEnd::Done(trailers)
        }
    }
}

/// Tells the caller once that the stream is open: with the first message, or when the handler first
/// waits. What was set until then is the metadata that comes with it.
struct Opening {
    cx: Context,
    caller: Mutex<Option<oneshot::Sender<Result<Metadata>>>>,
}

impl Opening {
    fn take(&self) -> Option<oneshot::Sender<Result<Metadata>>> {
        let mut caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        caller.take()
    }

    /// Tells `answer`; gives it back where the stream is open already.
    fn tell_with(&self, answer: Result<Metadata>) -> Option<Result<Metadata>> {
        match self.take() {
            None => Some(answer),
            Some(caller) => {
                let _ = caller.send(answer);
                None
            }
        }
    }

    fn tell(&self) {
        let Some(caller) = self.take() else { return };
        let parts = self.cx.take_reply_parts();
        for (key, value) in parts.trailers.iter_text() {
            self.cx.reply_trailers().set(key.clone(), value.clone());
        }
        // Where nobody waits, the call was given up, and the handler's task ends with it.
        let _ = caller.send(Ok(parts.metadata));
    }
}

/// The context that the handler sees: what a connection would have carried.
fn served(request: &Request) -> Context {
    Context::build(
        request.cx.metadata().clone(),
        request.cx.deadline(),
        Some(itself()),
    )
}

/// Both ends of a call in process.
fn itself() -> Arc<Peer> {
    Arc::new(Peer::new("local", "local", "local"))
}

fn stopped() -> Error {
    Error::unavailable(id::SERVER, "the server has stopped")
}

/// Ends both directions with the handler, also where its task is stopped from outside.
struct Both {
    input: Queue,
    output: Queue,
}

impl Both {
    fn end(&self, end: StreamEnd) {
        let over = match &end {
            StreamEnd::Done(_) => {
                Error::internal(id::CLIENT_TRANSPORT, "the handler has ended the stream")
            }
            StreamEnd::Failed(error) => error.clone(),
        };
        self.output.end(end);
        self.input.refuse(over);
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        // Changes nothing where the handler has ended them.
        self.end(StreamEnd::Failed(stopped()));
    }
}

/// The handler's sending half.
struct Replies {
    output: Queue,
    opening: Arc<Opening>,
}

impl RawSend for Replies {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        self.output.poll_ready(task)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        self.opening.tell();
        self.output.push(message)
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The handler's receiving half.
struct Requests(Queue);

impl RawReceive for Requests {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        self.0.poll_next(task)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.deafen();
    }
}

/// The stream as the caller's halves share it: the handler goes with the last of them.
struct Held {
    task: AbortHandle,
    input: Queue,
    output: Queue,
    /// The sender is gone without a finish. The input is ended when the receiver looks on: of a
    /// stream that is given up the handler must not take what came so far for all of it.
    end_is_due: AtomicBool,
}

impl Held {
    fn end_if_due(&self) {
        if self.end_is_due.load(Ordering::Acquire) {
            self.input.end(StreamEnd::Done(Metadata::new()));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The caller's sending half.
struct Upload {
    held: Arc<Held>,
    finished: bool,
}

impl RawSend for Upload {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        self.held.input.poll_ready(task)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        self.held.input.push(message)
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        self.finished = true;
        self.held.input.end(StreamEnd::Done(Metadata::new()));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.finished {
            self.held.end_is_due.store(true, Ordering::Release);
            self.held.output.wake_reader();
        }
    }
}

/// The caller's receiving half.
struct Download(Arc<Held>);

impl RawReceive for Download {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        self.0.end_if_due();
        let next = self.0.output.poll_next(task);
        if next.is_pending() {
            // The sender may have gone between the two.
            self.0.end_if_due();
        }
        next
    }

    fn trailers(&self) -> Metadata {
        self.0.output.trailers()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.0.output.deafen();
    }
}
