//! Whom a client trusts, and its connections.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::{Authorities, Identity};
use super::live::{LOOK, Live, Material};
use super::pinned::Pinned;
use super::words::{blame, of_server};
use super::{alpn_text, bad, broken, provider};
use crate::error::why::Cause;
use crate::error::{Error, Result, id};
use crate::transport::{Connection, Io, Listener, Transport};

/// Whom a client trusts and what it shows of itself. Clones are handles to the same.
///
/// What was read from files is read again when they change: when a connection is made, at most every
/// ten seconds or as [`look_every`](ClientTls::look_every) says, or on [`reload`](ClientTls::reload).
/// Connections that are open go on as they are. Where the new files are of no use, the last good ones
/// serve on, and the log says why.
///
/// The roots of the operating system are not trusted by themselves: name their file as the CA where
/// you want them (`/etc/ssl/certs/ca-certificates.crt` on many a Linux).
#[derive(Clone)]
pub struct ClientTls(Arc<Live<Parts>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Parts {
    trust: Trust,
    identity: Option<Identity>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Trust {
    #[default]
    Nobody,
    Authorities(Authorities),
    Fingerprint([u8; 32]),
    Anyone,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::of(Parts::default(), LOOK)
    }
}

impl ClientTls {
    /// Trusts nobody yet: name a CA.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(parts: Parts, every: Duration) -> Self {
        Self(Arc::new(Live::new(parts, every)))
    }

    fn trust(self, trust: Trust) -> Self {
        let (parts, every) = self.0.parts();
        Self::of(Parts { trust, ..parts }, every)
    }

    /// Trusts servers with a certificate of this CA (PEM), for the name that is dialled.
    ///
    /// # Errors
    /// 400 where the text holds no certificate.
    pub fn ca(self, pem: &[u8]) -> Result<Self> {
        Ok(self.trust(Trust::Authorities(Authorities::from_pem(pem)?)))
    }

    /// As [`ca`](ClientTls::ca), from a file, which is read again when it changes.
    ///
    /// # Errors
    /// 400 where the file cannot be read or holds no certificate.
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let authorities = Authorities::from_file(path.as_ref())?;
        Ok(self.trust(Trust::Authorities(authorities)))
    }

    /// Trusts exactly the certificate whose DER form has this SHA-256, whatever its name and CA.
    #[must_use]
    pub fn fingerprint(self, sha256: [u8; 32]) -> Self {
        tracing::warn!("TLS trusts one pinned certificate and checks no name");
        self.trust(Trust::Fingerprint(sha256))
    }

    /// Trusts anyone: the connection is encrypted and its other end unknown.
    ///
    /// The only way to a Go Micro server with the certificate that it makes for itself.
    #[must_use]
    pub fn insecure(self) -> Self {
        tracing::warn!("TLS certificates are not verified");
        self.trust(Trust::Anyone)
    }

    /// Shows `identity` to servers that ask for one.
    #[must_use]
    pub fn identity(self, identity: Identity) -> Self {
        let (parts, every) = self.0.parts();
        let identity = Some(identity);
        Self::of(Parts { identity, ..parts }, every)
    }

    /// Looks at files at most so often. 10 s.
    #[must_use]
    pub fn look_every(self, every: Duration) -> Self {
        let (parts, _) = self.0.parts();
        Self::of(parts, every)
    }

    /// Reads the files now; gives whether anything in them was new.
    ///
    /// # Errors
    /// 400 where they are of no use: then the last good ones serve on.
    pub fn reload(&self) -> Result<bool> {
        self.0.reload()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0).finish()
    }
}

impl Material for Parts {
    type Config = ClientConfig;

    fn is_in_files(&self) -> bool {
        matches!(&self.trust, Trust::Authorities(authorities) if authorities.is_in_file())
            || self.identity.as_ref().is_some_and(Identity::is_in_files)
    }

    fn read_again(&self) -> Result<Self> {
        let identity = self.identity.as_ref();
        Ok(Self {
            trust: match &self.trust {
                Trust::Authorities(authorities) => Trust::Authorities(authorities.read_again()?),
                other => other.clone(),
            },
            identity: identity.map(Identity::read_again).transpose()?,
        })
    }

    fn config(&self) -> Result<ClientConfig> {
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::Nobody => {
                return Err(bad(
                    "TLS is on and trusts nobody: name a CA (--tls_ca)".to_owned()
                ));
            }
            Trust::Authorities(authorities) => {
                let roots = Arc::new(authorities.roots()?);
                WebPkiServerVerifier::builder_with_provider(roots, provider())
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
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| bad(format!("the certificate and the key do not fit: {error}"))),
        }
    }
}

/// A transport whose connections are protected by TLS.
///
/// It dials only: a listener's handshake is the server's, so that a slow one holds up nobody.
#[derive(Clone, Debug)]
pub(crate) struct TlsDial {
    inner: Arc<dyn Transport>,
    live: Arc<Live<Parts>>,
    alpn: Vec<Vec<u8>>,
}

impl TlsDial {
    /// Dials through `inner`, trusts by `tls`, and offers the protocols named by `alpn`.
    pub(crate) fn new(inner: Arc<dyn Transport>, tls: &ClientTls, alpn: &[&str]) -> Result<Self> {
        // What is wrong is told before a call needs it.
        tls.0.config()?;
        Ok(Self {
            inner,
            live: tls.0.clone(),
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
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
        let host = crate::transport::host(address);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            failed(format!("tls: {host:?} is no server name: {error}")).caused_by(Cause::Own)
        })?;
        let mut config = ClientConfig::clone(&*self.live.config()?);
        config.alpn_protocols.clone_from(&self.alpn);
        let Connection {
            io, peer, local, ..
        } = self.inner.dial(address).await?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, io)
            .await
            .map_err(|error| {
                let why = of_server(&error, &self.alpn);
                failed(format!("tls: {address}: {why}"))
                    .caused_by(blame(&error))
                    .with_source(error)
            })?;
        let negotiated = stream.get_ref().1.alpn_protocol().and_then(alpn_text);
        Ok(Connection {
            io: Box::new(Secured(stream)),
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

/// A stream that says in words why the server ended it: it may see after its side of the handshake
/// that it does not like the client.
struct Secured(TlsStream<Box<dyn Io>>);

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0)
            .poll_read(task, buf)
            .map_err(|error| match error.get_ref() {
                Some(cause) if cause.is::<rustls::Error>() => {
                    let words = of_server(&error, &[]);
                    let kind = match blame(&error) {
                        Cause::Own => io::ErrorKind::PermissionDenied,
                        _ => error.kind(),
                    };
                    io::Error::new(kind, format!("tls: {words}"))
                }
                _ => error,
            })
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(task, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}
