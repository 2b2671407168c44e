//! A service with an admin listener, and requests to it over a real socket.

use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_runtime::service::Running;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A service on loopback with an admin listener.
pub fn service(name: &str, registry: &Memory) -> Service {
    Service::new(name)
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .admin_address("127.0.0.1:0")
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends these bytes and reads to the end; `None` where nothing comes back.
pub async fn send(address: &str, request: &str) -> Option<Answer> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The other side may have closed already.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Asks for a path as a browser or curl does.
pub async fn get(running: &Running, path: &str) -> Answer {
    let address = running.admin_address().unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    send(address, &request).await.unwrap()
}

/// The JSON at a path.
pub async fn ask(running: &Running, path: &str) -> Value {
    let answer = get(running, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}
