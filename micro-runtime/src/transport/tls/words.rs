//! What went wrong in a handshake, in words that say what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::error::why::Cause;

/// Whose fault it is that a connection to a server failed.
pub(super) fn blame(error: &io::Error) -> Cause {
    match cause(error) {
        None => Cause::of_io(error),
        // Nothing of TLS, or a record that is broken.
        Some(Error::InvalidMessage(_) | Error::DecryptError) => Cause::Garbled,
        // Whom to trust, what to show and what to offer is what this client was told.
        Some(_) => Cause::Own,
    }
}

/// Why a connection to a server failed that was offered `alpn`.
pub(super) fn of_server(error: &io::Error, alpn: &[Vec<u8>]) -> String {
    let Some(cause) = cause(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the server ended the connection in the handshake: does it speak TLS?".to_owned()
            }
            _ => error.to_string(),
        };
    };
    match cause {
        Error::InvalidMessage(_) => {
            "the server does not speak TLS: switch it on there (--tls_cert, --tls_key), or off here"
                .to_owned()
        }
        Error::InvalidCertificate(wrong) => of_certificate(wrong),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::NoApplicationProtocol => format!(
                "the server does not speak {} over TLS (ALPN): choose another protocol (--client)",
                String::from_utf8_lossy(&alpn.join(&b", "[..]))
            ),
            AlertDescription::CertificateRequired => {
                "the server asks for a client certificate: give one (--tls_client_cert, --tls_client_key)"
                    .to_owned()
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied => {
                format!("the server refuses this client's certificate ({alert:?}): give one of the CA that it names for its clients")
            }
            AlertDescription::CertificateExpired => {
                "the server finds this client's certificate expired: renew it".to_owned()
            }
            // Before 1.3 it is all that a server says of a certificate that it misses.
            AlertDescription::HandshakeFailure => {
                "the server refuses the handshake: it may ask for a client certificate, or allow nothing that this client offers"
                    .to_owned()
            }
            alert => format!("the server refuses with the alert {alert:?}"),
        },
        other => other.to_string(),
    }
}

fn of_certificate(wrong: &CertificateError) -> String {
    match wrong {
        // A bad signature is that of another CA with the same name, as a rule.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is of no CA that is trusted here: name its CA (--tls_ca)"
                .to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is for {}, and not for {}: dial it by a name that it has, or give it one with this name",
            names(presented),
            expected.to_str()
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the server's certificate has expired: renew it ({})",
            Error::InvalidCertificate(wrong.clone())
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "the server's certificate is not valid yet: look at the clocks of both machines ({})",
            Error::InvalidCertificate(wrong.clone())
        ),
        // It is shown as a server's own certificate, which web PKI does not take.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of a CA as its own: give it one that the CA has signed, or pin it"
                .to_owned()
        }
        wrong => Error::InvalidCertificate(wrong.clone()).to_string(),
    }
}

/// The names of a certificate, which come as `DnsName("a.example")`.
fn names(presented: &[String]) -> String {
    let name = |shown: &String| {
        let inner = shown.split_once('(').map_or(&**shown, |(_, inner)| inner);
        inner.trim_matches(['(', ')', '"']).to_owned()
    };
    match presented {
        [] => "no name".to_owned(),
        some => some.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Why the handshake of a client failed.
pub(super) fn of_client(error: &io::Error) -> String {
    let Some(cause) = cause(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the client ended its handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match cause {
        Error::NoCertificatesPresented => {
            "the client shows no certificate, and this port wants one".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "the client's certificate is not of the CA that this port names for its clients"
            .to_owned(),
        Error::NoApplicationProtocol => {
            "the client offers no protocol that this port speaks (ALPN)".to_owned()
        }
        Error::AlertReceived(alert) => {
            format!("the client does not take this server's certificate: {alert:?}")
        }
        other => other.to_string(),
    }
}

fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
