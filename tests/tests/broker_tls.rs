//! Events over TLS: whom a publisher trusts, and that nothing goes around it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::sync::Arc;

use micro_runtime::Result;
use micro_runtime::broker::{Broker, Http, HttpOptions, Message, SubscribeOptions};
use micro_runtime::registry::{Memory, Registry};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::tls::{ClientTls, Identity, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// The PEM text of a new authority, and what a listener of 127.0.0.1 shows of it.
fn authority() -> (String, ServerTls) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let pem = certificate.pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (issuer.pem(), ServerTls::new(identity))
}

fn broker(registry: &Memory, set: impl FnOnce(&mut HttpOptions)) -> Http {
    let mut options = HttpOptions::default();
    set(&mut options);
    Http::with(Arc::new(registry.clone()), &Tasks::new(), options).unwrap()
}

async fn publish(registry: &Memory, tls: Option<ClientTls>) -> Result<()> {
    let publisher = broker(registry, |options| options.client_tls = tls);
    publisher.publish("t", Message::new("m")).await
}

#[tokio::test]
async fn events_go_over_tls_to_those_who_are_trusted_and_to_nobody_else() {
    let registry = Memory::new();
    let (ours, shown) = authority();
    let (theirs, _) = authority();
    let listening = broker(&registry, |options| options.server_tls = Some(shown));
    let mut subscription = listening
        .subscribe("t", SubscribeOptions::default())
        .await
        .unwrap();
    let services = registry.get("micro.http.broker").await.unwrap();
    assert_eq!(services[0].nodes[0].metadata["secure"], "true");
    let trusts = |ca: &str| Some(ClientTls::new().ca(ca.as_bytes()).unwrap());
    publish(&registry, trusts(&ours)).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().message.body, "m");
    for (tls, words) in [
        (trusts(&theirs), "of no CA that is trusted here"),
        (None, "this broker has no TLS settings"),
    ] {
        let error = publish(&registry, tls).await.unwrap_err();
        assert!(error.detail().contains(words), "{error}");
        assert!(error.is_unprocessed(), "{error}");
    }
    listening.disconnect().await.unwrap();
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn a_publisher_that_is_set_to_tls_never_does_without() {
    let registry = Memory::new();
    let (ours, _) = authority();
    let listening = broker(&registry, |_| {});
    let subscription = listening
        .subscribe("t", SubscribeOptions::queue("q"))
        .await
        .unwrap();
    let tls = ClientTls::new().ca(ours.as_bytes()).unwrap();
    let error = publish(&registry, Some(tls)).await.unwrap_err();
    assert!(
        error.detail().contains("publishes over TLS only"),
        "{error}"
    );
    publish(&registry, None).await.unwrap();
    drop(subscription);
}

#[tokio::test]
async fn tls_that_trusts_nobody_is_refused_at_once() {
    let mut options = HttpOptions::default();
    options.client_tls = Some(ClientTls::new());
    let made = Http::with(Arc::new(Memory::new()), &Tasks::new(), options);
    assert_eq!(made.unwrap_err().code(), 400);
}
