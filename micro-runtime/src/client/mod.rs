//! The client's call path: from a stub to a node and back.
//!
//! A [`Target`] is a name resolved once. A call goes through the wrappers, then through the attempt
//! loop: choose a node from the snapshot, take its channel, send, mark what was learned.

mod active;
mod asking;
mod attempts;
mod budget;
mod call;
mod channels;
mod choosing;
mod decisions;
mod destination;
mod hedge;
mod inspect;
mod learning;
mod leaving;
mod measure;
mod options;
mod outlier;
mod probe;
mod schema;
mod stream;

pub use budget::RetryBudget;
pub use call::{
    Bidi, Call, ClientStream, Explain, Explained, Full, Pending, PendingExplained, PendingMessage,
    ServerStream, Target, Unary, Upload,
};
pub(crate) use channels::{CALLED_BY_NAME, PROTOCOL_KEY, PROTOCOLS_KEY};
pub(crate) use inspect::Place;
pub use options::{CallDefaults, ClientOptions};
pub use outlier::Outliers;
pub(crate) use schema::Fits;
pub(crate) use stream::bounded;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::broker::Broker;
use crate::call::{BoxFuture, Failures, Frame, Invoke, Payload, Reply, Request};
use crate::codec::{Codec, Codecs};
use crate::error::{Error, Result, id};
use crate::event::{Event, Outlet, Publish, Publisher};
use crate::metadata::Text;
use crate::method::{Method, ServiceDescriptor};
use crate::registry::Directory;
use crate::selector::SelectOptions;
use crate::tasks::{Tasks, is_never, later};
use crate::wrapper::{Next, Wrapper};

use active::Active;
pub use active::HealthCheck;
use attempts::Attempts;
use channels::Channels;
use destination::Destination;
use outlier::Share;

/// What a call takes from its client where it says nothing itself.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) codecs: Codecs,
    /// The codec of calls that name no content type.
    pub(crate) codec: Arc<dyn Codec>,
    /// Keys that pass on to a handler's own calls though they are of one hop or secret.
    pub(crate) forward: Vec<String>,
    /// The last calls that failed.
    pub(crate) failures: Arc<Failures>,
}

impl Default for Defaults {
    fn default() -> Self {
        let codecs = Codecs::client();
        let codec: Arc<dyn Codec> = Arc::new(crate::codec::Protobuf::new("application/protobuf"));
        Self {
            codecs,
            codec,
            forward: Vec::new(),
            failures: Arc::default(),
        }
    }
}

impl Defaults {
    pub(crate) fn codec(&self, content_type: Option<&str>) -> Result<Arc<dyn Codec>> {
        match content_type {
            None => Ok(self.codec.clone()),
            Some(content_type) => self.codecs.require(content_type).cloned(),
        }
    }
}

/// Calls services by name; a handle that is cheap to clone.
///
/// ```no_run
/// # async fn example() -> micro_runtime::Result<()> {
/// use micro_runtime::Service;
/// use micro_runtime::call::Frame;
///
/// let service = Service::new("a.plain.client").init()?;
/// let reply = service.client().request("greeter", "Say.Hello", Frame(r#"{"name":"John"}"#.into()))
///     .content_type("application/json")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    /// Or why the client could not be made, which each call is answered with.
    attempts: Result<Arc<Attempts>>,
    wrappers: Vec<Arc<dyn Wrapper>>,
    defaults: Arc<Defaults>,
    events: Arc<Outlet>,
}

impl Client {
    /// A client with these options.
    ///
    /// # Errors
    /// 400 where TLS is on and trusts nobody, or the default content type has no codec.
    pub fn new(options: ClientOptions) -> Result<Self> {
        let codec = options.codecs.require(&options.content_type)?.clone();
        let directory = Directory::with_grace(
            options.registry.clone(),
            &options.tasks,
            options.registry_grace,
        );
        let channels = Channels::new(&options)?;
        let events = Outlet {
            broker: options.broker.ok_or_else(no_broker),
            codecs: options.codecs.clone(),
            codec: codec.clone(),
            forward: options.forward.clone(),
            tasks: options.tasks.clone(),
            timeout: options.call.timeout,
        };
        let select = SelectOptions {
            filters: options.filters,
            strategy: Some(options.selector),
            key: None,
            canary: options.canary.map(Arc::new),
            locality: options.locality.map(Arc::new),
            slow_start: Some(options.slow_start),
        };
        Ok(Self(Arc::new(Shared {
            events: Arc::new(events),
            defaults: Arc::new(Defaults {
                codecs: options.codecs,
                codec,
                forward: options.forward,
                failures: Arc::default(),
            }),
            wrappers: options.wrappers,
            attempts: Ok(Arc::new_cyclic(|client| Attempts {
                active: options.health_check.map(|check| Active {
                    check,
                    client: client.clone(),
                }),
                directory,
                channels,
                settings: options.call,
                tasks: options.tasks,
                select,
                proxy: options.proxy,
                outliers: Arc::new(options.outliers),
                by_hand: Share::default(),
                check_schema: options.check_schema,
            })),
        })))
    }

    /// A client each of whose calls fails with `error`.
    pub(crate) fn broken(error: Error) -> Self {
        let defaults = Defaults::default();
        let events = Outlet {
            broker: Err(error.clone()),
            codecs: defaults.codecs.clone(),
            codec: defaults.codec.clone(),
            forward: Vec::new(),
            tasks: Tasks::new(),
            timeout: CallDefaults::default().timeout,
        };
        Self(Arc::new(Shared {
            attempts: Err(error.unprocessed()),
            wrappers: Vec::new(),
            defaults: Arc::new(defaults),
            events: Arc::new(events),
        }))
    }

    /// Calls to the service `name`: resolved once, so that a call hashes no name.
    pub fn target(&self, name: impl Into<Text>) -> Target {
        self.target_of(name.into(), None)
    }

    /// Calls to the service `name` of methods of `descriptor`, as generated clients make them: nodes
    /// that are known not to understand a method get no calls of it, unless the client
    /// [minds no schemas](ClientOptions::check_schema).
    pub fn typed_target(
        &self,
        name: impl Into<Text>,
        descriptor: &'static ServiceDescriptor,
    ) -> Target {
        self.target_of(name.into(), Some(descriptor))
    }

    fn target_of(&self, name: Text, descriptor: Option<&'static ServiceDescriptor>) -> Target {
        let invoke: Arc<dyn Invoke> = match &self.0.attempts {
            Err(error) => Arc::new(Broken(error.clone())),
            Ok(attempts) => {
                let (attempts, asked) = (attempts.clone(), attempts.proxy.as_deref());
                let mut to = Destination::new(attempts.directory.view(asked.unwrap_or(&name)));
                if let Some(descriptor) = descriptor.filter(|_| attempts.check_schema) {
                    to = to.minding(descriptor);
                }
                Arc::new(ToService {
                    innermost: Arc::new(Innermost(Arc::new(Way {
                        attempts,
                        to,
                        failures: self.0.defaults.failures.clone(),
                    }))),
                    wrappers: self.0.wrappers.clone().into(),
                })
            }
        };
        Target::with_defaults(name, invoke, self.0.defaults.clone())
    }

    /// A unary call without generated code: `endpoint` is `Say.Hello`, `message` any [`Payload`] or a
    /// [`Frame`] that is encoded already. The reply is a [`Frame`]. For streams see [`Target`].
    pub fn request<Q: Payload>(
        &self,
        service: impl Into<Text>,
        endpoint: &str,
        message: Q,
    ) -> Call<Unary<Q, Frame>> {
        self.target(service).unary(endpoint, message)
    }

    /// Publishes events of type `T` under `topic`.
    pub fn publisher<T: Payload>(&self, topic: impl Into<Text>) -> Publisher<T> {
        Publisher::new(self.0.events.clone(), topic.into())
    }

    /// Publishes an event under the topic that its `.proto` names.
    pub fn publish<T: Event>(&self, event: T) -> Publish<T> {
        self.publisher(T::TOPIC).publish(event)
    }

    /// What carries its events, for messages with a header and body of one's own.
    ///
    /// # Errors
    /// 500 where the client was made without a broker, or why it could not be made.
    pub fn broker(&self) -> Result<&Arc<dyn Broker>> {
        self.0.events.broker.as_ref().map_err(Error::clone)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("defaults", &self.0.defaults)
            .finish_non_exhaustive()
    }
}

/// The way to one service.
struct ToService {
    innermost: Arc<Innermost>,
    wrappers: Arc<[Arc<dyn Wrapper>]>,
}

impl Invoke for ToService {
    fn invoke(&self, mut request: Request) -> BoxFuture<Result<Reply>> {
        if self.wrappers.is_empty() && request.options.wrappers.is_empty() {
            let way = self.innermost.0.clone();
            // The request is lent, not given: it then has one place in this future and not three.
            return Box::pin(async move {
                let answer = way.attempts.run(&way.to, &mut request).await;
                if let (false, Err(error)) = (request.is_kept, &answer) {
                    way.note(error, &request.service, &request.method);
                }
                answer
            });
        }
        let own = std::mem::take(&mut request.options.wrappers);
        let wrappers = if own.is_empty() {
            self.wrappers.clone()
        } else {
            self.wrappers.iter().cloned().chain(own).collect()
        };
        let way = self.innermost.0.clone();
        let next = Next::to_invoke(wrappers, self.innermost.clone());
        let called = || (request.service.clone(), request.method.clone());
        let called = (way.failures.are_kept() && !request.is_kept).then(called);
        Box::pin(async move {
            way.limit(&mut request);
            let answer = next.run(request).await;
            if let (Some((service, method)), Err(error)) = (called, &answer) {
                way.note(error, &service, &method);
            }
            answer
        })
    }
}

/// Answers for a client that could not be made.
struct Broken(Error);

impl Invoke for Broken {
    fn invoke(&self, _request: Request) -> BoxFuture<Result<Reply>> {
        let error = self.0.clone();
        Box::pin(async move { Err(error) })
    }
}

/// The attempt loop behind the wrappers.
struct Innermost(Arc<Way>);

/// One service, and the tries of calls to it.
struct Way {
    attempts: Arc<Attempts>,
    to: Destination,
    failures: Arc<Failures>,
}

impl Way {
    /// Gives the call its time before its wrappers, whose time is part of it. Of a stream it is the
    /// opening's alone.
    fn limit(&self, request: &mut Request) {
        let now = Instant::now();
        let deadline = later(now, self.attempts.settings.timeout(&request.options));
        if !request.method.kind.is_stream() && !is_never(now, deadline) {
            request.cx.limit(deadline);
        }
    }

    /// Keeps the decisions of a failed call where somebody may look, and nobody else does.
    #[cold]
    fn note(&self, error: &Error, service: &Text, method: &Method) {
        if !self.failures.are_kept() {
            return;
        }
        let mut why = error.why().cloned().unwrap_or_default();
        why.name(service, || decisions::endpoint(method));
        self.failures.note(&error.clone().with_why(why));
    }
}

impl Invoke for Innermost {
    fn invoke(&self, mut request: Request) -> BoxFuture<Result<Reply>> {
        let way = self.0.clone();
        Box::pin(async move { way.attempts.run(&way.to, &mut request).await })
    }
}

fn no_broker() -> Error {
    Error::internal(id::CLIENT, "this client has no broker")
}

/// What a caller gets whose time is up before any node has answered.
fn call_timeout(last: Option<Error>) -> Error {
    // Go Micro's words.
    let error = Error::timeout(id::CLIENT, "call timeout: context deadline exceeded");
    match last {
        Some(last) => error.with_source(last),
        None => error,
    }
}
