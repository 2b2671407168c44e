//! Certificate authorities of tests, and what they sign.

use std::path::{Path, PathBuf};
use std::{fs, io};

use micro_runtime::Result;
use micro_runtime::transport::tls::Identity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority of its own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub struct Signed {
    /// The certificate in PEM.
    pub certificate: String,
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Its key in PEM.
    pub key: String,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = params(Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("a fresh key signs"))
    }

    /// Its own certificate in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name`.
    pub fn sign(&self, name: &str) -> Signed {
        self.sign_with(name, |_| {})
    }

    /// A certificate for `name` that ran out long ago.
    pub fn sign_expired(&self, name: &str) -> Signed {
        self.sign_with(name, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 2, 2);
        })
    }

    fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let key = key();
        let mut params = params(vec![name.to_owned()]);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).expect("a CA signs");
        Signed {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key: key.serialize_pem(),
        }
    }
}

impl Signed {
    /// As text.
    pub fn identity(&self) -> Identity {
        let identity = Identity::from_pem(self.certificate.as_bytes(), self.key.as_bytes());
        identity.expect("it was made so")
    }

    /// Writes both to files of these names.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, files: &Files) -> io::Result<()> {
        put(&files.certificate, &self.certificate)?;
        put(&files.key, &self.key)
    }
}

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Files {
    /// Of the certificate.
    pub certificate: PathBuf,
    /// Of its key.
    pub key: PathBuf,
}

impl Files {
    /// Those of `name` in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        }
    }

    /// What is in them, and follows them.
    ///
    /// # Errors
    /// Where it is of no use.
    pub fn identity(&self) -> Result<Identity> {
        Identity::from_files(&self.certificate, &self.key)
    }
}

/// Puts a file in place at once, as what renews certificates does.
///
/// # Errors
/// Where it cannot be written.
pub fn put(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)
}

fn params(names: Vec<String>) -> CertificateParams {
    CertificateParams::new(names).expect("the names are good")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("keys can be made")
}
