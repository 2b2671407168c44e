//! TLS over any transport, with rustls and ring.
//!
//! Whether a client uses TLS, and whom it trusts, is its own setting and never a node's. The crypto
//! provider is given explicitly, so another one in the process changes nothing here.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Connection, Listener, Transport};
use crate::error::{Error, Result, id};
use crate::metadata::Text;

/// A certificate chain with its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From PEM text: the chain, leaf first, and the key (PKCS #8, PKCS #1 or SEC 1).
    ///
    /// # Errors
    /// 400 where the text holds no certificate or no key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| bad(format!("no private key in the PEM text: {error}")))?;
        Ok(Self {
            chain: certificates(chain)?,
            key,
        })
    }

    /// From PEM files.
    ///
    /// # Errors
    /// 400 where a file cannot be read or does not hold what it should.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        Self::from_pem(&read(chain.as_ref())?, &read(key.as_ref())?)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// What a listener shows and whom it lets in.
#[derive(Clone, Debug)]
pub struct ServerTls {
    identity: Identity,
    client_ca: Option<Arc<RootCertStore>>,
}

impl ServerTls {
    /// Shows `identity` and lets anyone in.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            client_ca: None,
        }
    }

    /// Lets in only clients with a certificate of this CA (PEM): mutual TLS.
    ///
    /// # Errors
    /// 400 where the text holds no certificate.
    pub fn require_client_ca(mut self, pem: &[u8]) -> Result<Self> {
        self.client_ca = Some(Arc::new(roots(pem)?));
        Ok(self)
    }

    /// The acceptor of a listener that speaks the protocols named by `alpn`.
    pub(crate) fn acceptor<'a>(&self, alpn: impl Iterator<Item = &'a str>) -> Result<Acceptor> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(broken)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
                        .build()
                        .map_err(|error| bad(format!("the CA of clients is of no use: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(self.identity.chain.clone(), self.identity.key.clone_key())
            .map_err(|error| bad(format!("the certificate and the key do not fit: {error}")))?;
        config.alpn_protocols = alpn.map(|name| name.as_bytes().to_vec()).collect();
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Does a listener's handshakes.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// The connection inside the handshake. Bounded in time by the caller.
    pub(crate) async fn accept(&self, connection: Connection) -> Result<Connection> {
        let Connection {
            io, peer, local, ..
        } = connection;
        let stream = self.0.accept(io).await?;
        let negotiated = stream.get_ref().1.alpn_protocol().and_then(alpn_text);
        Ok(Connection {
            io: Box::new(stream),
            peer,
            local,
            secure: true,
            negotiated,
        })
    }
}

/// Whom a client trusts and what it shows of itself.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    trust: Trust,
    identity: Option<Identity>,
}

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    Nobody,
    Roots(Arc<RootCertStore>),
    Fingerprint([u8; 32]),
    Anyone,
}

impl ClientTls {
    /// Trusts nobody yet: name a CA.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts servers with a certificate of this CA (PEM), for the name that is dialled.
    ///
    /// # Errors
    /// 400 where the text holds no certificate.
    pub fn ca(mut self, pem: &[u8]) -> Result<Self> {
        self.trust = Trust::Roots(Arc::new(roots(pem)?));
        Ok(self)
    }

    /// As [`ca`](ClientTls::ca), from a file.
    ///
    /// # Errors
    /// 400 where the file cannot be read or holds no certificate.
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        self.ca(&read(path.as_ref())?)
    }

    /// Trusts exactly the certificate whose DER form has this SHA-256, whatever its name and CA.
    #[must_use]
    pub fn fingerprint(mut self, sha256: [u8; 32]) -> Self {
        tracing::warn!("TLS trusts one pinned certificate and checks no name");
        self.trust = Trust::Fingerprint(sha256);
        self
    }

    /// Trusts anyone: the connection is encrypted and its other end unknown.
    ///
    /// The only way to a Go Micro server with the certificate that it makes for itself.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        tracing::warn!("TLS certificates are not verified");
        self.trust = Trust::Anyone;
        self
    }

    /// Shows `identity` to servers that ask for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    fn config(&self, alpn: &str) -> Result<Arc<ClientConfig>> {
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::Nobody => {
                return Err(bad(
                    "TLS is on and trusts nobody: name a CA (--tls_ca)".to_owned()
                ));
            }
            Trust::Roots(roots) => {
                WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
                    .build()
                    .map_err(|error| bad(format!("the CA is of no use: {error}")))?
            }
            Trust::Fingerprint(sha256) => Arc::new(Pinned {
                sha256: Some(*sha256),
            }),
            Trust::Anyone => Arc::new(Pinned { sha256: None }),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| bad(format!("the certificate and the key do not fit: {error}")))?,
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }
}

/// A transport whose connections are protected by TLS.
///
/// It dials only: a listener's handshake is the server's, so that a slow one holds up nobody.
#[derive(Clone, Debug)]
pub(crate) struct TlsDial {
    inner: Arc<dyn Transport>,
    config: Arc<ClientConfig>,
}

impl TlsDial {
    /// Dials through `inner`, trusts by `tls`, and offers the protocol named `alpn`.
    pub(crate) fn new(inner: Arc<dyn Transport>, tls: &ClientTls, alpn: &str) -> Result<Self> {
        Ok(Self {
            inner,
            config: tls.config(alpn)?,
        })
    }
}

#[async_trait]
impl Transport for TlsDial {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        let failed = |error: String| {
            Error::internal(id::CLIENT, format!("connection error: {error}")).unprocessed()
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(format!("tls: {host:?} is no server name: {error}")))?;
        let Connection {
            io, peer, local, ..
        } = self.inner.dial(address).await?;
        let stream = TlsConnector::from(self.config.clone())
            .connect(name, io)
            .await
            .map_err(|error| failed(format!("tls: {address}: {error}")).with_source(error))?;
        let negotiated = stream.get_ref().1.alpn_protocol().and_then(alpn_text);
        Ok(Connection {
            io: Box::new(stream),
            peer,
            local,
            secure: true,
            negotiated,
        })
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.inner.listen(address).await
    }
}

/// Verifies by fingerprint, or not at all; signatures are always verified.
#[derive(Debug)]
struct Pinned {
    sha256: Option<[u8; 32]>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match &self.sha256 {
            Some(pinned) if sha256(end_entity) != pinned => Err(rustls::Error::General(
                "the certificate is not the pinned one".to_owned(),
            )),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// SHA-256 by the provider that TLS uses anyway; empty, so never equal, should the suite be missing.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(bytes).as_ref().to_vec())
        .unwrap_or_default()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| bad(format!("the PEM text is broken: {error}")))?;
    if found.is_empty() {
        Err(bad("no certificate in the PEM text".to_owned()))
    } else {
        Ok(found)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| bad(format!("a CA certificate is of no use: {error}")))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| bad(format!("cannot read {}: {error}", path.display())))
}

fn alpn_text(name: &[u8]) -> Option<Text> {
    std::str::from_utf8(name)
        .ok()
        .map(|name| name.to_owned().into())
}

fn bad(detail: String) -> Error {
    Error::bad_request("micro.tls", detail)
}

fn broken(error: rustls::Error) -> Error {
    Error::internal("micro.tls", error.to_string())
}
