//! A stand-in for Consul's agent, which answers what a test wants and remembers what it was asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::registry::Consul;
use micro_runtime::registry::consul::Options;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Io, Memory, Tcp, Transport};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything of a test may take.
pub const SOON: Duration = Duration::from_secs(20);

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|part| match part.split_once('=') {
                Some((key, value)) if key == name => Some(value),
                _ => None,
            })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&field.1)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `PUT /v1/agent/service/register`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What is answered.
pub enum Answer {
    /// A status, `X-Consul-Index` and a body.
    Status(u16, u64, String),
    /// These bytes, and then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, as long as the connection lives.
    Never,
    /// What comes of this.
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Answer {
    pub fn ok(body: impl Into<String>) -> Self {
        Self::Status(200, 1, body.into())
    }

    pub fn later(answer: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }
}

type Handler = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

pub struct Agent {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Agent {
    /// An agent on a port of loopback.
    pub async fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(&Tcp, "127.0.0.1:0", handler).await
    }

    /// An agent on a network of its own, for tests with a paused clock.
    pub async fn in_memory(
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> (Self, Consul) {
        let network = Memory::new();
        let agent = Self::on(&network, "agent:8500", handler).await;
        let options = Options::new().address("agent").transport(network);
        (agent, Consul::with(options, &Tasks::new()).unwrap())
    }

    pub async fn on(
        network: &dyn Transport,
        address: &str,
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut listener = network.listen(address).await.unwrap();
        let address = listener.address().to_owned();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let handler: Handler = Arc::new(handler);
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok(connection) = listener.accept().await {
                connections.spawn(serve(connection.io, handler.clone(), log.clone()));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// An agent that knows nothing and takes everything.
    pub async fn willing() -> Self {
        Self::start(|asked| match asked.method.as_str() {
            "GET" => Answer::ok("[]"),
            _ => Answer::ok(""),
        })
        .await
    }

    pub fn registry(&self) -> Consul {
        Consul::new([&*self.address], &Tasks::new()).unwrap()
    }

    /// What was asked since the last time, in order.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The lines of what was asked since the last time.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: Box<dyn Io>, handler: Handler, log: Arc<Mutex<Vec<Asked>>>) {
    while let Some(asked) = read(&mut *socket).await {
        log.lock().unwrap().push(asked.clone());
        let mut answer = handler(&asked);
        let bytes = loop {
            match answer {
                Answer::Later(later) => answer = later.await,
                Answer::Never => {
                    let mut rest = [0; 64];
                    while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                    return;
                }
                Answer::Raw(bytes) => {
                    let _ = socket.write_all(&bytes).await;
                    return;
                }
                Answer::Status(status, index, body) => {
                    break format!(
                        "HTTP/1.1 {status} Status\r\nX-Consul-Index: {index}\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                }
            }
        };
        if socket.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(socket: &mut dyn Io) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut start = lines.next()?.split(' ').map(str::to_owned);
    let fields = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = fields
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    socket.read_exact(&mut body).await.ok()?;
    Some(Asked {
        method: start.next()?,
        target: start.next()?,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// Fails where something takes too long.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("it takes too long")
}
