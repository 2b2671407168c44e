//! A server on a transport, a client of it, and raw connections to it.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::{BoxFuture, Invoke};
use micro_runtime::codegen::{Dispatch, Target};
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::protocol::{AttemptLimits, Channel, Destination, Environment, Protocol};
use micro_runtime::router::{Core, CoreOptions, Limits};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Connection, Memory, Transport};
use micro_runtime::{Context, Error, Reply, Request, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::debug::debug::{
    Debug, DebugServer, HealthRequest, HealthResponse, SchemaRequest, SchemaResponse, StatsRequest,
    StatsResponse,
};
use crate::generated::greeter::{GreeterClient, GreeterServer};
use crate::greeter::Peer;

/// A greeter that listens, and what is needed to reach it.
pub struct Server {
    pub peer: Peer,
    pub core: Arc<Core>,
    pub tasks: Tasks,
    pub address: String,
    pub transport: Arc<dyn Transport>,
    pub mucp: Mucp,
}

/// What a [`Server`] is made of.
pub struct Setup {
    pub limits: Limits,
    pub mucp: Mucp,
    pub transport: Arc<dyn Transport>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            mucp: Mucp::default(),
            transport: Arc::new(Memory::new()),
        }
    }
}

pub async fn serve() -> Server {
    Setup::default().serve().await
}

impl Setup {
    pub async fn serve(self) -> Server {
        let tasks = Tasks::new();
        let peer = Peer::default();
        let mut options = CoreOptions::default();
        options.name = "greeter".into();
        options.limits = self.limits;
        options.tasks = tasks.clone();
        let service: Arc<dyn Dispatch> = Arc::new(GreeterServer::new(peer.clone()));
        let debug: Arc<dyn Dispatch> = Arc::new(DebugServer::new(Healthy));
        let core = Arc::new(Core::new(options, [service, debug]).unwrap());
        let mut listener = self.transport.listen("127.0.0.1:0").await.unwrap();
        let address = listener.address().to_owned();
        let (mucp, accepting, serving) = (self.mucp.clone(), tasks.clone(), core.clone());
        tasks.spawn(async move {
            while let Ok(connection) = listener.accept().await {
                let (mucp, core) = (mucp.clone(), serving.clone());
                accepting.spawn(async move { mucp.serve(connection, core).await });
            }
        });
        Server {
            peer,
            core,
            tasks,
            address,
            transport: self.transport,
            mucp: self.mucp,
        }
    }
}

/// The Debug service that the Go test peer registers.
struct Healthy;

impl Debug for Healthy {
    async fn health(&self, _cx: &Context, _request: HealthRequest) -> Result<HealthResponse> {
        Ok(HealthResponse {
            status: "ok".into(),
        })
    }

    async fn stats(&self, _cx: &Context, _request: StatsRequest) -> Result<StatsResponse> {
        Ok(StatsResponse::default())
    }

    async fn schema(&self, _cx: &Context, _request: SchemaRequest) -> Result<SchemaResponse> {
        Err(Error::not_implemented("debug", "Go has no such method"))
    }
}

impl Server {
    pub fn environment(&self) -> Environment {
        environment(self.transport.clone())
    }

    pub fn client(&self) -> GreeterClient {
        client(&self.mucp, &self.address, self.environment(), false)
    }

    pub async fn dial(&self) -> Raw {
        Raw(self.transport.dial(&self.address).await.unwrap())
    }
}

pub fn environment(transport: Arc<dyn Transport>) -> Environment {
    Environment {
        transport,
        tasks: Tasks::new(),
        pool_size: 100,
        pool_ttl: Duration::from_secs(60),
        max_message: 64 << 20,
    }
}

pub fn channel(
    mucp: &Mucp,
    address: &str,
    environment: &Environment,
    legacy: bool,
) -> Arc<dyn Channel> {
    let node = Destination {
        address: address.to_owned().into(),
        id: address.to_owned().into(),
        legacy,
    };
    mucp.channel(node, environment)
}

pub fn client(mucp: &Mucp, address: &str, environment: Environment, legacy: bool) -> GreeterClient {
    over(channel(mucp, address, &environment, legacy))
}

/// A greeter's client whose calls go through `channel`, each once, with Go's limit for a try.
pub fn over(channel: Arc<dyn Channel>) -> GreeterClient {
    GreeterClient::from_target(Target::new("greeter", Arc::new(Direct(channel))))
}

pub struct Direct(pub Arc<dyn Channel>);

impl Invoke for Direct {
    fn invoke(&self, request: Request) -> BoxFuture<Result<Reply>> {
        let channel = self.0.clone();
        Box::pin(async move {
            let attempt = request
                .options
                .attempt_timeout
                .unwrap_or(Duration::from_secs(5));
            let limits = AttemptLimits {
                now: tokio::time::Instant::now(),
                deadline: Some(tokio::time::Instant::now() + attempt),
                dial_timeout: Duration::from_secs(5),
            };
            let call = channel.call(&request, limits);
            match tokio::time::timeout(attempt, call).await {
                Ok(reply) => reply,
                Err(_) => Err(micro_runtime::Error::timeout("test", "no answer")),
            }
        })
    }
}

/// A connection on which a test says what it likes.
pub struct Raw(pub Connection);

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// What comes until nothing has come for `quiet`, or the end.
    pub async fn read_for(&mut self, quiet: Duration) -> (Vec<u8>, bool) {
        let mut read = Vec::new();
        loop {
            match tokio::time::timeout(quiet, self.0.io.read_buf(&mut read)).await {
                Ok(Ok(0)) => return (read, true),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return (read, true),
                Err(_) => return (read, false),
            }
        }
    }

    /// What comes until the peer closes.
    pub async fn read_all(&mut self) -> Vec<u8> {
        let (read, closed) = self.read_for(Duration::from_secs(3600)).await;
        assert!(closed, "the connection stays open: {}", show(&read));
        read
    }

    /// One response: its head and its body, by the length that it says.
    pub async fn response(&mut self) -> (String, Vec<u8>) {
        let mut read = Vec::new();
        let end = loop {
            if let Some(at) = find(&read, b"\r\n\r\n") {
                break at + 4;
            }
            let n = self.0.io.read_buf(&mut read).await.unwrap();
            assert!(n > 0, "closed after {}", show(&read));
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length: usize = field(&head, "Content-Length").unwrap().parse().unwrap();
        while read.len() < end + length {
            let n = self.0.io.read_buf(&mut read).await.unwrap();
            assert!(n > 0, "closed after {}", show(&read));
        }
        assert_eq!(read.len(), end + length, "{}", show(&read));
        (head, read[end..].to_vec())
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A unary request in protobuf.
pub fn post(endpoint: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nContent-Type: application/protobuf\r\n\
         Micro-Endpoint: {endpoint}\r\n{extra}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Runs what is ready, without letting time pass.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
