//! Brokers over one registry and one network, and raw connections to them.

use std::sync::Arc;

use micro_runtime::broker::{Broker, Http, HttpOptions, Message, SubscribeOptions, Subscription};
use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Io, Listener, Memory as Network, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

pub const SERVICE: &str = "micro.http.broker";
pub const BROADCAST: &str = "ff.http.broadcast";

/// A registry and a network that brokers share.
#[derive(Clone, Default)]
pub struct World {
    pub registry: Memory,
    pub network: Network,
    pub tasks: Tasks,
}

impl World {
    pub fn options(&self) -> HttpOptions {
        let mut options = HttpOptions::default();
        options.transport = Arc::new(self.network.clone());
        options
    }

    pub fn broker(&self) -> Http {
        self.broker_with(self.options())
    }

    pub fn broker_with(&self, options: HttpOptions) -> Http {
        Http::with(Arc::new(self.registry.clone()), &self.tasks, options).unwrap()
    }

    /// All nodes that are registered for subscriptions, with their queues.
    pub async fn nodes(&self) -> Vec<(String, Node)> {
        let services = self.registry.get(SERVICE).await.unwrap_or_default();
        let nodes = services.into_iter().flat_map(|service| {
            let version = service.version;
            let nodes = service.nodes.into_iter();
            nodes.map(move |node| (version.clone(), node))
        });
        nodes.collect()
    }

    /// The only one.
    pub async fn node(&self) -> Node {
        let mut nodes = self.nodes().await;
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        nodes.pop().unwrap().1
    }

    /// Registers a subscription of nobody's.
    pub async fn register(&self, topic: &str, version: &str, id: &str, address: &str) {
        let mut node = Node::new(id, address);
        node.metadata = [("broker", "http"), ("topic", topic), ("secure", "false")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let mut service = Service::new(SERVICE, version);
        service.nodes = vec![node];
        let options = RegisterOptions::default();
        self.registry.register(&service, options).await.unwrap();
    }

    /// Says `request` on a connection of its own, and gives what comes back until it is whole.
    pub async fn say(&self, address: &str, request: &[u8]) -> String {
        let mut line = self.dial(address).await;
        line.write_all(request).await.unwrap();
        answer(&mut line).await
    }

    pub async fn dial(&self, address: &str) -> Box<dyn Io> {
        self.network.dial(address).await.unwrap().io
    }
}

/// What a subscription hears, each dealt with at once.
pub struct Heard(mpsc::Receiver<Message>);

impl Heard {
    pub fn of(mut subscription: Box<dyn Subscription>) -> Self {
        let (say, heard) = mpsc::channel(8192);
        Tasks::new().spawn(async move {
            while let Some(delivery) = subscription.next().await {
                if say.try_send(delivery.message.clone()).is_err() {
                    return;
                }
                delivery.ack();
            }
        });
        Self(heard)
    }

    /// The last of what has come already.
    pub fn last(&mut self) -> Option<Message> {
        let mut last = None;
        while let Ok(message) = self.0.try_recv() {
            last = Some(message);
        }
        last
    }

    /// The words of what has come, once the handlers have had their turn.
    pub async fn words(&mut self) -> Vec<String> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let mut words = Vec::new();
        while let Ok(message) = self.0.try_recv() {
            words.push(String::from_utf8(message.body.to_vec()).unwrap());
        }
        words
    }
}

pub async fn subscribe(broker: &Http, topic: &str, queue: &str) -> Heard {
    Heard::of(open(broker, topic, queue).await)
}

pub async fn open(broker: &Http, topic: &str, queue: &str) -> Box<dyn Subscription> {
    let options = SubscribeOptions::queue(queue);
    broker.subscribe(topic, options).await.unwrap()
}

/// A post as Go Micro sends it.
pub fn post(id: &str, body: &str) -> String {
    format!(
        "POST /?id={id} HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUser-Agent: Go-http-client/1.1\r\n\
         Content-Length: {}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
}

/// A post of the word `hi`.
pub fn hi(topic: &str) -> String {
    format!("{{\"Header\":{{\"Micro-Topic\":\"{topic}\"}},\"Body\":\"aGk=\"}}")
}

/// One answer: up to the length that it tells, or to the end of the connection.
pub async fn answer(line: &mut Box<dyn Io>) -> String {
    let mut got = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        match line.read(&mut part).await.unwrap_or(0) {
            0 => return text,
            n => got.extend_from_slice(&part[..n]),
        }
    }
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

/// Without what changes from run to run.
pub fn undated(answer: &str) -> String {
    let lines = answer
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\r\n")
}

/// A subscriber that answers as it is told, and keeps what is posted to it.
pub struct Fake {
    pub address: String,
    pub posts: mpsc::Receiver<String>,
}

impl Fake {
    pub async fn listen(world: &World, says: &'static str) -> Self {
        let listener = world.network.listen("").await.unwrap();
        let (keep, posts) = mpsc::channel(64);
        let address = listener.address().to_owned();
        world.tasks.spawn(answer_all(listener, says, keep));
        Self { address, posts }
    }
}

async fn answer_all(mut listener: Box<dyn Listener>, says: &str, keep: mpsc::Sender<String>) {
    loop {
        let mut line = listener.accept().await.unwrap().io;
        let post = answer(&mut line).await;
        if post.is_empty() {
            continue;
        }
        keep.send(post).await.unwrap();
        if line.write_all(says.as_bytes()).await.is_err() || says.is_empty() {
            continue;
        }
        // The publisher closes it, or keeps it for the next post, which nobody answers.
        let _ = line.flush().await;
    }
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
