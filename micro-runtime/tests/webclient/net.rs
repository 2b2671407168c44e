//! Peers of HTTP/1.1 made by hand: what they read is kept, what they answer is a test's.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::client::{Client, ClientOptions, Outliers};
use micro_runtime::protocol::Protocol;
use micro_runtime::registry::{Memory, Node, Registry, Service};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::say::SayClient;

/// Nothing here takes as long.
pub const LONG: Duration = Duration::from_secs(20);

/// A client that calls the node at `address`, and no other, in `protocol`.
pub async fn client(protocol: impl Protocol, address: &str) -> SayClient {
    client_of(protocol, address, &Tasks::new()).await
}

/// The same, whose tasks are these.
pub async fn client_of(protocol: impl Protocol, address: &str, tasks: &Tasks) -> SayClient {
    let registry = Memory::new();
    let mut service = Service::new("test.say", "1");
    let mut node = Node::new("node-1", address);
    node.metadata
        .insert("protocol".into(), protocol.name().into());
    service.nodes = vec![node];
    registry
        .register(&service, Default::default())
        .await
        .unwrap();
    let protocols: Vec<Arc<dyn Protocol>> = vec![Arc::new(protocol)];
    let mut options = ClientOptions::new(Arc::new(registry), Arc::new(Tcp), protocols);
    options.tasks = tasks.clone();
    // Peers made by hand answer what a test sends, and no questions about how they are.
    options.outliers = Outliers::off();
    SayClient(Client::new(options).unwrap().target("test.say"))
}

/// A server that waits for connections.
pub struct Peer {
    listener: TcpListener,
    pub address: String,
}

impl Peer {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    /// The next connection on which something is said; a client may only try whether it is there.
    pub async fn accept(&self) -> Wire {
        loop {
            let accepted = timeout(LONG, self.listener.accept()).await.unwrap();
            let mut wire = Wire {
                io: accepted.unwrap().0,
                inbox: Vec::new(),
            };
            let read = timeout(LONG, wire.io.read_buf(&mut wire.inbox)).await;
            if read.unwrap().unwrap() > 0 {
                return wire;
            }
        }
    }

    /// Whether nobody dials.
    pub async fn is_left_alone(&self) -> bool {
        let accepted = timeout(Duration::from_millis(50), self.listener.accept()).await;
        accepted.is_err()
    }
}

/// A connection to a client.
pub struct Wire {
    io: TcpStream,
    inbox: Vec<u8>,
}

/// A request's head.
#[derive(Debug)]
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }
}

impl Wire {
    /// Reads until `end` is in the inbox, and takes it out with what is before it.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.inbox.windows(end.len()).position(|part| part == end) {
                let rest = self.inbox.split_off(at + end.len());
                return std::mem::replace(&mut self.inbox, rest);
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let read = timeout(LONG, self.io.read_buf(&mut self.inbox)).await;
        assert!(read.unwrap().unwrap() > 0, "the client has closed");
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.inbox.len() < length {
            self.read().await;
        }
        let rest = self.inbox.split_off(length);
        std::mem::replace(&mut self.inbox, rest)
    }

    pub async fn head(&mut self) -> Head {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let fields = fields.collect();
        Head { line, fields }
    }

    /// A head and the whole body after it.
    pub async fn request(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let mut body = Vec::new();
        if head.get("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else if head.has("content-length") {
            body = self
                .exactly(head.get("content-length").parse().unwrap())
                .await;
        }
        (head, body)
    }

    /// A chunk of a body; `None` at the end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.until(b"\r\n").await).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = self.exactly(size + 2).await;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Answers with a body of known length.
    pub async fn answer(&mut self, head: &str, body: impl AsRef<[u8]>) {
        self.write(answer(head, body)).await;
    }

    /// Begins an answer whose body comes in chunks.
    pub async fn begin(&mut self, head: &str) {
        self.write(format!(
            "HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
    }

    pub async fn send_chunk(&mut self, chunk: impl AsRef<[u8]>) {
        let chunk = chunk.as_ref();
        self.write(format!("{:x}\r\n", chunk.len())).await;
        self.write(chunk).await;
        self.write("\r\n").await;
    }

    /// Waits until the client closes its end.
    pub async fn closed(&mut self) {
        loop {
            let read = timeout(LONG, self.io.read_buf(&mut self.inbox)).await;
            match read.expect("the client goes on") {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

pub fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut all = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

/// A message in its envelope.
pub fn framed(flag: u8, message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let mut all = vec![flag];
    all.extend_from_slice(&(message.len() as u32).to_be_bytes());
    all.extend_from_slice(message);
    all
}

/// Reads what is in an envelope.
pub fn opened(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while let [flag, a, b, c, d, more @ ..] = rest {
        let (message, more) = more.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        all.push((*flag, message.to_vec()));
        rest = more;
    }
    assert!(rest.is_empty());
    all
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut all = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut all)
        .unwrap();
    all
}
