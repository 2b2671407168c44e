//! What one end shows, and whom it believes: certificates, and where they were read.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{bad, certificates, read, roots};
use crate::error::Result;

/// A certificate chain with its private key.
///
/// One that is read from files is read again when they change; one from text is what it is.
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    files: Option<(PathBuf, PathBuf)>,
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
            files: None,
        })
    }

    /// From PEM files, which are read again when they change.
    ///
    /// # Errors
    /// 400 where a file cannot be read or does not hold what it should.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Ok(Self {
            files: Some((chain.to_owned(), key.to_owned())),
            ..Self::from_pem(&read(chain)?, &read(key)?)
                .map_err(|error| within(&[chain, key], &error))?
        })
    }

    pub(super) fn is_in_files(&self) -> bool {
        self.files.is_some()
    }

    /// What the files hold now.
    pub(super) fn read_again(&self) -> Result<Self> {
        match &self.files {
            None => Ok(self.clone()),
            Some((chain, key)) => Self::from_files(chain, key),
        }
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            files: self.files.clone(),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Certificates of CAs.
#[derive(Clone, PartialEq)]
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    file: Option<PathBuf>,
}

impl Authorities {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self> {
        let certificates = certificates(pem)?;
        // What is of no use is told now.
        roots(&certificates)?;
        Ok(Self {
            certificates,
            file: None,
        })
    }

    pub(super) fn from_file(path: &Path) -> Result<Self> {
        Ok(Self {
            file: Some(path.to_owned()),
            ..Self::from_pem(&read(path)?).map_err(|error| within(&[path], &error))?
        })
    }

    pub(super) fn is_in_file(&self) -> bool {
        self.file.is_some()
    }

    /// What the file holds now.
    pub(super) fn read_again(&self) -> Result<Self> {
        match &self.file {
            None => Ok(self.clone()),
            Some(path) => Self::from_file(path),
        }
    }

    pub(super) fn roots(&self) -> Result<RootCertStore> {
        roots(&self.certificates)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("certificates", &self.certificates.len())
            .field("file", &self.file)
            .finish()
    }
}

/// The error with the names of the files that it may be about.
fn within(paths: &[&Path], error: &crate::error::Error) -> crate::error::Error {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    bad(format!("{}: {}", paths.join(" and "), error.detail()))
}
