//! A service of several versions, and clients that mind which nodes understand them.

use std::collections::BTreeMap;

use micro_runtime::call::{BoxFuture, Dispatch, Frame};
use micro_runtime::client::Target;
use micro_runtime::codegen;
use micro_runtime::method::{Idempotency, Kind, Method, ServiceDescriptor};
use micro_runtime::selector::Strategy;
use micro_runtime::service::Running;
use micro_runtime::{Reply, Request, Result, Service};

use crate::proto::set_of;
use crate::support::World;

/// Two methods of which only the first has the message that versions change.
pub(crate) const V1: &str = r#"syntax = "proto3"; package p;
    service S { rpc A(Q) returns (R); rpc B(R) returns (R); }
    message Q { int32 age = 3; }
    message R { string text = 1; }
"#;

/// A field more: another hash, and nothing that breaks.
pub(crate) fn v2() -> String {
    V1.replace("int32 age = 3;", "int32 age = 3; string name = 4;")
}

/// Another type, of a message that method `A` alone has.
pub(crate) fn v3() -> String {
    V1.replace("int32 age", "string age")
}

/// The service `p.S` of a `.proto` text.
pub(crate) fn descriptor(text: &str) -> &'static ServiceDescriptor {
    const fn method(endpoint: &'static str, path: &'static str, index: u16) -> Method {
        Method::new(
            "p",
            endpoint,
            path,
            Kind::Unary,
            Idempotency::Unknown,
            index,
        )
    }
    let methods = vec![method("S.A", "/p.S/A", 0), method("S.B", "/p.S/B", 1)];
    let set = set_of(&[("a.proto", text)]);
    Box::leak(Box::new(ServiceDescriptor::new(
        "S",
        "p.S",
        Vec::leak(methods),
        &[],
        Vec::leak(set),
    )))
}

/// Answers with its name.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) descriptor: &'static ServiceDescriptor,
}

impl Version {
    pub(crate) fn new(name: &'static str, text: &str) -> Self {
        Self {
            name,
            descriptor: descriptor(text),
        }
    }
}

impl Dispatch for Version {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.descriptor
    }

    fn call(&self, _index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        let name = self.name;
        codegen::unary(request, move |_cx, _: Frame| async move {
            Ok(Frame(name.into()))
        })
    }
}

/// A node of the service `greeter` that serves `version`, with the id of its name.
pub(crate) async fn node(
    world: &World,
    version: &Version,
    change: impl FnOnce(Service) -> Service,
) -> Running {
    let service = world.service("greeter", "braid");
    let service = service.id(version.name).handle(version.clone());
    change(service).start().await.unwrap()
}

/// Nodes of these versions, called one, two and three.
pub(crate) async fn nodes(world: &World, texts: &[&str]) -> Vec<Running> {
    let mut running = Vec::new();
    for (name, text) in ["one", "two", "three"].into_iter().zip(texts) {
        let version = Version::new(name, text);
        running.push(node(world, &version, |service| service).await);
    }
    running
}

/// A client that knows the service as version 1.
pub(crate) struct Caller {
    pub(crate) service: Service,
    pub(crate) descriptor: &'static ServiceDescriptor,
    pub(crate) target: Target,
    pub(crate) a: &'static Method,
    pub(crate) b: &'static Method,
}

impl Caller {
    pub(crate) fn of(service: Service) -> Self {
        let service = service.selector(Strategy::RoundRobin);
        let descriptor = descriptor(V1);
        Self {
            target: service.client().typed_target("greeter", descriptor),
            service,
            descriptor,
            a: &descriptor.methods[0],
            b: &descriptor.methods[1],
        }
    }

    pub(crate) fn new(world: &World) -> Self {
        Self::of(world.service("caller", "braid"))
    }

    /// Whom so many calls of the first method reach.
    pub(crate) async fn reaches(&self, calls: usize) -> BTreeMap<String, usize> {
        reached(&self.target, self.a, calls).await
    }
}

/// Whom so many calls of a method reach, and what errors they have.
pub(crate) async fn reached(
    target: &Target,
    method: &'static Method,
    calls: usize,
) -> BTreeMap<String, usize> {
    let mut reached = BTreeMap::new();
    for _ in 0..calls {
        let reply: Result<Frame> = target.unary(method, Frame::default()).await;
        let name = match reply {
            Ok(reply) => String::from_utf8_lossy(&reply.0).into_owned(),
            Err(error) => error.detail().to_owned(),
        };
        *reached.entry(name).or_insert(0) += 1;
    }
    reached
}
