//! A network that is none: nodes do as they are told, for tests on virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
pub use micro_runtime::call::Frame;
use micro_runtime::call::{Body, RawReceive, RawSend, RawStream, Reply, Request};
use micro_runtime::client::{Client, ClientOptions};
use micro_runtime::protocol::{
    AttemptLimits, Channel, Destination, Environment, Protocol, Recognised,
};
use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service};
use micro_runtime::router::Core;
use micro_runtime::selector::Strategy;
use micro_runtime::transport::{Borrowed, Connection, Listener, Transport};
use micro_runtime::{Error, Result};

/// What a node does with each call, by its address and how many calls came before; [`ASKED`] where it
/// is asked whether it answers, and [`DIALLED`] where somebody connects to it.
pub type Behaviour = Arc<dyn Fn(&str, usize) -> Answer + Send + Sync>;

/// See [`Behaviour`].
pub const ASKED: usize = usize::MAX - 1;
/// See [`Behaviour`].
pub const DIALLED: usize = usize::MAX;

/// What a node does with one call.
#[derive(Clone, Debug)]
pub enum Answer {
    Echo,
    Fail(Error),
    /// Answers these bytes.
    Say(&'static [u8]),
    /// Fails, after so long.
    FailAfter(Duration, Error),
    /// Echoes, after so long.
    After(Duration),
    Never,
    /// Opens a stream of which nothing comes.
    Open,
}

/// A message that no stream takes.
pub const TOO_LONG: &str = "too long";

/// The halves of a stream that nobody reads or writes.
struct Mute;

impl RawSend for Mute {
    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn send(&mut self, message: Bytes) -> Result<()> {
        match &*message == TOO_LONG.as_bytes() {
            true => Err(Error::bad_request("go.micro.client", "too long")),
            false => Ok(()),
        }
    }
    fn poll_finish(&mut self, _: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl RawReceive for Mute {
    fn poll_next(&mut self, _: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        Poll::Pending
    }
}

/// A protocol without a network: nodes do as they are told, and what was asked is noted.
#[derive(Clone)]
pub struct Scripted {
    pub behaviour: Behaviour,
    /// The addresses asked, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait::async_trait]
impl Protocol for Scripted {
    fn name(&self) -> &'static str {
        "mucp"
    }
    fn alpn(&self) -> &'static str {
        "scripted"
    }
    fn channel(&self, node: Destination, _environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(ScriptedChannel {
            script: self.clone(),
            address: node.address.to_string(),
            calls: AtomicUsize::new(0),
        })
    }
    fn recognises(&self, _head: &[u8]) -> Recognised {
        Recognised::No
    }
    async fn serve(&self, _connection: Connection, _core: Arc<Core>) {}
}

#[derive(Debug)]
struct ScriptedChannel {
    script: Scripted,
    address: String,
    calls: AtomicUsize,
}

impl Channel for ScriptedChannel {
    fn call<'a>(
        &'a self,
        request: &'a Request,
        _limits: AttemptLimits,
    ) -> Borrowed<'a, Result<Reply>> {
        Box::pin(async move {
            // Whether a node answers at all is asked beside the calls.
            let number = if request.method.endpoint == "Debug.Health" {
                ASKED
            } else {
                self.script.asked.lock().unwrap().push(self.address.clone());
                self.calls.fetch_add(1, Ordering::Relaxed)
            };
            match (self.script.behaviour)(&self.address, number) {
                Answer::Echo => {}
                Answer::After(time) => tokio::time::sleep(time).await,
                Answer::Say(bytes) => return Ok(Reply::new(Body::One(bytes.into()))),
                Answer::Fail(error) => return Err(error),
                Answer::FailAfter(time, error) => {
                    tokio::time::sleep(time).await;
                    return Err(error);
                }
                Answer::Never => std::future::pending().await,
                Answer::Open => {
                    return Ok(Reply::new(Body::Stream(RawStream {
                        send: Box::new(Mute),
                        receive: Box::new(Mute),
                    })));
                }
            }
            let message = request.body.as_bytes().to_vec().into();
            Ok(Reply::new(Body::One(message)))
        })
    }
    fn close(&self) {}
}

/// Connects to nodes that would not answer a call with `refused`, to say nothing there.
struct Dial(Behaviour);

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}

#[async_trait::async_trait]
impl Transport for Dial {
    fn name(&self) -> &str {
        "memory"
    }
    async fn dial(&self, address: &str) -> Result<Connection> {
        match (self.0)(address, DIALLED) {
            Answer::Fail(error) if error.is_unprocessed() && error.id() == "go.micro.client" => {
                Err(error)
            }
            _ => {
                let (near, _) = tokio::io::duplex(1);
                Ok(Connection::new(near, address.to_owned(), "here".to_owned()))
            }
        }
    }
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        Err(Error::internal(
            "scripted",
            format!("{address} is not here"),
        ))
    }
}

/// A client of the service `greeter` on scripted nodes, whose addresses are their names.
pub struct Setup {
    pub client: Client,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    pub async fn new(
        nodes: &[&str],
        behaviour: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with(nodes, behaviour, |options| {
            options.selector = Strategy::RoundRobin
        })
        .await
    }

    /// As [`new`](Self::new), with a client that `change` has changed.
    pub async fn with(
        nodes: &[&str],
        behaviour: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
        change: impl FnOnce(&mut ClientOptions),
    ) -> Self {
        let nodes = nodes.iter().map(|address| node(address));
        Self::of(nodes.collect(), behaviour, change).await
    }

    /// As [`with`](Self::with), of nodes that tell something of themselves.
    pub async fn of(
        nodes: Vec<Node>,
        behaviour: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
        change: impl FnOnce(&mut ClientOptions),
    ) -> Self {
        let registry = Memory::new();
        let mut service = Service::new("greeter", "1");
        service.nodes = nodes;
        if !service.nodes.is_empty() {
            registry
                .register(&service, RegisterOptions::default())
                .await
                .unwrap();
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Scripted {
            behaviour: Arc::new(behaviour),
            asked: asked.clone(),
        };
        let dial = Dial(script.behaviour.clone());
        let mut options =
            ClientOptions::new(Arc::new(registry), Arc::new(dial), vec![Arc::new(script)]);
        change(&mut options);
        Self {
            client: Client::new(options).unwrap(),
            asked,
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub fn call(&self) -> micro_runtime::client::Call<micro_runtime::client::Unary<Frame, Frame>> {
        self.client
            .request("greeter", "Say.Hello", Frame("hi".into()))
    }
}

/// The node at an address.
pub fn node(address: &str) -> Node {
    let mut node = Node::new(format!("node-{address}"), address);
    node.metadata.insert("protocol".into(), "mucp".into());
    node
}

/// A connection that could not be made.
pub fn refused() -> Error {
    Error::internal("go.micro.client", "connection error: refused").unprocessed()
}

/// A connection that was lost.
pub fn cut() -> Error {
    Error::internal("go.micro.client.transport", "unexpected EOF")
}

/// A message of these words.
pub fn frame(words: &'static str) -> Frame {
    Frame(words.into())
}
