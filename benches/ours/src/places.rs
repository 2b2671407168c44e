//! Where client and server find each other: a registry and a transport.

use std::path::PathBuf;
use std::sync::Arc;

use bench_common::Args;
use micro_runtime::registry::{Local, Memory, Node, RegisterOptions, Registry};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport;
use micro_runtime::{Result, Service, registry};

/// A registry and a transport that both sides use.
pub(crate) struct Places {
    registry: Arc<dyn Registry>,
    memory: Option<transport::Memory>,
    protocol: String,
}

impl Places {
    /// Files and TCP between two processes, memory within one.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let memory = (args.mode() == "memory").then(transport::Memory::new);
        let registry: Arc<dyn Registry> = if memory.is_some() || by_hand(args) {
            Arc::new(Memory::new())
        } else {
            Arc::new(Local::at(folder(args.address()), &Tasks::new())?)
        };
        let protocol = args.get("protocol").unwrap_or("braid").to_owned();
        Ok(Self {
            registry,
            memory,
            protocol,
        })
    }

    /// A service here whose client speaks the chosen protocol.
    pub(crate) fn service(&self, name: &str) -> Service {
        let service = Service::new(name)
            .shared_registry(self.registry.clone())
            .client_protocols([&self.protocol]);
        match &self.memory {
            None => service,
            Some(memory) => service.transport(memory.clone()),
        }
    }

    /// Tells the registry of a server that does not know it: one of Go's.
    pub(crate) async fn add_by_hand(&self, args: &Args) -> Result<()> {
        if !by_hand(args) {
            return Ok(());
        }
        let mut node = Node::new("by-hand", args.address());
        node.metadata
            .insert("protocol".to_owned(), "mucp".to_owned());
        let mut entry = registry::Service::new(crate::NAME, "latest");
        entry.nodes = vec![node];
        self.registry
            .register(&entry, RegisterOptions::default())
            .await
    }
}

fn by_hand(args: &Args) -> bool {
    args.number("by-hand", 0) == 1
}

/// A folder that belongs to one server's address, so that runs do not find each other.
fn folder(address: &str) -> PathBuf {
    let name: String = address
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    std::env::temp_dir().join(format!("micro-bench-{name}"))
}
