//! Two packages with a service of one short name, side by side.

use std::time::Duration;

use micro_runtime::call::{BoxFuture, Dispatch, Frame};
use micro_runtime::codegen::{
    EndpointDescriptor, Idempotency, Kind, Method, ServiceDescriptor, ValueDescriptor,
};
use micro_runtime::registry::Memory;
use micro_runtime::{Reply, Request, Result, Service};

static FIRST: [Method; 1] = [method("one", "/one.Say/Hello")];
static SECOND: [Method; 1] = [method("two.three", "/two.three.Say/Hello")];
static ENDPOINTS: [EndpointDescriptor; 1] = [EndpointDescriptor::new(
    "Say.Hello",
    ValueDescriptor::new("Word", "Word", &[]),
    ValueDescriptor::new("Word", "Word", &[]),
    &[],
)];
static ONE: ServiceDescriptor = ServiceDescriptor::new("Say", "one.Say", &FIRST, &ENDPOINTS, &[]);
static TWO: ServiceDescriptor =
    ServiceDescriptor::new("Say", "two.three.Say", &SECOND, &ENDPOINTS, &[]);

const fn method(package: &'static str, path: &'static str) -> Method {
    let (kind, idempotency) = (Kind::Unary, Idempotency::Unknown);
    Method::new(package, "Say.Hello", path, kind, idempotency, 0)
}

/// Answers with its own full name.
struct Named(&'static ServiceDescriptor);

impl Dispatch for Named {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.0
    }
    fn call(&self, _index: u16, _request: Request) -> BoxFuture<Result<Reply>> {
        let name = self.0.full_name.as_bytes();
        Box::pin(async move {
            let body = micro_runtime::call::Body::One(name.into());
            Ok(Reply::new(body))
        })
    }
}

fn both(registry: &Memory) -> Service {
    Service::new("test.names")
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .handle(Named(&ONE))
        .handle(Named(&TWO))
}

#[tokio::test]
async fn the_package_tells_them_apart_and_the_owner_has_the_bare_name() -> Result<()> {
    for (owner, other) in [("one.Say", "two.three.Say"), ("two.three.Say", "one.Say")] {
        let registry = Memory::new();
        let running = both(&registry).short_name_of(owner).start().await?;
        for protocol in ["grpc", "braid", "mucp"] {
            let caller = Service::new("caller")
                .registry(registry.clone())
                .client_protocols([protocol]);
            let ask = async |endpoint: String| -> Result<String> {
                let call = caller
                    .client()
                    .request("test.names", &endpoint, Frame::default());
                let reply = call.content_type("application/grpc+proto").await?;
                Ok(String::from_utf8(reply.0.to_vec()).unwrap())
            };
            for full in [owner, other] {
                assert_eq!(ask(format!("{full}.Hello")).await?, full, "{protocol}");
            }
            assert_eq!(ask("Say.Hello".into()).await?, owner, "{protocol}");
            if protocol == "grpc" {
                assert_eq!(ask(format!("/{other}/Hello")).await?, other);
                // Go Micro's callers write the name of the registered service before the short one.
                assert_eq!(ask("/test.names.Say/Hello".into()).await?, owner);
            }
        }
        let names: Vec<_> = running
            .entry()
            .endpoints
            .iter()
            .map(|one| &*one.name)
            .collect();
        assert_eq!(names.len(), 2);
        assert!(names.contains(&"Say.Hello"), "{names:?}");
        assert!(names.contains(&&*format!("{other}.Hello")), "{names:?}");
        running.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_start_fails_with_both_names_where_none_is_named_as_owner() {
    let error = both(&Memory::new()).start().await.unwrap_err();
    assert_eq!(error.code(), 409);
    for name in ["one.Say", "two.three.Say"] {
        assert!(error.detail().contains(name), "{error}");
    }
    let two = both(&Memory::new()).short_name_of("one.Say");
    let error = two.short_name_of("two.three.Say").start().await;
    assert_eq!(error.unwrap_err().code(), 409);
    let none = both(&Memory::new()).short_name_of("three.Say");
    assert_eq!(none.start().await.unwrap_err().code(), 409);
    let absent = Service::new("test.names")
        .registry(Memory::new())
        .handle(Named(&ONE))
        .short_name_of("three.Say");
    let error = absent.start().await.unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(error.detail().contains("three.Say"), "{error}");
    // One service twice is never told apart.
    let twice = both(&Memory::new()).handle(Named(&ONE));
    let error = twice.short_name_of("one.Say").start().await.unwrap_err();
    assert_eq!(error.code(), 409);
}
