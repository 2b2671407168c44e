//! Whom a client trusts, and what a listener with TLS answers.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use micro_runtime::call::Frame;
use micro_runtime::registry::Memory;
use micro_runtime::service::Running;
use micro_runtime::transport::tls::{ClientTls, Identity, ServerTls};
use micro_runtime::{Result, Service};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate authority of the test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What it has signed.
struct Signed {
    certificate: String,
    der: Vec<u8>,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        Signed {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key: key.serialize_pem(),
        }
    }
}

impl Signed {
    fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

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
    for protocol in ["mucp", "braid", "grpc"] {
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
    all_refused(&health(trusts(&theirs), &registry).await, "tls");
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
        "tls",
    );
    running.stop().await.unwrap();
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
        "tls",
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
    for result in health(Some(client()), &registry).await {
        assert!(result.is_err(), "a client without a certificate");
    }
    let stranger = Authority::new().sign("me").identity();
    for result in health(Some(client().identity(stranger)), &registry).await {
        assert!(result.is_err(), "a client of another CA");
    }
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
    for result in health(None, &registry).await {
        assert!(result.is_err(), "plaintext to a TLS port");
    }
    running.stop().await.unwrap();

    let running = serve(None, &registry).await;
    all_refused(
        &health(Some(ClientTls::new().insecure()), &registry).await,
        "tls",
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
