//! A server and clients without a network: pipes of any width, whose bytes can be kept and cut.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::call::{BoxFuture, Dispatch, Invoke};
use micro_runtime::client::Target;
use micro_runtime::protocol::{AttemptLimits, Braid, Channel, Destination, Environment, Protocol};
use micro_runtime::router::{Core, CoreOptions, Limits};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Connection, Listener, Transport};
use micro_runtime::{Error, Reply, Request, Result};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::say::{Probe, Say, SayClient};

/// Dials by making a pipe, one end of which is the server's.
pub struct Pipes {
    pub width: usize,
    server: mpsc::UnboundedSender<DuplexStream>,
    pub dials: AtomicUsize,
    /// While set, nobody answers.
    pub down: AtomicBool,
    pub tap: Tap,
}

/// What went through the client's end of every pipe.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Tapped>>);

#[derive(Debug, Default)]
struct Tapped {
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Tap {
    pub fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let tapped = self.0.lock().unwrap();
        (tapped.out.clone(), tapped.input.clone())
    }

    /// How many bytes went out and came in.
    pub fn lengths(&self) -> (usize, usize) {
        let tapped = self.0.lock().unwrap();
        (tapped.out.len(), tapped.input.len())
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipes")
    }
}

impl Pipes {
    pub fn new(width: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<DuplexStream>) {
        let (server, dialled) = mpsc::unbounded_channel();
        let pipes = Self {
            width,
            server,
            dials: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            tap: Tap::default(),
        };
        (Arc::new(pipes), dialled)
    }
}

#[async_trait]
impl Transport for Pipes {
    fn name(&self) -> &str {
        "pipes"
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let (ours, theirs) = tokio::io::duplex(self.width);
        if self.down.load(Ordering::SeqCst) || self.server.send(theirs).is_err() {
            return Err(
                Error::internal("go.micro.client", "connection error: nobody is there")
                    .unprocessed(),
            );
        }
        Ok(Connection::new(
            Tapping {
                io: ours,
                tap: self.tap.clone(),
            },
            address.to_owned(),
            "client",
        ))
    }

    async fn listen(&self, _address: &str) -> Result<Box<dyn Listener>> {
        unimplemented_listen()
    }
}

fn unimplemented_listen() -> Result<Box<dyn Listener>> {
    Err(Error::internal("test", "pipes are dialled only"))
}

struct Tapping {
    io: DuplexStream,
    tap: Tap,
}

impl AsyncRead for Tapping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(task, buf);
        self.tap
            .0
            .lock()
            .unwrap()
            .input
            .extend_from_slice(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tapping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(task, buf);
        if let Poll::Ready(Ok(n)) = &polled {
            self.tap.0.lock().unwrap().out.extend_from_slice(&buf[..*n]);
        }
        polled
    }
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }
}

/// One channel as an [`Invoke`]: what the client's attempt loop does, without trying again.
pub struct Direct(pub Arc<dyn Channel>);

impl Invoke for Direct {
    fn invoke(&self, mut request: Request) -> BoxFuture<Result<Reply>> {
        let channel = self.0.clone();
        Box::pin(async move {
            let own = request
                .options
                .timeout
                .map(|timeout| Instant::now() + timeout);
            if let Some(own) = own.filter(|_| !request.method.kind.is_stream()) {
                request.cx = request.cx.with_deadline(own);
            }
            let limits = AttemptLimits {
                now: Instant::now(),
                deadline: request.cx.deadline(),
                dial_timeout: Duration::from_secs(5),
            };
            match own {
                None => channel.call(&request, limits).await,
                Some(own) => timeout_at(own, channel.call(&request, limits))
                    .await
                    .unwrap_or_else(|_| Err(Error::timeout("go.micro.client", "call timeout"))),
            }
        })
    }
}

pub fn channel(transport: Arc<dyn Transport>, tasks: &Tasks, address: &str) -> Arc<dyn Channel> {
    channel_of(&Braid::default(), transport, tasks, address)
}

/// To the node at `address`, in any protocol.
pub fn channel_of(
    protocol: &dyn Protocol,
    transport: Arc<dyn Transport>,
    tasks: &Tasks,
    address: &str,
) -> Arc<dyn Channel> {
    let environment = Environment {
        transport,
        tasks: tasks.clone(),
        pool_size: 1,
        pool_ttl: Duration::from_secs(60),
        max_message: 64 << 20,
    };
    let node = Destination {
        address: address.to_owned().into(),
        id: "node-1".into(),
        legacy: false,
    };
    protocol.channel(node, &environment)
}

pub fn client(channel: &Arc<dyn Channel>) -> SayClient {
    SayClient(Target::new("test.say", Arc::new(Direct(channel.clone()))))
}

pub fn server(service: impl Dispatch, limits: Limits, tasks: &Tasks) -> Server {
    server_of(Braid::default(), service, limits, tasks)
}

/// A server of one protocol.
pub fn server_of(
    protocol: impl Protocol,
    service: impl Dispatch,
    limits: Limits,
    tasks: &Tasks,
) -> Server {
    let mut options = CoreOptions::default();
    options.name = "test.say".into();
    options.limits = limits;
    options.tasks = tasks.clone();
    let core = Core::new(options, [Arc::new(service) as Arc<dyn Dispatch>]).unwrap();
    Server::new(core, vec![Arc::new(protocol)]).unwrap()
}

/// A server, a client, and the pipes between them.
pub struct Net {
    pub server: Arc<Server>,
    pub pipes: Arc<Pipes>,
    pub channel: Arc<dyn Channel>,
    pub say: SayClient,
    pub probe: Arc<Probe>,
    pub tasks: Tasks,
}

impl Net {
    pub fn new() -> Self {
        Self::with(64 * 1024, Limits::default())
    }

    pub fn with(width: usize, limits: Limits) -> Self {
        Self::seeded(width, limits, Tasks::new())
    }

    pub fn seeded(width: usize, limits: Limits, tasks: Tasks) -> Self {
        Self::of(Braid::default(), width, limits, tasks)
    }

    /// Both sides with these settings.
    pub fn of(braid: Braid, width: usize, limits: Limits, tasks: Tasks) -> Self {
        let probe = Arc::new(Probe::default());
        let (pipes, mut dialled) = Pipes::new(width);
        let server = Arc::new(server_of(
            braid.clone(),
            Say(probe.clone()),
            limits,
            &tasks.group(),
        ));
        let attach = server.clone();
        tasks.spawn(async move {
            while let Some(io) = dialled.recv().await {
                attach.attach(Connection::new(io, "caller", "server"));
            }
        });
        let channel = channel_of(&braid, pipes.clone(), &tasks.group(), "server");
        let say = client(&channel);
        Self {
            server,
            pipes,
            channel,
            say,
            probe,
            tasks,
        }
    }

    /// Another client of the same server.
    pub fn other(&self) -> (Arc<dyn Channel>, SayClient) {
        let channel = channel(self.pipes.clone(), &self.tasks.group(), "server");
        let say = client(&channel);
        (channel, say)
    }
}
