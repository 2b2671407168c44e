//! Tower at the edge: its layers as wrappers, our wrappers as layers, and calls as services, both ways.
//!
//! | have | want | take |
//! |---|---|---|
//! | a tower `Layer` | a [`Wrapper`] | [`from_layer`] |
//! | a [`Wrapper`] | a tower `Layer` | [`WrapperLayer`] |
//! | a way to call, [`Invoke`] | a tower `Service` | [`InvokeService`] |
//! | a tower `Service` | a way to call, [`Invoke`] | [`from_service`] |
//!
//! A tower service is asked whether it is ready, and only then called; ours are always ready and wait
//! in the call. What is called is therefore a clone of the service, as tower's own docs advise, so that
//! limits that clones share (`GlobalConcurrencyLimitLayer`, `ConcurrencyLimit`) hold over all calls.
//!
//! An error that passes through tower comes back as it was; one of a layer's own becomes a 500 with its
//! words, and the layer's error as its source: [`Layered::map_error`] says it better.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};

use async_trait::async_trait;
use tower_layer::Layer;
use tower_service::Service;

use super::{Next, Wrapper};
use crate::call::{BoxFuture, Invoke, Reply, Request};
use crate::error::{Error, Result, id};

/// What tower's layers may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A call on its way through a tower layer: what layers of wrappers have as their request.
#[derive(Debug)]
pub struct Passing {
    /// The request.
    pub request: Request,
    next: Next,
}

impl Passing {
    /// A copy, for layers that send a request twice; `None` where the request is a stream, which has
    /// no copy.
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self {
            request: self.request.try_clone()?,
            next: self.next.clone(),
        })
    }
}

/// The rest of a call's way, as the innermost tower service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest(());

impl Service<Passing> for Rest {
    type Response = Reply;
    type Error = BoxError;
    type Future = BoxFuture<Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _task: &mut Task<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, passing: Passing) -> Self::Future {
        Box::pin(async move { Ok(passing.next.run(passing.request).await?) })
    }
}

/// A wrapper of a tower `layer`, which is applied once: what it keeps is kept over all calls.
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::wrapper::tower::from_layer;
/// use tower::limit::ConcurrencyLimitLayer;
///
/// let at_most_ten = from_layer(ConcurrencyLimitLayer::new(10));
/// # let _: Box<dyn micro_runtime::wrapper::Wrapper> = Box::new(at_most_ten);
/// ```
pub fn from_layer<L: Layer<Rest>>(layer: L) -> Layered<L::Service> {
    Layered {
        service: Mutex::new(layer.layer(Rest::default())),
        map_error: told,
    }
}

/// See [`from_layer`].
pub struct Layered<S> {
    service: Mutex<S>,
    map_error: fn(BoxError) -> Error,
}

impl<S> Layered<S> {
    /// Turns a layer's own errors into ours by `map`, which is not asked about errors that are ours.
    #[must_use]
    pub fn map_error(mut self, map: fn(BoxError) -> Error) -> Self {
        self.map_error = map;
        self
    }
}

#[async_trait]
impl<S> Wrapper for Layered<S>
where
    S: Service<Passing, Response = Reply> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        once(&self.service, Passing { request, next }, self.map_error).await
    }
}

impl<S> fmt::Debug for Layered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layered")
    }
}

/// Calls by a tower service: for `Target::new`, and so for generated clients.
///
/// ```
/// use std::sync::Arc;
/// use micro_runtime::{Reply, Request, client::Target, wrapper::tower::{BoxError, from_service}};
///
/// let echo = tower::service_fn(|request: Request| async move { Ok::<_, BoxError>(Reply::new(request.body)) });
/// let target = Target::new("echo", Arc::new(from_service(echo)));
/// # drop(target);
/// ```
pub fn from_service<S>(service: S) -> ServiceInvoke<S>
where
    S: Service<Request, Response = Reply>,
{
    ServiceInvoke {
        service: Mutex::new(service),
    }
}

/// See [`from_service`].
pub struct ServiceInvoke<S> {
    service: Mutex<S>,
}

impl<S> Invoke for ServiceInvoke<S>
where
    S: Service<Request, Response = Reply> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        Box::pin(once(&self.service, request, told))
    }
}

impl<S> fmt::Debug for ServiceInvoke<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceInvoke")
    }
}

/// Calls as a tower service; of a client's target see [`Target::invoker`](crate::client::Target::invoker).
#[derive(Clone)]
pub struct InvokeService(Arc<dyn Invoke>);

impl InvokeService {
    /// Calls by `invoke`.
    pub fn new(invoke: Arc<dyn Invoke>) -> Self {
        Self(invoke)
    }
}

impl Service<Request> for InvokeService {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply>>;

    fn poll_ready(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.invoke(request)
    }
}

impl fmt::Debug for InvokeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvokeService")
    }
}

/// A tower layer of a wrapper.
///
/// ```
/// use micro_runtime::{Reply, Request, wrapper::{AccessLog, tower::{BoxError, WrapperLayer}}};
/// use tower::ServiceBuilder;
///
/// let echo = |request: Request| async move { Ok::<_, BoxError>(Reply::new(request.body)) };
/// let logged = ServiceBuilder::new().layer(WrapperLayer::new(AccessLog::new())).service_fn(echo);
/// # drop(logged);
/// ```
#[derive(Clone, Debug)]
pub struct WrapperLayer(Arc<dyn Wrapper>);

impl WrapperLayer {
    /// A layer of `wrapper`.
    pub fn new(wrapper: impl Wrapper) -> Self {
        Self(Arc::new(wrapper))
    }
}

impl<S> Layer<S> for WrapperLayer
where
    S: Service<Request, Response = Reply> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Service = WrapperService;

    fn layer(&self, inner: S) -> WrapperService {
        WrapperService(Next::to_invoke(
            [self.0.clone()].into(),
            Arc::new(from_service(inner)),
        ))
    }
}

/// See [`WrapperLayer`].
#[derive(Clone, Debug)]
pub struct WrapperService(Next);

impl Service<Request> for WrapperService {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply>>;

    fn poll_ready(&mut self, _task: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(self.0.clone().run(request))
    }
}

/// Sends one request by a clone of `service`, when that is ready.
fn once<S, Q>(
    service: &Mutex<S>,
    request: Q,
    map_error: fn(BoxError) -> Error,
) -> impl Future<Output = Result<Reply>> + Send + use<S, Q>
where
    S: Service<Q, Response = Reply> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
{
    let mut service = service
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    async move {
        let ours = |error: S::Error| match error.into().downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => map_error(error),
        };
        poll_fn(|task| service.poll_ready(task))
            .await
            .map_err(ours)?;
        service.call(request).await.map_err(ours)
    }
}

fn told(error: BoxError) -> Error {
    Error::internal(id::CLIENT, error.to_string()).with_source(error)
}
