//! What a listener shows, and its handshakes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use super::identity::{Authorities, Identity};
use super::live::{LOOK, Live, Material};
use super::words::of_client;
use super::{alpn_text, bad, broken, provider};
use crate::error::{Error, Result, id};
use crate::transport::clash::{self, Clashes};
use crate::transport::{Connection, Rewind};

/// What a listener shows and whom it lets in. Clones are handles to the same.
///
/// What was read from files is read again when they change: when a connection comes, at most every
/// ten seconds or as [`look_every`](ServerTls::look_every) says, or on [`reload`](ServerTls::reload).
/// Connections that are open go on as they are. Where the new files are of no use, the last good ones
/// serve on, and the log says why.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Live<Parts>>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    identity: Identity,
    client_ca: Option<Authorities>,
}

impl ServerTls {
    /// Shows `identity` and lets anyone in.
    pub fn new(identity: Identity) -> Self {
        let parts = Parts {
            identity,
            client_ca: None,
        };
        Self(Arc::new(Live::new(parts, LOOK)))
    }

    /// Lets in only clients with a certificate of this CA (PEM): mutual TLS.
    ///
    /// # Errors
    /// 400 where the text holds no certificate.
    pub fn require_client_ca(self, pem: &[u8]) -> Result<Self> {
        Ok(self.require(Authorities::from_pem(pem)?))
    }

    /// As [`require_client_ca`](ServerTls::require_client_ca), from a file, which is read again when
    /// it changes.
    ///
    /// # Errors
    /// 400 where the file cannot be read or holds no certificate.
    pub fn require_client_ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        Ok(self.require(Authorities::from_file(path.as_ref())?))
    }

    fn require(self, authorities: Authorities) -> Self {
        let (mut parts, every) = self.0.parts();
        parts.client_ca = Some(authorities);
        Self(Arc::new(Live::new(parts, every)))
    }

    /// Looks at files at most so often. 10 s.
    #[must_use]
    pub fn look_every(self, every: Duration) -> Self {
        let (parts, _) = self.0.parts();
        Self(Arc::new(Live::new(parts, every)))
    }

    /// Reads the files now; gives whether anything in them was new.
    ///
    /// # Errors
    /// 400 where they are of no use: then the last good ones serve on.
    pub fn reload(&self) -> Result<bool> {
        self.0.reload()
    }

    /// The acceptor of a listener that speaks the protocols named by `alpn`.
    pub(crate) fn acceptor<'a>(&self, alpn: impl Iterator<Item = &'a str>) -> Result<Acceptor> {
        // What is wrong is told at the start.
        self.0.config()?;
        Ok(Acceptor {
            live: self.0.clone(),
            alpn: alpn.map(|name| name.as_bytes().to_vec()).collect(),
            clashes: Arc::default(),
        })
    }
}

impl Material for Parts {
    type Config = ServerConfig;

    fn is_in_files(&self) -> bool {
        let client_ca = self.client_ca.as_ref();
        self.identity.is_in_files() || client_ca.is_some_and(Authorities::is_in_file)
    }

    fn read_again(&self) -> Result<Self> {
        let client_ca = self.client_ca.as_ref();
        Ok(Self {
            identity: self.identity.read_again()?,
            client_ca: client_ca.map(Authorities::read_again).transpose()?,
        })
    }

    fn config(&self) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(broken)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let roots = Arc::new(authorities.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| bad(format!("the CA of clients is of no use: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder
            .with_single_cert(self.identity.chain.clone(), self.identity.key.clone_key())
            .map_err(|error| bad(format!("the certificate and the key do not fit: {error}")))
    }
}

/// How many bytes of a connection are read to see whether it begins with a handshake.
const FIRST: usize = 4 * 1024;

/// Does a listener's handshakes.
#[derive(Clone)]
pub(crate) struct Acceptor {
    live: Arc<Live<Parts>>,
    alpn: Vec<Vec<u8>>,
    clashes: Arc<Clashes>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// The connection inside the handshake. Bounded in time by the caller.
    pub(crate) async fn accept(&self, connection: Connection) -> Result<Connection> {
        let Connection {
            mut io,
            peer,
            local,
            ..
        } = connection;
        let mut head = BytesMut::with_capacity(FIRST);
        io.read_buf(&mut head).await?;
        match head.first() {
            None => return Err(failed("it ended before its handshake")),
            Some(&clash::HANDSHAKE) => {}
            Some(_) => {
                let words = "the caller does not speak TLS, and this port speaks nothing else";
                self.clashes.note(&peer, words);
                clash::answer_plaintext(io, &head).await;
                return Err(failed(words));
            }
        }
        let mut config = ServerConfig::clone(&*self.live.config()?);
        config.alpn_protocols.clone_from(&self.alpn);
        let io = Rewind::new(head.freeze(), io);
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(io);
        let stream = match accepting.into_fallible().await {
            Ok(stream) => stream,
            Err((error, io)) => {
                // Why is on its way, as an alert.
                clash::let_go(io).await;
                return Err(failed(&of_client(&error)).with_source(error));
            }
        };
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

fn failed(words: &str) -> Error {
    Error::bad_request(id::SERVER, format!("tls: {words}"))
}
