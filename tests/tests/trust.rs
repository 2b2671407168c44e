//! Whom a client trusts, and what a listener with TLS answers.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::future::IntoFuture;

use micro_runtime::call::Frame;
use micro_runtime::error::why::Cause;
use micro_runtime::registry::Memory;
use micro_runtime::service::Running;
use micro_runtime::transport::tls::{ClientTls, Identity, ServerTls};
use micro_runtime::{Result, Service};
use micro_tests::authority::{Authority, Files, put};

async fn serve(tls: Option<ServerTls>, registry: &Memory) -> Running {
    let service = Service::new("safe")
        .registry(registry.clone())
        .linger(std::time::Duration::ZERO);
    match tls {
        Some(tls) => service.server_tls(tls),
        None => service,
    }
    .start()
    .await
    .unwrap()
}

/// A call by a client with `tls`, over each protocol.
async fn health(tls: Option<ClientTls>, registry: &Memory) -> Vec<Result<Frame>> {
    let mut results = Vec::new();
    for protocol in ["mucp", "braid", "grpc", "connect", "grpc-web"] {
        let caller = Service::new("caller")
            .registry(registry.clone())
            .client_protocols([protocol])
            .retries(0);
        let caller = match tls.clone() {
            Some(tls) => caller.client_tls(tls),
            None => caller,
        };
        results.push(
            caller
                .client()
                .request("safe", "Debug.Health", Frame::default())
                .await,
        );
    }
    results
}

fn all_ok(results: &[Result<Frame>]) {
    for result in results {
        assert_eq!(&*result.as_ref().unwrap().0, b"\n\x02ok");
    }
}

fn all_refused(results: &[Result<Frame>], word: &str) {
    for result in results {
        let error = result.as_ref().unwrap_err();
        assert!(error.detail().contains(word), "{error}");
        // Where one end speaks TLS and the other does not, what comes is no answer; all else is what
        // this client was told, and not the node's fault.
        let cause = match word.contains("speak") {
            true => Cause::Garbled,
            false => Cause::Own,
        };
        let why = error.why().unwrap();
        for attempt in why.attempts() {
            let failure = attempt.result.as_ref().unwrap_err();
            assert_eq!(failure.cause, cause, "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_the_named_ca_is_accepted_and_no_other() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let registry = Memory::new();
    let running = serve(
        Some(ServerTls::new(ours.sign("127.0.0.1").identity())),
        &registry,
    )
    .await;
    let trusts =
        |authority: &Authority| Some(ClientTls::new().ca(authority.pem().as_bytes()).unwrap());
    all_ok(&health(trusts(&ours), &registry).await);
    let unknown = "is of no CA that is trusted here: name its CA (--tls_ca)";
    all_refused(&health(trusts(&theirs), &registry).await, unknown);
    all_refused(&health(Some(ClientTls::new()), &registry).await, "--tls_ca");
    all_ok(&health(Some(ClientTls::new().insecure()), &registry).await);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let registry = Memory::new();
    let running = serve(
        Some(ServerTls::new(
            authority.sign("elsewhere.example").identity(),
        )),
        &registry,
    )
    .await;
    all_refused(
        &health(
            Some(ClientTls::new().ca(authority.pem().as_bytes()).unwrap()),
            &registry,
        )
        .await,
        "is for elsewhere.example, and not for 127.0.0.1: dial it by a name that it has",
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let authority = Authority::new();
    let registry = Memory::new();
    let expired = authority.sign_expired("127.0.0.1").identity();
    let running = serve(Some(ServerTls::new(expired)), &registry).await;
    let client = ClientTls::new().ca(authority.pem().as_bytes()).unwrap();
    all_refused(
        &health(Some(client), &registry).await,
        "has expired: renew it",
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_protocol_that_the_server_does_not_speak_over_tls_is_told() {
    let authority = Authority::new();
    let tls = ServerTls::new(authority.sign("127.0.0.1").identity());
    let running = Service::new("safe")
        .registry(Memory::new())
        .server_protocols(["mucp"])
        .server_tls(tls)
        .start()
        .await
        .unwrap();
    for (protocol, alpn) in [("grpc", "h2"), ("braid", "braid/1")] {
        let caller = Service::new("caller")
            .registry(Memory::new())
            .client_protocols([protocol])
            .client_tls(ClientTls::new().ca(authority.pem().as_bytes()).unwrap());
        let call = caller
            .client()
            .request("safe", "Debug.Health", Frame::default())
            .address(running.address().to_owned());
        let error = IntoFuture::into_future(call)
            .await
            .map(|reply: Frame| reply)
            .unwrap_err();
        let words = format!("the server does not speak {alpn} over TLS (ALPN)");
        assert!(error.detail().contains(&words), "{error}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_node_says_of_tls_changes_nothing_for_its_callers() {
    let authority = Authority::new();
    let trusts = || Some(ClientTls::new().ca(authority.pem().as_bytes()).unwrap());
    for (speaks, claims) in [(true, "false"), (false, "true")] {
        let registry = Memory::new();
        let service = Service::new("safe")
            .registry(registry.clone())
            .metadata("tls", claims)
            .metadata("secure", claims)
            .linger(std::time::Duration::ZERO);
        let tls = ServerTls::new(authority.sign("127.0.0.1").identity());
        let service = match speaks {
            true => service.server_tls(tls),
            false => service,
        };
        let running = service.start().await.unwrap();
        let (with, without) = (
            health(trusts(), &registry).await,
            health(None, &registry).await,
        );
        match speaks {
            true => {
                all_ok(&with);
                all_refused(&without, "speaks TLS");
            }
            false => {
                all_ok(&without);
                all_refused(&with, "does not speak TLS");
            }
        }
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_and_no_other() {
    let signed = Authority::new().sign("whatever.example");
    let registry = Memory::new();
    let running = serve(Some(ServerTls::new(signed.identity())), &registry).await;
    let digest = ring_digest(&signed.der);
    all_ok(&health(Some(ClientTls::new().fingerprint(digest)), &registry).await);
    all_refused(
        &health(Some(ClientTls::new().fingerprint([7; 32])), &registry).await,
        "not the pinned one: its SHA-256 is ",
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn mutual_tls_lets_in_only_clients_of_the_named_ca() {
    let authority = Authority::new();
    let registry = Memory::new();
    let tls = ServerTls::new(authority.sign("127.0.0.1").identity());
    let running = serve(
        Some(tls.require_client_ca(authority.pem().as_bytes()).unwrap()),
        &registry,
    )
    .await;
    let client = || ClientTls::new().ca(authority.pem().as_bytes()).unwrap();
    all_ok(
        &health(
            Some(client().identity(authority.sign("me").identity())),
            &registry,
        )
        .await,
    );
    all_refused(
        &health(Some(client()), &registry).await,
        "the server asks for a client certificate: give one (--tls_client_cert, --tls_client_key)",
    );
    let stranger = Authority::new().sign("me").identity();
    all_refused(
        &health(Some(client().identity(stranger)), &registry).await,
        "the server refuses this client's certificate",
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn plaintext_and_tls_do_not_meet() {
    let authority = Authority::new();
    let registry = Memory::new();
    let running = serve(
        Some(ServerTls::new(authority.sign("127.0.0.1").identity())),
        &registry,
    )
    .await;
    all_refused(&health(None, &registry).await, "speaks TLS");
    running.stop().await.unwrap();

    let running = serve(None, &registry).await;
    all_refused(
        &health(Some(ClientTls::new().insecure()), &registry).await,
        "the server does not speak TLS: switch it on there",
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_told_at_the_start() {
    let authority = Authority::new();
    let (one, other) = (authority.sign("a"), authority.sign("b"));
    let mixed = Identity::from_pem(one.certificate.as_bytes(), other.key.as_bytes()).unwrap();
    let error = Service::new("x")
        .registry(Memory::new())
        .server_tls(ServerTls::new(mixed))
        .start()
        .await
        .unwrap_err();
    assert!(error.detail().contains("do not fit"), "{error}");
    assert!(
        Identity::from_pem(b"nothing", b"here")
            .unwrap_err()
            .detail()
            .contains("PEM")
    );
}

/// SHA-256, as `openssl x509 -fingerprint -sha256` gives it.
fn ring_digest(der: &[u8]) -> [u8; 32] {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let digest = suite.tls13().unwrap().common.hash_provider.hash(der);
    digest.as_ref().try_into().unwrap()
}

#[tokio::test]
async fn flags_give_a_service_mutual_tls_and_a_caller_what_it_shows() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (servers, clients) = (Authority::new(), Authority::new());
    let shown = servers.sign("127.0.0.1");
    shown.write(&Files::new(folder.path(), "server")).unwrap();
    let mine = clients.sign("me");
    mine.write(&Files::new(folder.path(), "me")).unwrap();
    put(&folder.path().join("servers.pem"), &servers.pem()).unwrap();
    put(&folder.path().join("clients.pem"), &clients.pem()).unwrap();
    let hex: Vec<_> = ring_digest(&shown.der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let flag = |name: &str, file: &str| format!("--{name}={}", path(file));

    let registry = Memory::new();
    let with = |name: &str, flags: &[String]| {
        let args: Vec<_> = std::iter::once(name.to_owned())
            .chain(flags.iter().cloned())
            .collect();
        Service::new(name)
            .registry(registry.clone())
            .retries(0)
            .linger(std::time::Duration::ZERO)
            .init_from(args, [("", ""); 0])
    };
    let running = with(
        "safe",
        &[
            flag("tls_cert", "server.pem"),
            flag("tls_key", "server.key"),
            flag("tls_client_ca", "clients.pem"),
        ],
    )
    .unwrap()
    .start()
    .await
    .unwrap();
    let me = [
        flag("tls_client_cert", "me.pem"),
        flag("tls_client_key", "me.key"),
    ];
    let call = async |flags: &[String]| -> Result<Frame> {
        let caller = with("caller", flags)?;
        caller
            .client()
            .request("safe", "Debug.Health", Frame::default())
            .await
    };
    let ca = flag("tls_ca", "servers.pem");
    let pin = format!("--tls_fingerprint={}", hex.join(":"));
    for trust in [ca.clone(), pin] {
        let all = [&[trust][..], &me].concat();
        assert_eq!(&*call(&all).await.unwrap().0, b"\n\x02ok");
    }
    let words = async |flags: &[String]| call(flags).await.unwrap_err().detail().to_owned();
    assert!(words(&[ca]).await.contains("--tls_client_cert"));
    assert!(words(&me).await.contains("name a CA (--tls_ca)"));
    assert!(words(&me[..1]).await.contains("belong together"));
    let wrong = "--tls_fingerprint=12".to_owned();
    assert!(words(&[wrong]).await.contains("64 hexadecimal digits"));
    let alone = [flag("tls_client_ca", "clients.pem")];
    assert!(
        words(&alone)
            .await
            .contains("give --tls_cert and --tls_key")
    );
    running.stop().await.unwrap();
}
