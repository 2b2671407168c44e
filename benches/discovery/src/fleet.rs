//! A registry that knows many services and answers at once.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use micro_runtime::Result;
use micro_runtime::registry::{
    Endpoint, Event, Node, RegisterOptions, Registry, Service, Value, Watcher, not_found,
};

/// What our own servers write, in two versions and two regions.
#[derive(Clone, Debug)]
pub(crate) struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: BTreeMap<String, Vec<Service>>,
    /// Whether all nodes have moved to other ports.
    changed: AtomicBool,
}

impl Fleet {
    pub(crate) fn new(services: usize, nodes: usize) -> Self {
        let names = (0..services).map(|at| format!("go.micro.srv.service-{at:05}"));
        let services = names.map(|name| (name.clone(), versions(&name, nodes)));
        Self(Arc::new(Inner {
            services: services.collect(),
            changed: AtomicBool::new(false),
        }))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.services.keys().map(String::as_str)
    }

    pub(crate) fn change(&self) {
        self.0.changed.store(true, Ordering::Relaxed);
    }
}

/// A service's two versions, its nodes in both by turns.
fn versions(name: &str, nodes: usize) -> Vec<Service> {
    let mut versions = ["1.9.0", "1.10.0"].map(|version| Service::new(name, version));
    for version in &mut versions {
        version.endpoints = ["Say.Hello", "Say.Count", "Say.Sum"].map(endpoint).to_vec();
    }
    for at in 0..nodes {
        // A UUID, as in the ids that servers make.
        let id = format!("{name}-c0ffee00-0000-4000-8000-{at:012}");
        let mut node = Node::new(id, format!("10.{}.{}.{}:8080", at / 256, at % 256, at % 7));
        for (key, value) in [
            ("broker", "http"),
            ("protocol", "mucp"),
            ("protocols", "braid,mucp"),
            ("registry", "consul"),
            ("server", "mucp"),
            ("transport", "http"),
            ("region", ["eu", "us"][at / 2 % 2]),
        ] {
            node.metadata.insert(key.to_owned(), value.to_owned());
        }
        versions[at % 2].nodes.push(node);
    }
    versions.to_vec()
}

fn endpoint(name: &str) -> Endpoint {
    let field = |name: &str, kind: &str| Value {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ..Value::default()
    };
    let message = |name: &str| Value {
        values: vec![field("name", "string"), field("number", "int64")],
        ..field(name, name)
    };
    Endpoint {
        name: name.to_owned(),
        request: Some(message("Request")),
        response: Some(message("Response")),
        metadata: BTreeMap::new(),
    }
}

#[async_trait]
impl Registry for Fleet {
    fn name(&self) -> &str {
        "fleet"
    }

    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        Ok(())
    }

    async fn deregister(&self, _: &Service) -> Result<()> {
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        let mut services = self.0.services.get(name).cloned().ok_or_else(not_found)?;
        if self.0.changed.load(Ordering::Relaxed) {
            for node in services.iter_mut().flat_map(|service| &mut service.nodes) {
                node.address.push('1');
            }
        }
        Ok(services)
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Ok(self.0.services.values().flatten().cloned().collect())
    }

    async fn watch(&self, _: Option<&str>) -> Result<Box<dyn Watcher>> {
        Ok(Box::new(Quiet))
    }
}

/// Nothing ever changes by itself.
#[derive(Debug)]
struct Quiet;

#[async_trait]
impl Watcher for Quiet {
    async fn next(&mut self) -> Result<Event> {
        pending().await
    }
}
