//! A server and clients of gRPC without a network.

use std::sync::Arc;

use micro_runtime::call::Dispatch;
use micro_runtime::protocol::{Channel, Grpc};
use micro_runtime::router::Limits;
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Connection, Transport};

use crate::pipes::{Pipes, channel_of, client, server_of};
use crate::say::{Probe, Say, SayClient};

pub fn channel(
    settings: &Grpc,
    transport: Arc<dyn Transport>,
    tasks: &Tasks,
    address: &str,
) -> Arc<dyn Channel> {
    channel_of(settings, transport, tasks, address)
}

pub fn server(settings: &Grpc, service: impl Dispatch, limits: Limits, tasks: &Tasks) -> Server {
    server_of(settings.clone(), service, limits, tasks)
}

/// A server, a client, and the pipes between them.
pub struct Net {
    pub server: Arc<Server>,
    pub pipes: Arc<Pipes>,
    pub channel: Arc<dyn Channel>,
    pub say: SayClient,
    pub probe: Arc<Probe>,
}

impl Net {
    pub fn new() -> Self {
        Self::with(Grpc::new(), Limits::default())
    }

    pub fn with(settings: Grpc, limits: Limits) -> Self {
        Self::narrow(64 * 1024, settings, limits, Say)
    }

    /// Through pipes of so many bytes, to the service that is made of a probe.
    pub fn narrow<D: Dispatch>(
        pipe: usize,
        settings: Grpc,
        limits: Limits,
        service: impl FnOnce(Arc<Probe>) -> D,
    ) -> Self {
        let tasks = Tasks::new();
        let probe = Arc::new(Probe::default());
        let (pipes, mut dialled) = Pipes::new(pipe);
        let server = server(&settings, service(probe.clone()), limits, &tasks.group());
        let server = Arc::new(server);
        let attach = server.clone();
        tasks.spawn(async move {
            while let Some(io) = dialled.recv().await {
                attach.attach(Connection::new(io, "caller", "server"));
            }
        });
        let channel = channel(&settings, pipes.clone(), &tasks.group(), "server");
        let say = client(&channel);
        Self {
            server,
            pipes,
            channel,
            say,
            probe,
        }
    }

    /// A connection to the server, for a client that is not ours.
    pub async fn connection(&self) -> Connection {
        self.pipes.dial("server").await.unwrap()
    }
}
