//! What a handler takes, and the handler behind one object-safe door.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::broker::Message;
use crate::call::{Body, BoxFuture, Invoke, Reply, Request};
use crate::codec::{self, Payload};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::registry::Value;

/// What the handler of a subscriber takes: any message that a codec can read, or the raw
/// [`Message`] with header and body, of whatever content type.
pub trait Delivered: Sized + Send + 'static {
    /// Whether it is read without a codec.
    #[doc(hidden)]
    const RAW: bool;

    /// Takes it out of a request.
    #[doc(hidden)]
    fn of(request: Request) -> Result<Self>;

    /// What the registry is told of it.
    #[doc(hidden)]
    fn schema() -> Option<Value>;
}

impl<T: Payload + Default> Delivered for T {
    const RAW: bool = false;

    fn of(request: Request) -> Result<Self> {
        codec::decode(&*request.codec, request.body.into_bytes()).map_err(|error| {
            let words = format!("the event cannot be read: {}", error.detail());
            Error::bad_request(id::SERVER, words).with_source(Unreadable(error))
        })
    }

    fn schema() -> Option<Value> {
        super::schema::of(&T::default())
    }
}

impl Delivered for Message {
    const RAW: bool = true;

    fn of(request: Request) -> Result<Self> {
        Ok(Self {
            header: request.cx.metadata().clone(),
            body: request.body.into_bytes(),
        })
    }

    fn schema() -> Option<Value> {
        None
    }
}

/// Marks the failure of an event that no other try would read either.
#[derive(Debug)]
struct Unreadable(Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Whether an event can be read and its handler so failed, or may do better another time.
pub(super) fn is_unreadable(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Unreadable>())
}

/// The failure of an event whose content type nobody knows.
pub(super) fn unsupported(content_type: &str) -> Error {
    let error = Error::bad_request(
        id::SERVER,
        format!("unsupported Content-Type: {content_type}"),
    );
    error.clone().with_source(Unreadable(error))
}

/// The end of a subscriber's way: takes the event, runs the handler with its context as the current one.
pub(super) struct Handler<T, F> {
    function: Arc<F>,
    takes: PhantomData<fn(T)>,
}

impl<T, F> Handler<T, F> {
    pub(super) fn new(function: F) -> Self {
        Self {
            function: Arc::new(function),
            takes: PhantomData,
        }
    }
}

impl<T, F, R> Invoke for Handler<T, F>
where
    T: Delivered,
    F: Fn(Context, T) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        let function = self.function.clone();
        Box::pin(async move {
            let cx = request.cx.clone();
            let event = T::of(request)?;
            // The handler is called within the scope: what it sends before its first await has its
            // parent too.
            let handled = async { function(cx.clone(), event).await };
            cx.clone().scope(handled).await?;
            Ok(Reply::new(Body::Empty))
        })
    }
}
