//! TLS over any transport, with rustls and ring.
//!
//! Whether a client uses TLS, and whom it trusts, is its own setting and never a node's. The roots
//! of the operating system are trusted by nobody here: name a CA. The crypto provider is given
//! explicitly, so another one in the process changes nothing.
//!
//! What is read from files is read again when they change, so that certificates are renewed while a
//! service runs: new connections see the new ones, and open connections and their calls go on.

mod client;
mod identity;
mod live;
mod pinned;
mod server;
mod words;

pub use client::ClientTls;
pub(crate) use client::TlsDial;
pub use identity::Identity;
pub(crate) use server::Acceptor;
pub use server::ServerTls;

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Error, Result};
use crate::metadata::Text;

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

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate.clone())
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
