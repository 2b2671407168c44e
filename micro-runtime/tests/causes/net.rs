//! A server behind a wire on loopback that a test can cut, hold up or spoil.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::client::{Call, Client, ClientOptions, Unary};
use micro_runtime::codegen::Dispatch;
use micro_runtime::protocol::{Braid, Connect, Grpc, GrpcWeb, Protocol, Web, mucp::Mucp};
use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service};
use micro_runtime::router::{Core, CoreOptions, Limits};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Connection, Tcp, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::{Say, frame};

/// All protocols that a client speaks.
pub const PROTOCOLS: [&str; 5] = ["mucp", "grpc", "braid", "connect", "grpc-web"];

/// Nothing here takes as long.
pub const LONG: Duration = Duration::from_secs(20);

pub fn protocol(name: &str) -> Arc<dyn Protocol> {
    match name {
        "mucp" => Arc::new(Mucp::new()),
        "grpc" => Arc::new(Grpc::new()),
        "braid" => Arc::new(Braid::default()),
        "connect" => Arc::new(Connect::new()),
        "grpc-web" => Arc::new(GrpcWeb::new()),
        other => panic!("no protocol {other}"),
    }
}

/// What the wire does with what the server sends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Wire {
    #[default]
    Whole,
    /// It ends.
    Cut,
    /// It carries nothing any more.
    Still,
    /// It carries noise.
    Noise,
}

/// A server of one service behind a wire.
pub struct Node1 {
    pub address: String,
    pub wire: watch::Sender<Wire>,
    /// All that the server has sent.
    pub sent: Arc<Mutex<Vec<u8>>>,
    /// All that it has been sent.
    pub heard: Arc<Mutex<Vec<u8>>>,
    _server: Arc<Server>,
}

impl Node1 {
    pub async fn new(say: Say) -> Self {
        Self::with(say, Limits::default()).await
    }

    pub async fn with(say: Say, limits: Limits) -> Self {
        let mut options = CoreOptions::default();
        options.limits = limits;
        options.tasks = Tasks::new();
        let service: Arc<dyn Dispatch> = Arc::new(say);
        let core = Core::new(options, [service]).unwrap();
        let spoken: Vec<Arc<dyn Protocol>> = vec![
            Arc::new(Braid::default()),
            Arc::new(Grpc::new()),
            Arc::new(Mucp::new()),
            Arc::new(Web::with(Grpc::new())),
        ];
        let server = Arc::new(Server::new(core, spoken).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (wire, watched) = watch::channel(Wire::Whole);
        let (sent, heard) = <(Arc<Mutex<Vec<u8>>>, Arc<Mutex<Vec<u8>>>)>::default();
        let (attach, down, up) = (server.clone(), sent.clone(), heard.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                attach.attach(Connection::new(theirs, "caller", "server"));
                let (from_client, to_client) = socket.into_split();
                let (from_server, to_server) = tokio::io::split(ours);
                let up = carry(from_client, to_server, Way::Up, watched.clone(), up.clone());
                let down = carry(
                    from_server,
                    to_client,
                    Way::Down,
                    watched.clone(),
                    down.clone(),
                );
                tokio::spawn(async move {
                    // Whichever ends first ends the connection.
                    tokio::select! {
                        biased;
                        () = up => {}
                        () = down => {}
                    }
                });
            }
        });
        Self {
            address,
            wire,
            sent,
            heard,
            _server: server,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut wire: watch::Receiver<Wire>,
    noted: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = *wire.borrow_and_update();
        match (now, way) {
            (Wire::Cut, _) => return,
            (Wire::Whole, _) | (_, Way::Up) => {}
            (Wire::Still, Way::Down) => return std::future::pending().await,
            (Wire::Noise, Way::Down) => {
                let noise = b"\xff\xfe noise, and no answer of anybody\r\n\r\n".repeat(8);
                let _ = to.write_all(&noise).await;
                return std::future::pending().await;
            }
        }
        tokio::select! {
            biased;
            changed = wire.changed() => {
                if changed.is_err() { return }
            }
            read = from.read(&mut buffer) => {
                let Ok(read @ 1..) = read else { return };
                noted.lock().unwrap().extend_from_slice(&buffer[..read]);
                if to.write_all(&buffer[..read]).await.is_err() { return }
            }
        }
    }
}

/// A client that calls the node at `address` in `name`, over TCP.
pub async fn client(name: &str, address: &str) -> Client {
    client_over(Tcp, protocol(name), name, address).await
}

/// A client that speaks `protocol` over `transport` to a node of which the registry says that it
/// speaks `told`.
pub async fn client_over(
    transport: impl Transport,
    protocol: Arc<dyn Protocol>,
    told: &str,
    address: &str,
) -> Client {
    let registry = Memory::new();
    let mut service = Service::new("say", "1");
    let mut node = Node::new("say-1", address);
    node.metadata.insert("protocol".into(), told.into());
    service.nodes = vec![node];
    let registered = registry.register(&service, RegisterOptions::default());
    registered.await.unwrap();
    let options = ClientOptions::new(Arc::new(registry), Arc::new(transport), vec![protocol]);
    Client::new(options).unwrap()
}

/// A call that is tried once.
pub fn call(client: &Client) -> Call<Unary<Frame, Frame>> {
    client
        .target("say")
        .unary(&crate::support::METHODS[0], frame("hi"))
        .retries(0)
}
