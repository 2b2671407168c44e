//! A service's life and its options.
#![allow(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong, and spawns what it likes"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::call::{BoxFuture, Dispatch, Frame};
use micro_runtime::codegen;
use micro_runtime::method::{Idempotency, Kind, Method, ServiceDescriptor};
use micro_runtime::registry::{Memory, Registry};
use micro_runtime::transport::{Memory as MemoryTransport, Transport};
use micro_runtime::{Error, Reply, Request, Result, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

static METHODS: [Method; 1] = [Method::new(
    "test",
    "Slow.Wait",
    "/test.Slow/Wait",
    Kind::Unary,
    Idempotency::Unknown,
    0,
)];
static DESCRIPTOR: ServiceDescriptor =
    ServiceDescriptor::new("Slow", "test.Slow", &METHODS, &[], &[]);

/// Answers when it is told to.
#[derive(Clone, Default)]
struct Slow {
    entered: Arc<Notify>,
    go: Arc<Notify>,
}

impl Dispatch for Slow {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &DESCRIPTOR
    }
    fn call(&self, _index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        let this = self.clone();
        codegen::unary(request, move |_cx, frame: Frame| async move {
            this.entered.notify_one();
            this.go.notified().await;
            Ok(frame)
        })
    }
}

fn service(name: &str) -> Service {
    Service::new(name)
        .registry(Memory::new())
        .transport(MemoryTransport::new())
        .linger(Duration::ZERO)
}

const NO_ENV: [(&str, &str); 0] = [];

/// A service may be run by a task.
#[test]
fn what_a_service_does_can_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    let at_once = || std::future::ready(());
    spawnable(service("a").run());
    spawnable(service("a").run_until(at_once()));
    spawnable(async { service("a").start().await?.stop().await });
}

#[tokio::test]
async fn a_service_answers_for_its_health() {
    let running = service("healthy").start().await.unwrap();
    let reply = running
        .client()
        .request("healthy", "Debug.Health", Frame::default())
        .await
        .unwrap();
    // HealthResponse { status: "ok" } in protobuf's encoding.
    assert_eq!(&*reply.0, b"\n\x02ok");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn hooks_run_in_order_around_start_and_stop() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let seen = seen.clone();
        move || async move {
            seen.lock().unwrap().push(what);
            Ok(())
        }
    };
    let running = service("hooked")
        .after_stop(note("after stop"))
        .before_start(note("before start 1"))
        .before_start(note("before start 2"))
        .before_stop(note("before stop"))
        .after_start(note("after start"))
        .start()
        .await
        .unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        ["before start 1", "before start 2", "after start"]
    );
    running.stop().await.unwrap();
    assert_eq!(seen.lock().unwrap()[3..], ["before stop", "after stop"]);
}

#[tokio::test]
async fn a_failing_start_hook_stops_the_start_and_a_failing_stop_hook_nothing() {
    let registry = Memory::new();
    let fail = || async { Err(Error::internal("hook", "no")) };
    let error = service("a")
        .registry(registry.clone())
        .before_start(fail)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.id(), "hook");
    assert!(registry.list().await.unwrap().is_empty());

    let error = service("b")
        .registry(registry.clone())
        .after_start(fail)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.id(), "hook");
    assert!(
        registry.list().await.unwrap().is_empty(),
        "it is deregistered again"
    );

    let stopped = Arc::new(Notify::new());
    let last = stopped.clone();
    let running = service("c")
        .registry(registry.clone())
        .before_stop(fail)
        .after_stop(move || async move {
            last.notify_one();
            Ok(())
        })
        .start()
        .await
        .unwrap();
    assert_eq!(running.stop().await.unwrap_err().id(), "hook");
    stopped.notified().await;
    assert!(registry.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn later_options_win_and_flags_and_variables_win_over_code() {
    let running = service("first")
        .version("1")
        .version("2")
        .init_from(
            ["program", "--server_name", "flagged"],
            [("MICRO_SERVER_NAME", "env"), ("MICRO_SERVER_ID", "7")],
        )
        .unwrap()
        .id("code")
        .start()
        .await
        .unwrap();
    assert_eq!(
        (&*running.entry().name, &*running.entry().version),
        ("flagged", "2")
    );
    assert_eq!(
        running.entry().nodes[0].id,
        "flagged-7",
        "the variable wins over code, also over later code"
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn unknown_names_are_told_with_the_known_ones() {
    for (flag, known) in [
        ("--registry", "memory"),
        ("--transport", "http"),
        ("--client", "braid"),
        ("--server", "mucp"),
    ] {
        let error = Service::new("x")
            .init_from(["program", flag, "carrier-pigeon"], NO_ENV)
            .unwrap_err();
        assert_eq!(error.code(), 400);
        assert!(
            error.detail().contains(known) && error.detail().contains("carrier-pigeon"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nodes_tell_what_go_micro_reads_and_all_protocols() {
    let running = service("told")
        .metadata("zone", "a")
        .metadata("protocol", "lies")
        .start()
        .await
        .unwrap();
    let metadata = &running.entry().nodes[0].metadata;
    for (key, value) in [
        ("protocol", "mucp"),
        ("server", "mucp"),
        ("transport", "memory"),
        ("registry", "memory"),
        (
            "protocols",
            match cfg!(feature = "grpc") {
                true => "braid,grpc,mucp",
                false => "braid,mucp",
            },
        ),
        ("zone", "a"),
    ] {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    running.stop().await.unwrap();
}

/// What a service answers to a Debug.Health with this `Host` and these further fields.
async fn answer(service: Service, host: &str, fields: &str) -> String {
    let running = service.linger(Duration::ZERO).start().await.unwrap();
    let mut connection = tcp().dial(running.address()).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Type: application/json\r\nMicro-Endpoint: Debug.Health\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    connection.io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.io.read_to_string(&mut answer).await.unwrap();
    running.stop().await.unwrap();
    answer
}

fn tcp() -> impl Transport {
    micro_runtime::transport::Tcp
}

#[tokio::test]
async fn no_web_page_reaches_a_service_on_loopback() {
    let local = || Service::new("local").registry(Memory::new());
    assert!(answer(local(), "localhost:80", "").await.contains("\"ok\""));
    let rebound = answer(local(), "evil.example", "").await;
    assert!(
        rebound.contains("403") && !rebound.contains("\"ok\""),
        "{rebound}"
    );
    let foreign = answer(local(), "localhost:80", "Origin: https://evil.example\r\n").await;
    assert!(
        foreign.contains("403") && !foreign.contains("\"ok\""),
        "{foreign}"
    );
    // Told to others under another name, it is for more than this machine.
    let known = answer(
        local().advertise("service.example:80"),
        "service.example",
        "",
    )
    .await;
    assert!(known.contains("\"ok\""), "{known}");
}

#[tokio::test]
async fn a_stop_waits_for_calls_that_run_and_refuses_new_ones() {
    for protocol in ["braid", "mucp"] {
        let slow = Slow::default();
        let running = service("slow")
            .client_protocols([protocol])
            .handle(slow.clone())
            .start()
            .await
            .unwrap();
        let client = running.client().clone();
        let call = || client.request("slow", "Slow.Wait", Frame("x".into()));
        let before = call().await_in_task();
        slow.entered.notified().await;
        let core = running.core().clone();
        let stopping = tokio::spawn(running.stop());
        let mut draining = core.draining();
        draining.begun().await;
        assert!(
            call().retries(0).await.is_err(),
            "{protocol}: a new call is refused"
        );
        slow.go.notify_one();
        assert_eq!(
            before.await.unwrap().unwrap().0,
            "x",
            "{protocol}: the one that ran is answered"
        );
        stopping.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_cut_off_at_the_drain_limit() {
    let slow = Slow::default();
    let running = service("slow")
        .drain(Duration::from_secs(3))
        .handle(slow.clone())
        .start()
        .await
        .unwrap();
    let call = running
        .client()
        .request("slow", "Slow.Wait", Frame("x".into()))
        .await_in_task();
    slow.entered.notified().await;
    let started = tokio::time::Instant::now();
    running.stop().await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert!(call.await.unwrap().is_err());
}

/// Sends a call from a task of its own.
trait AwaitInTask {
    fn await_in_task(self) -> tokio::task::JoinHandle<Result<Frame>>;
}

impl AwaitInTask for micro_runtime::client::Call<micro_runtime::client::Unary<Frame, Frame>> {
    fn await_in_task(self) -> tokio::task::JoinHandle<Result<Frame>> {
        tokio::spawn(self.into_future())
    }
}
