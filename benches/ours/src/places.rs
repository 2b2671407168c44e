//! Where client and server find each other: a registry and a transport.

use std::path::PathBuf;
use std::sync::Arc;

use bench_common::{Args, Workload};
use micro_runtime::registry::{Local, Memory, Node, RegisterOptions, Registry};
use micro_runtime::selector::Strategy;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport;
use micro_runtime::transport::tls::{ClientTls, Identity, ServerTls};
use micro_runtime::{Result, Service, registry};

/// A registry and a transport that both sides use.
pub(crate) struct Places {
    registry: Arc<dyn Registry>,
    memory: Option<transport::Memory>,
    protocol: String,
    strategy: Strategy,
    client_tls: Option<ClientTls>,
    server_tls: Option<ServerTls>,
}

impl Places {
    /// Files and TCP between two processes, memory within one.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let memory = (args.mode() == "memory").then(transport::Memory::new);
        let registry: Arc<dyn Registry> = if memory.is_some() || by_hand(args).is_some() {
            Arc::new(Memory::new())
        } else {
            Arc::new(Local::at(folder(args.address()), &Tasks::new())?)
        };
        let certificate = args.get("cert");
        let client_tls = certificate
            .map(|file| ClientTls::new().ca_file(file))
            .transpose()?;
        let server_tls = certificate
            .zip(args.get("key"))
            .map(|(chain, key)| Identity::from_files(chain, key))
            .transpose()?
            .map(ServerTls::new);
        Ok(Self {
            registry,
            memory,
            protocol: args.get("protocol").unwrap_or("braid").to_owned(),
            // One node needs no strategy: what another one costs is asked for.
            strategy: match args.get("selector") {
                Some(name) => name.parse()?,
                None => Strategy::RoundRobin,
            },
            client_tls,
            server_tls,
        })
    }

    /// A service here whose client speaks the chosen protocol.
    pub(crate) fn service(&self, name: &str) -> Service {
        let mut service = Service::new(name)
            .shared_registry(self.registry.clone())
            .selector(self.strategy.clone())
            .client_protocols([&self.protocol]);
        if let Some(tls) = &self.client_tls {
            service = service.client_tls(tls.clone());
        }
        if let Some(tls) = &self.server_tls {
            service = service.server_tls(tls.clone());
        }
        match &self.memory {
            None => service,
            Some(memory) => service.transport(memory.clone()),
        }
    }

    /// Tells the registry of a server that does not know it: one of Go's, or one that stands for many.
    pub(crate) async fn add_by_hand(&self, args: &Args) -> Result<()> {
        let Some((protocol, nodes)) = by_hand(args) else {
            return Ok(());
        };
        let mut entry = registry::Service::new(crate::NAME, "latest");
        entry.nodes = (0..nodes)
            .map(|number| {
                let mut node = Node::new(format!("by-hand-{number}"), args.address());
                node.metadata
                    .insert("protocol".to_owned(), protocol.to_owned());
                node
            })
            .collect();
        self.registry
            .register(&entry, RegisterOptions::default())
            .await
    }
}

/// Which nodes are told by hand, with what they speak.
fn by_hand(args: &Args) -> Option<(&str, usize)> {
    if args.has("by-hand") {
        return Some(("mucp", 1));
    }
    let idle = args.mode() == "client" && args.workload() == Workload::Idle;
    idle.then(|| (args.get("protocol").unwrap_or("braid"), args.connections()))
}

/// A folder that belongs to one server's address, so that runs do not find each other.
fn folder(address: &str) -> PathBuf {
    let name: String = address
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    std::env::temp_dir().join(format!("micro-bench-{name}"))
}
