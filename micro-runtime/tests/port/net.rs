//! A server whose port speaks what a test says, and raw connections to it.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::codegen::Dispatch;
use micro_runtime::protocol::braid::Braid;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::protocol::{Grpc, Protocol, Web};
use micro_runtime::router::{Core, CoreOptions, Limits};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::generated::greeter::GreeterServer;
use crate::greeter::Peer;

/// What a pipe holds in one direction.
pub const PIPE: usize = 16 * 1024;

/// A greeter on a port.
pub struct Port {
    pub server: Server,
    pub peer: Peer,
    pub tasks: Tasks,
}

impl Port {
    /// One that speaks all, with default limits.
    pub fn new() -> Self {
        Self::with(all(Grpc::new(), Mucp::new()), Limits::default())
    }

    pub fn with(protocols: Vec<Arc<dyn Protocol>>, limits: Limits) -> Self {
        let peer = Peer::default();
        let tasks = Tasks::new();
        let mut options = CoreOptions::default();
        options.name = "greeter".into();
        options.limits = limits;
        options.tasks = tasks.clone();
        let service: Arc<dyn Dispatch> = Arc::new(GreeterServer::new(peer.clone()));
        let core = Core::new(options, [service]).unwrap();
        Self {
            server: Server::new(core, protocols).unwrap(),
            peer,
            tasks,
        }
    }

    pub fn dial(&self) -> Raw {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.server
            .attach(Connection::new(theirs, "caller", "server"));
        Raw {
            io: ours,
            inbox: Vec::new(),
        }
    }
}

/// All protocols.
pub fn all(grpc: Grpc, mucp: Mucp) -> Vec<Arc<dyn Protocol>> {
    vec![
        Arc::new(Braid::default()),
        Arc::new(grpc.clone()),
        Arc::new(mucp),
        Arc::new(Web::with(grpc)),
    ]
}

/// A connection on which a test says what it likes.
pub struct Raw {
    io: DuplexStream,
    inbox: Vec<u8>,
}

/// An answer of HTTP/1.1, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    pub fn into_io(self) -> DuplexStream {
        self.io
    }

    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }

    /// The next answer, by its length or its chunks.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let mut answer = Answer {
            status: head.get(9..12).unwrap().parse().unwrap(),
            head,
            body: String::new(),
        };
        let body = if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            self.take(length).await
        } else if answer.field("transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else {
            Vec::new()
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    /// The next head, its last empty line included.
    pub async fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = find(&self.inbox, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        String::from_utf8(self.take(end).await).unwrap()
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = find(&self.inbox, b"\r\n") {
                    break self.take(at + 2).await;
                }
                self.more().await;
            };
            let line = String::from_utf8(line).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            body.extend(self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    pub async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.inbox.len() < n {
            self.more().await;
        }
        self.inbox.drain(..n).collect()
    }

    async fn more(&mut self) {
        let limit = Duration::from_secs(3600);
        let read = tokio::time::timeout(limit, self.io.read_buf(&mut self.inbox));
        let n = read.await.expect("nothing comes").unwrap();
        assert!(n > 0, "closed after {}", self.inbox.escape_ascii());
    }

    /// What comes until the other end closes.
    pub async fn rest(&mut self) -> String {
        let limit = Duration::from_secs(3600);
        let read = tokio::time::timeout(limit, self.io.read_to_end(&mut self.inbox));
        read.await.expect("it stays open").unwrap();
        String::from_utf8_lossy(&std::mem::take(&mut self.inbox)).into_owned()
    }

    /// Whether nothing comes, and the connection stays open, for `time`.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(time, self.io.read(&mut byte)).await;
        self.inbox.is_empty() && read.is_err()
    }

    /// How many bytes, again and again, can be written before the other end takes no more, or closes.
    pub async fn fill(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let mut written = 0;
        loop {
            let rest = &bytes[written % bytes.len()..];
            match tokio::time::timeout(patience, self.io.write(rest)).await {
                Ok(Ok(n)) => written += n,
                Ok(Err(_)) | Err(_) => return written,
            }
        }
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// A call in JSON as `curl --json` sends it.
pub fn json(method: &str, body: &str) -> String {
    request("POST", method, "Content-Type: application/json\r\n", body)
}

pub fn request(verb: &str, method: &str, fields: &str, body: &str) -> String {
    format!(
        "{verb} /greeter.Greeter/{method} HTTP/1.1\r\nHost: localhost:1\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A call as Go Micro sends it, in JSON.
pub fn mucp(endpoint: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost:1\r\nContent-Type: application/json\r\nMicro-Endpoint: {endpoint}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Runs what is ready, without letting time pass.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A message of a stream of Connect.
pub fn envelope(flags: u8, body: &str) -> Vec<u8> {
    let mut bytes = vec![flags];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body.as_bytes());
    bytes
}
