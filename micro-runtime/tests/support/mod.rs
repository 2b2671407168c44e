//! A service of four methods whose handlers are closures, and a network in memory for it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod moody;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::{BoxFuture, Dispatch, Frame};
use micro_runtime::codegen;
use micro_runtime::method::{Idempotency, Kind, Method, ServiceDescriptor};
use micro_runtime::registry::Memory;
use micro_runtime::transport::Memory as Network;
use micro_runtime::{Context, Error, Receiver, Reply, Request, Result, Sender, Service};

/// What every test that a protocol may spoil is run with.
pub const PROTOCOLS: [&str; 2] = ["braid", "mucp"];

const fn method(endpoint: &'static str, path: &'static str, kind: Kind, index: u16) -> Method {
    Method::new("test", endpoint, path, kind, Idempotency::Unknown, index)
}

pub static METHODS: [Method; 4] = [
    method("Say.Hello", "/test.Say/Hello", Kind::Unary, 0),
    method("Say.Count", "/test.Say/Count", Kind::ServerStream, 1),
    method("Say.Collect", "/test.Say/Collect", Kind::ClientStream, 2),
    method("Say.Sum", "/test.Say/Sum", Kind::Bidi, 3),
];
static DESCRIPTOR: ServiceDescriptor =
    ServiceDescriptor::new("Say", "test.Say", &METHODS, &[], &[]);

type Hello = dyn Fn(Context, Frame) -> BoxFuture<Result<Frame>> + Send + Sync;
type Count = dyn Fn(Context, Frame, Sender<Frame>) -> BoxFuture<Result<()>> + Send + Sync;
type Collect = dyn Fn(Context, Receiver<Frame>) -> BoxFuture<Result<Frame>> + Send + Sync;
type Sum = dyn Fn(Context, Receiver<Frame>, Sender<Frame>) -> BoxFuture<Result<()>> + Send + Sync;

/// A service of four methods, each a closure; 501 where there is none.
#[derive(Clone)]
pub struct Say {
    hello: Arc<Hello>,
    count: Arc<Count>,
    collect: Arc<Collect>,
    sum: Arc<Sum>,
}

impl Default for Say {
    fn default() -> Self {
        let none = || Error::not_implemented("test", "no handler");
        Self {
            hello: Arc::new(move |_, _| Box::pin(async move { Err(none()) })),
            count: Arc::new(move |_, _, _| Box::pin(async move { Err(none()) })),
            collect: Arc::new(move |_, _| Box::pin(async move { Err(none()) })),
            sum: Arc::new(move |_, _, _| Box::pin(async move { Err(none()) })),
        }
    }
}

impl Say {
    pub fn hello<F, H>(handler: F) -> Self
    where
        F: Fn(Context, Frame) -> H + Send + Sync + 'static,
        H: Future<Output = Result<Frame>> + Send + 'static,
    {
        Self {
            hello: Arc::new(move |cx, frame| Box::pin(handler(cx, frame))),
            ..Self::default()
        }
    }

    pub fn count<F, H>(self, handler: F) -> Self
    where
        F: Fn(Context, Frame, Sender<Frame>) -> H + Send + Sync + 'static,
        H: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            count: Arc::new(move |cx, frame, out| Box::pin(handler(cx, frame, out))),
            ..self
        }
    }

    pub fn collect<F, H>(self, handler: F) -> Self
    where
        F: Fn(Context, Receiver<Frame>) -> H + Send + Sync + 'static,
        H: Future<Output = Result<Frame>> + Send + 'static,
    {
        Self {
            collect: Arc::new(move |cx, input| Box::pin(handler(cx, input))),
            ..self
        }
    }

    pub fn sum<F, H>(self, handler: F) -> Self
    where
        F: Fn(Context, Receiver<Frame>, Sender<Frame>) -> H + Send + Sync + 'static,
        H: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            sum: Arc::new(move |cx, input, out| Box::pin(handler(cx, input, out))),
            ..self
        }
    }
}

impl Dispatch for Say {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &DESCRIPTOR
    }

    fn call(&self, index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        let this = self.clone();
        match index {
            0 => codegen::unary(request, move |cx, frame| (this.hello)(cx, frame)),
            1 => {
                codegen::server_stream(request, move |cx, frame, out| (this.count)(cx, frame, out))
            }
            2 => codegen::client_stream(request, move |cx, input| (this.collect)(cx, input)),
            3 => codegen::bidi(request, move |cx, input, out| (this.sum)(cx, input, out)),
            _ => codegen::no_such_method(&DESCRIPTOR, index),
        }
    }
}

/// A message of these words.
pub fn frame(words: impl Into<String>) -> Frame {
    Frame(words.into().into())
}

/// The words of a message.
pub fn words(frame: &Frame) -> String {
    String::from_utf8_lossy(&frame.0).into_owned()
}

/// A registry and a network that services of one test share.
#[derive(Clone, Default)]
pub struct World {
    pub registry: Memory,
    pub network: Network,
}

impl World {
    /// A service of this world that speaks `protocol`.
    pub fn service(&self, name: &str, protocol: &str) -> Service {
        Service::new(name)
            .registry(self.registry.clone())
            .transport(self.network.clone())
            .client_protocols([protocol])
            .linger(Duration::ZERO)
    }
}
