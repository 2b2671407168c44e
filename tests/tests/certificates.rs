//! Certificates that are renewed while a service runs: no call is lost, and new connections see the
//! new ones.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::registry::Memory;
use micro_runtime::service::Running;
use micro_runtime::transport::tls::{ClientTls, ServerTls};
use micro_runtime::{Client, Result, Service};
use micro_tests::authority::{Authority, Files, put};
use tempfile::TempDir;
use tokio::time::timeout;

const PROTOCOLS: [&str; 3] = ["mucp", "braid", "grpc"];

async fn serve(tls: &ServerTls, registry: &Memory) -> Running {
    Service::new("safe")
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .server_tls(tls.clone())
        .start()
        .await
        .unwrap()
}

/// A client of one protocol, whose mucp connections serve one call each where `fresh`.
fn client(protocol: &str, tls: &ClientTls, registry: &Memory, fresh: bool) -> Client {
    let service = Service::new("caller")
        .registry(registry.clone())
        .client_protocols([protocol])
        .retries(0)
        .client_tls(tls.clone());
    let service = match fresh {
        true => service.pool_ttl(Duration::ZERO),
        false => service,
    };
    service.client().clone()
}

async fn call(client: &Client) -> Result<Frame> {
    client
        .request("safe", "Debug.Health", Frame::default())
        .await
}

fn trusts(ca: &Path) -> ClientTls {
    ClientTls::new()
        .ca_file(ca)
        .unwrap()
        .look_every(Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_load_without_a_lost_call() {
    let folder = TempDir::new().unwrap();
    let registry = Memory::new();
    let files = Files::new(folder.path(), "server");
    let ca = folder.path().join("ca.pem");
    let first = Authority::new();
    first.sign("127.0.0.1").write(&files).unwrap();
    put(&ca, &first.pem()).unwrap();
    let tls = ServerTls::new(files.identity().unwrap()).look_every(Duration::ZERO);
    let running = serve(&tls, &registry).await;
    let trust = trusts(&ca);

    let (stop, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut callers = Vec::new();
    for protocol in PROTOCOLS {
        for fresh in [true, false] {
            let (registry, trust) = (registry.clone(), trust.clone());
            let (stop, calls) = (stop.clone(), calls.clone());
            callers.push(tokio::spawn(async move {
                let mut kept = client(protocol, &trust, &registry, false);
                while !stop.load(Ordering::Relaxed) {
                    // Each call on a connection of its own, or all on one.
                    if fresh {
                        kept = client(protocol, &trust, &registry, true);
                    }
                    call(&kept).await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, micro_runtime::Error>(())
            }));
        }
    }
    let mut old = first.pem();
    for _ in 0..5 {
        let next = Authority::new();
        // As it is done without a lost call: who trusts both comes first.
        put(&ca, &format!("{old}{}", next.pem())).unwrap();
        settle(&calls).await;
        next.sign("127.0.0.1").write(&files).unwrap();
        settle(&calls).await;
        old = next.pem();
        put(&ca, &old).unwrap();
        settle(&calls).await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    // The first CA is not trusted any more, and not shown.
    let old = ClientTls::new().ca(first.pem().as_bytes()).unwrap();
    let error = call(&client("braid", &old, &registry, false)).await;
    assert!(error.unwrap_err().detail().contains("name its CA"));
    println!("{} calls, none lost", calls.load(Ordering::Relaxed));
    running.stop().await.unwrap();
}

/// Waits until some more calls have been made.
async fn settle(calls: &AtomicUsize) {
    let enough = calls.load(Ordering::Relaxed) + 60;
    let made = async {
        while calls.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), made)
        .await
        .expect("calls go on");
}

#[tokio::test]
async fn files_that_are_of_no_use_leave_the_last_good_ones_serving() {
    let folder = TempDir::new().unwrap();
    let registry = Memory::new();
    let files = Files::new(folder.path(), "server");
    let authority = Authority::new();
    authority.sign("127.0.0.1").write(&files).unwrap();
    let tls = ServerTls::new(files.identity().unwrap()).look_every(Duration::ZERO);
    let running = serve(&tls, &registry).await;
    let trust = ClientTls::new().ca(authority.pem().as_bytes()).unwrap();
    let healthy = async || {
        for protocol in PROTOCOLS {
            call(&client(protocol, &trust, &registry, true))
                .await
                .unwrap();
        }
    };
    healthy().await;
    assert!(!tls.reload().unwrap(), "nothing is new");

    put(&files.certificate, "half a certif").unwrap();
    healthy().await;
    let error = tls.reload().unwrap_err();
    assert!(error.detail().contains("server.pem"), "{error}");

    // A certificate whose key is not there yet.
    put(&files.certificate, &authority.sign("127.0.0.1").certificate).unwrap();
    healthy().await;
    let error = tls.reload().unwrap_err();
    assert!(error.detail().contains("do not fit"), "{error}");

    std::fs::remove_file(&files.key).unwrap();
    healthy().await;
    let error = tls.reload().unwrap_err();
    assert!(error.detail().contains("cannot read"), "{error}");

    authority.sign("127.0.0.1").write(&files).unwrap();
    assert!(tls.reload().unwrap(), "a whole new pair");
    healthy().await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_certificates_of_clients_and_their_ca_are_renewed_too() {
    let folder = TempDir::new().unwrap();
    let registry = Memory::new();
    let authority = Authority::new();
    let (clients, others) = (Authority::new(), Authority::new());
    let ca = folder.path().join("clients.pem");
    put(&ca, &clients.pem()).unwrap();
    let tls = ServerTls::new(authority.sign("127.0.0.1").identity())
        .require_client_ca_file(&ca)
        .unwrap()
        .look_every(Duration::ZERO);
    let running = serve(&tls, &registry).await;
    let mine = Files::new(folder.path(), "me");
    clients.sign("me").write(&mine).unwrap();
    let trust = ClientTls::new()
        .ca(authority.pem().as_bytes())
        .unwrap()
        .identity(mine.identity().unwrap())
        .look_every(Duration::ZERO);
    for protocol in PROTOCOLS {
        call(&client(protocol, &trust, &registry, true))
            .await
            .unwrap();
    }
    // A kept connection goes on when the server takes its like no more; a new one is refused.
    let kept = client("braid", &trust, &registry, false);
    call(&kept).await.unwrap();
    put(&ca, &others.pem()).unwrap();
    for protocol in PROTOCOLS {
        let error = call(&client(protocol, &trust, &registry, true)).await;
        let error = error.unwrap_err();
        assert!(error.detail().contains("refuses this client"), "{error}");
    }
    call(&kept).await.unwrap();
    others.sign("me").write(&mine).unwrap();
    for protocol in PROTOCOLS {
        call(&client(protocol, &trust, &registry, true))
            .await
            .unwrap();
    }
    running.stop().await.unwrap();
}
