//! A service called in its own process, without a connection.

use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::call::{
    Body, BoxFuture, Dispatch, Invoke, Queue, RawReceive, RawSend, RawStream, Reply, Request,
    StreamEnd,
};
use crate::context::{Context, Peer};
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::router::{Core, CoreOptions, Route};

/// A service in this process, called without a network: what `SayClient::local` stands on.
///
/// Messages pass through the codec, so errors, metadata and deadline are as in production.
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
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        invoke_local(self.0.clone(), request)
    }
}

/// Go Micro's request timeout, which a client has where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Calls `core` in this process: what a connection would carry, without one.
fn invoke_local(core: Arc<Core>, request: Request) -> BoxFuture<Result<Reply>> {
    Box::pin(async move {
        let route = core.find(&request.method.endpoint)?;
        if route.method().kind.is_stream() {
            stream(&core, &route, request)
        } else {
            unary(&route, request).await
        }
    })
}

async fn unary(route: &Route, mut request: Request) -> Result<Reply> {
    let timeout = request.options.timeout.unwrap_or(TIMEOUT);
    request.cx = served(&request).with_deadline(Instant::now() + timeout);
    route.start(request)?.finish().await
}

fn stream(core: &Core, route: &Route, mut request: Request) -> Result<Reply> {
    request.cx = served(&request);
    if let Some(timeout) = request.options.stream_timeout {
        request.cx = request.cx.with_deadline(Instant::now() + timeout);
    }
    let window = core.limits().stream_window;
    let (input, output) = (Queue::new(window), Queue::new(window));
    if let Body::One(first) = std::mem::take(&mut request.body) {
        input.push(first)?;
        input.end(StreamEnd::Done(Metadata::new()));
    }
    request.body = Body::Stream(RawStream {
        send: Box::new(Replies(output.clone())),
        receive: Box::new(Requests(input.clone())),
    });
    let serving = route.start(request)?;
    let both = Both {
        input: input.clone(),
        output: output.clone(),
    };
    let task = core.tasks().spawn(async move {
        let end = match serving.finish().await {
            Ok(reply) => StreamEnd::Done(reply.trailers),
            Err(error) => StreamEnd::Failed(error),
        };
        both.end(end);
    });
    Ok(Reply::new(Body::Stream(RawStream {
        send: Box::new(Upload(input)),
        receive: Box::new(Download {
            output,
            _task: AbortOnDrop(task),
        }),
    })))
}

/// The context that the handler sees: what a connection would have carried.
fn served(request: &Request) -> Context {
    let peer = Arc::new(Peer::new("local", "local", "local"));
    Context::build(
        request.cx.metadata().clone(),
        request.cx.deadline(),
        Some(peer),
    )
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
        self.end(StreamEnd::Failed(Error::unavailable(
            id::SERVER,
            "the server has stopped",
        )));
    }
}

/// The handler's sending half.
struct Replies(Queue);

impl RawSend for Replies {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(task)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        self.0.push(message)
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

/// The caller's sending half.
struct Upload(Queue);

impl RawSend for Upload {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(task)
    }

    fn send(&mut self, message: Bytes) -> Result<()> {
        self.0.push(message)
    }

    fn poll_finish(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        self.0.end(StreamEnd::Done(Metadata::new()));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.end(StreamEnd::Done(Metadata::new()));
    }
}

/// The caller's receiving half; the handler goes with it.
struct Download {
    output: Queue,
    _task: AbortOnDrop,
}

impl RawReceive for Download {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        self.output.poll_next(task)
    }

    fn trailers(&self) -> Metadata {
        self.output.trailers()
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
