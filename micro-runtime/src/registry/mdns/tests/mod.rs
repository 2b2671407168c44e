//! Records compared with Go Micro's; talks with forged peers; floods.

mod floods;
mod network;
mod records;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::dns::{Message, Name, Question};
use super::{Mdns, MdnsOptions};
use crate::registry::{Node, RegisterOptions, Registry, Service};
use crate::tasks::Tasks;

/// How long what must come may take.
const SOON: Duration = Duration::from_secs(10);
/// How long what must not come is waited for.
const NEVER: Duration = Duration::from_millis(300);

/// Options for a group and a port that nobody else has.
fn options() -> MdnsOptions {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = u16::try_from(std::process::id() % 65_536).expect("16 bits");
    let [high, low] = process.to_be_bytes();
    let [_, last] = number.to_be_bytes();
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let port = probe.local_addr().expect("an address").port();
    // Time enough for a peer on a machine with much to do.
    let options = MdnsOptions::default().query_time(Duration::from_millis(500));
    options.group(
        Ipv4Addr::new(239, high, low, last),
        Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x3df, process, number),
        port,
    )
}

fn registry(options: &MdnsOptions) -> Mdns {
    Mdns::new(&Tasks::new(), options.clone()).expect("a registry")
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn greeter(id: &str, address: &str) -> Service {
    let mut service = Service::new("greeter", "1");
    service.nodes.push(Node::new(id, address));
    service
}

async fn register(registry: &Mdns, service: &Service) {
    let registered = registry.register(service, RegisterOptions::default()).await;
    registered.expect("it is registered");
}

/// A peer that says what a test wants: on the group's port, or on one of its own.
struct Peer {
    socket: UdpSocket,
    group: SocketAddr,
}

impl Peer {
    /// Hears the group on loopback.
    fn on(options: &MdnsOptions) -> Self {
        let peer = Self::open(options, options.group.port);
        let joined = peer
            .socket
            .join_multicast_v4(options.group.v4, Ipv4Addr::LOCALHOST);
        joined.expect("a membership");
        peer
    }

    /// Asks from a port of its own.
    fn beside(options: &MdnsOptions) -> Self {
        Self::open(options, 0)
    }

    fn open(options: &MdnsOptions, port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
        socket.set_reuse_address(true).expect("a shared port");
        socket
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .expect("loopback");
        socket.set_nonblocking(true).expect("no waiting");
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        socket.bind(&all.into()).expect("the port");
        Self {
            socket: UdpSocket::from_std(socket.into()).expect("a socket"),
            group: (options.group.v4, options.group.port).into(),
        }
    }

    async fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.expect("sent");
    }

    async fn tell(&self, message: &Message) {
        let datagram = message.write().expect("a datagram");
        self.send(&datagram, self.group).await;
    }

    async fn ask(&self, id: u16, question: Question) {
        let message = Message {
            id,
            questions: vec![question],
            ..Message::default()
        };
        self.tell(&message).await;
    }

    async fn answer(&self, message: &Message, to: SocketAddr) {
        let datagram = message.write().expect("a datagram");
        self.send(&datagram, to).await;
    }

    /// The next message within `time`.
    async fn hear(&self, time: Duration) -> Option<(Message, SocketAddr)> {
        let mut buffer = vec![0; 64 * 1024];
        let heard = timeout(time, self.socket.recv_from(&mut buffer)).await;
        let (length, source) = heard.ok()?.expect("a datagram");
        let message = Message::read(&buffer[..length]).expect("a message");
        Some((message, source))
    }

    /// The next question within [`SOON`].
    async fn question(&self) -> (Message, SocketAddr) {
        loop {
            let (message, source) = self.hear(SOON).await.expect("a question");
            if !message.is_response() {
                return (message, source);
            }
        }
    }
}
