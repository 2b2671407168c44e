//! Health checks: what they are told, and when it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::server::{Health, ServingStatus};
use micro_runtime::service::Running;
use micro_runtime::{Error, Result, Service};

use crate::beside::grpc::health::v1::health_check_response::ServingStatus as Wire;
use crate::beside::grpc::health::v1::{
    HealthCheckRequest, HealthClient, HealthListRequest, HealthServer,
};
use crate::say::{Say, SayClient, word};

pub fn service(registry: &Memory) -> Service {
    Service::new("test.health")
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .client_protocols(["grpc"])
        .handle(Say::default())
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn client(running: &Running) -> HealthClient {
    HealthClient::new("test.health", running.client())
}

#[tokio::test]
async fn a_service_serves_by_every_name_that_callers_ask_for() -> Result<()> {
    let running = service(&Memory::new()).start().await?;
    let client = client(&running);
    for name in ["", "test.health", "test.Say"] {
        let status = client.check(ask(name)).await?.status();
        assert_eq!(status, Wire::Serving, "{name}");
    }
    let error = client.check(ask("Say")).await.unwrap_err();
    assert_eq!((error.code(), error.grpc_code()), (404, Some(5)));
    let all = client.list(HealthListRequest {}).await?.statuses;
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "test.Say", "test.health"]);
    running.stop().await
}

#[tokio::test]
async fn who_watches_is_told_of_each_change() -> Result<()> {
    let running = service(&Memory::new()).start().await?;
    let health = running.health().clone();
    let mut watched = client(&running).watch(ask("cache")).await?;
    let mut next = async || watched.message().await.map(|told| told.unwrap().status());
    assert_eq!(next().await?, Wire::ServiceUnknown);
    for (status, told) in [
        (ServingStatus::NotServing, Wire::NotServing),
        (ServingStatus::Serving, Wire::Serving),
        (ServingStatus::Unknown, Wire::Unknown),
    ] {
        health.set("cache", status);
        // The same once more is no news.
        health.set("cache", status);
        health.set("other", ServingStatus::Serving);
        assert_eq!(next().await?, told);
    }
    health.clear("cache");
    assert_eq!(next().await?, Wire::ServiceUnknown);
    running.stop().await
}

#[tokio::test]
async fn a_stop_is_told_and_does_not_wait_for_who_watches() -> Result<()> {
    let registry = Memory::new();
    let before = service(&registry);
    let early = before.health().clone();
    assert_eq!(early.status(""), None);
    let running = before
        .linger(Duration::from_millis(50))
        .drain(Duration::from_secs(60))
        .start()
        .await?;
    assert_eq!(early.status(""), Some(ServingStatus::Serving));
    let caller = Service::new("caller")
        .registry(registry)
        .client_protocols(["grpc"]);
    let client = HealthClient::new("test.health", caller.client());
    let mut watched = client.watch(ask("test.Say")).await?;
    assert_eq!(
        watched.message().await?.map(|told| told.status()),
        Some(Wire::Serving)
    );
    let stopped = tokio::spawn(running.stop());
    assert_eq!(
        watched.message().await?.map(|told| told.status()),
        Some(Wire::NotServing)
    );
    let error = watched.message().await.unwrap_err();
    assert_eq!(error.grpc_code(), Some(14), "{error}");
    let stopped = tokio::time::timeout(Duration::from_secs(10), stopped).await;
    stopped.expect("the stop waits for the watcher").unwrap()
}

#[tokio::test]
async fn a_check_that_fails_is_told_until_it_succeeds_again() -> Result<()> {
    let well = Arc::new(AtomicBool::new(true));
    let checked = well.clone();
    let running = service(&Memory::new())
        .register_interval(Duration::from_millis(20))
        .register_ttl(Duration::from_secs(60))
        .register_check(move || {
            let well = checked.load(Ordering::SeqCst);
            async move {
                match well {
                    true => Ok(()),
                    false => Err(Error::plain("no database")),
                }
            }
        })
        .start()
        .await?;
    // The node leaves the registry: the watch is opened before.
    let mut watched = client(&running).watch(ask("")).await?;
    let mut next = async || watched.message().await.map(|told| told.unwrap().status());
    assert_eq!(next().await?, Wire::Serving);
    well.store(false, Ordering::SeqCst);
    assert_eq!(next().await?, Wire::NotServing);
    well.store(true, Ordering::SeqCst);
    assert_eq!(next().await?, Wire::Serving);
    running.stop().await
}

/// A service of the user's that is called as gRPC's own: `mine.Health`, whose method is not one of it.
mod mine {
    use micro_runtime::call::{BoxFuture, Dispatch};
    use micro_runtime::codegen::{Idempotency, Kind, Method, ServiceDescriptor};
    use micro_runtime::{Reply, Request, Result};

    static METHODS: [Method; 1] = [Method::new(
        "mine",
        "Health.Check",
        "/mine.Health/Check",
        Kind::Unary,
        Idempotency::Unknown,
        0,
    )];
    static DESCRIPTOR: ServiceDescriptor =
        ServiceDescriptor::new("Health", "mine.Health", &METHODS, &[], &[]);

    pub struct Mine;

    impl Dispatch for Mine {
        fn descriptor(&self) -> &'static ServiceDescriptor {
            &DESCRIPTOR
        }
        fn call(&self, _index: u16, request: Request) -> BoxFuture<Result<Reply>> {
            Box::pin(async move { Ok(Reply::new(request.body)) })
        }
    }
}

#[tokio::test]
async fn a_users_service_of_that_name_is_what_callers_find_by_it() -> Result<()> {
    let running = service(&Memory::new()).handle(mine::Mine).start().await?;
    let status = client(&running).check(ask("")).await?.status();
    assert_eq!(status, Wire::Serving);
    // Go Micro's callers write the registered name in place of the package, or nothing.
    for path in [
        "/mine.Health/Check",
        "/test.health.Health/Check",
        "/Health/Check",
    ] {
        let echo = running.client().request("test.health", path, word(path));
        let reply = echo.content_type("application/grpc+proto").await?;
        assert_eq!(reply.0.get(2..), Some(path.as_bytes()), "{path}");
    }
    running.stop().await?;

    // Without one of the user's the short name is not known, as Go Micro's servers have it.
    let running = service(&Memory::new()).start().await?;
    let short = running
        .client()
        .request("test.health", "/Health/Check", word(""));
    let error = short.await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (501, "unknown service Health")
    );
    running.stop().await
}

#[tokio::test]
async fn a_users_own_health_service_takes_the_place_of_ours() -> Result<()> {
    let own = Health::default();
    let running = service(&Memory::new())
        .handle(HealthServer::new(Own(own)))
        .start()
        .await?;
    let status = client(&running).check(ask("")).await?.status();
    assert_eq!(status, Wire::Unknown);
    running.stop().await?;

    let running = service(&Memory::new()).without_health().start().await?;
    let error = client(&running).check(ask("")).await.unwrap_err();
    assert_eq!(error.code(), 501);
    let say = SayClient(running.client().target("test.health"));
    assert_eq!(say.hello(word("x")).await?.text, "x");
    running.stop().await
}

struct Own(#[allow(dead_code)] Health);

impl crate::beside::grpc::health::v1::Health for Own {
    async fn check(
        &self,
        _cx: &micro_runtime::Context,
        _request: HealthCheckRequest,
    ) -> Result<crate::beside::grpc::health::v1::HealthCheckResponse> {
        Ok(Default::default())
    }

    async fn list(
        &self,
        _cx: &micro_runtime::Context,
        _request: HealthListRequest,
    ) -> Result<crate::beside::grpc::health::v1::HealthListResponse> {
        Ok(Default::default())
    }

    async fn watch(
        &self,
        _cx: &micro_runtime::Context,
        _request: HealthCheckRequest,
        _out: micro_runtime::Sender<crate::beside::grpc::health::v1::HealthCheckResponse>,
    ) -> Result<()> {
        Ok(())
    }
}
