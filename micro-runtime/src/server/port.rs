//! Who speaks on the port: told by a connection's first bytes, and, where several protocols share a
//! version of HTTP, by each request on it.

use std::any::Any;
use std::sync::Arc;

use crate::protocol::http1::{self, Http1};
use crate::protocol::mucp::Mucp;
#[cfg(feature = "grpc")]
use crate::protocol::{Grpc, Web, grpc};
use crate::protocol::{Protocol, Recognised};
use crate::router::Core;
use crate::transport::{Connection, clash};

/// How TLS names HTTP/2 (ALPN).
const HTTP2: &str = "h2";
/// The preface of HTTP/2 (RFC 9113 section 3.4), as far as it is looked at where nobody speaks it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS, and GOAWAY of stream 0 with HTTP_1_1_REQUIRED and words.
const NO_HTTP2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x36\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d\
    gRPC and the protocols of the web are off here";
/// How Go's gob begins, which Go Micro's transport `tcp` speaks: the length of a type's description
/// and the type's number, and this behind them.
const GOB: &[u8] = b"\x03\x01\x01\x07Message";

/// The protocols of a port.
#[derive(Debug)]
pub(super) struct Port {
    http1: Http1,
    #[cfg(feature = "grpc")]
    http2: grpc::Http2,
    /// All that was given, best first.
    protocols: Vec<Arc<dyn Protocol>>,
}

/// What a connection speaks.
#[derive(Debug)]
pub(super) enum Spoken {
    Http1,
    #[cfg(feature = "grpc")]
    Http2,
    /// HTTP/2, and nobody here does.
    NoHttp2,
    Other(Arc<dyn Protocol>),
    /// Go's gob, which nobody here does.
    Gob,
}

impl Port {
    pub(super) fn new(protocols: Vec<Arc<dyn Protocol>>) -> Self {
        Self {
            http1: Http1 {
                mucp: find::<Mucp>(&protocols),
                #[cfg(feature = "grpc")]
                web: find::<Web>(&protocols).map(|web| web.0),
            },
            #[cfg(feature = "grpc")]
            http2: grpc::Http2 {
                grpc: find::<Grpc>(&protocols),
                web: find::<Web>(&protocols).map(|web| web.0),
            },
            protocols,
        }
    }

    /// The names of the protocols, best first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.protocols.iter().map(|protocol| protocol.name())
    }

    /// What TLS may agree on, best first.
    #[cfg(feature = "tls")]
    pub(super) fn alpn(&self) -> Vec<&'static str> {
        let protocols = self.protocols.iter().map(|protocol| protocol.alpn());
        #[cfg(feature = "grpc")]
        let protocols = protocols.chain(self.http1.web.is_some().then_some("http/1.1"));
        let mut seen = Vec::new();
        for name in protocols {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        seen
    }

    /// What a connection that begins with `head` speaks; `Err` where it cannot be told, with whether
    /// more bytes may tell. Whoever agreed on HTTP/2 in the TLS handshake (`agreed`) speaks that.
    pub(super) fn spoken(&self, agreed: Option<&str>, head: &[u8]) -> Result<Spoken, bool> {
        let mut undecided = false;
        if agreed == Some(HTTP2) {
            match begins(head, PREFACE) {
                Recognised::Yes => {}
                Recognised::Perhaps => return Err(true),
                Recognised::No => return Err(false),
            }
        }
        let mut is = |recognised| {
            undecided |= recognised == Recognised::Perhaps;
            recognised == Recognised::Yes
        };
        for protocol in &self.protocols {
            if is(protocol.recognises(head)) && !is_of_http(&**protocol) {
                return Ok(Spoken::Other(protocol.clone()));
            }
        }
        // Callers of what is switched off are told so in their own way, too.
        if is(http1::recognises(head)) {
            return Ok(Spoken::Http1);
        }
        if is(begins(head, PREFACE)) {
            #[cfg(feature = "grpc")]
            if self.http2.grpc.is_some() || self.http2.web.is_some() {
                return Ok(Spoken::Http2);
            }
            return Ok(Spoken::NoHttp2);
        }
        if is(begins_gob(head)) {
            return Ok(Spoken::Gob);
        }
        Err(undecided)
    }

    /// Serves a connection that speaks `spoken`.
    pub(super) async fn serve(&self, spoken: Spoken, connection: Connection, core: Arc<Core>) {
        // Each in a room of its own, so that none takes that of the largest.
        match spoken {
            Spoken::Http1 => Box::pin(self.http1.serve(connection, core)).await,
            #[cfg(feature = "grpc")]
            Spoken::Http2 => Box::pin(self.http2.serve(connection, core)).await,
            Spoken::NoHttp2 => Box::pin(clash::answer(connection.io, NO_HTTP2)).await,
            Spoken::Other(protocol) => protocol.serve(connection, core).await,
            Spoken::Gob => Box::pin(clash::let_go(connection.io)).await,
        }
    }
}

/// The one of `protocols` that is a `P`.
fn find<P: Protocol + Clone>(protocols: &[Arc<dyn Protocol>]) -> Option<P> {
    protocols.iter().find_map(|protocol| {
        let any: &dyn Any = &**protocol;
        any.downcast_ref::<P>().cloned()
    })
}

/// Whether it shares its connections with others.
fn is_of_http(protocol: &dyn Protocol) -> bool {
    let any: &dyn Any = protocol;
    #[cfg(feature = "grpc")]
    if any.is::<Grpc>() || any.is::<Web>() {
        return true;
    }
    any.is::<Mucp>()
}

fn begins(head: &[u8], with: &[u8]) -> Recognised {
    match head.len() < with.len() {
        _ if head.starts_with(with) => Recognised::Yes,
        true if with.starts_with(head) => Recognised::Perhaps,
        _ => Recognised::No,
    }
}

/// Whether a stream of gob begins with `head` whose first type is Go Micro's message.
fn begins_gob(head: &[u8]) -> Recognised {
    let rest = match head {
        [0..=0x7f, 0..=0x7f, rest @ ..] => rest,
        // A number of more than seven bits: how many bytes follow, negated, and they.
        [0..=0x7f, 0xff, _, rest @ ..] => rest,
        [] | [0..=0x7f] | [0..=0x7f, 0xff] => return Recognised::Perhaps,
        _ => return Recognised::No,
    };
    begins(rest, GOB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_gob_is_known_by_its_first_bytes() {
        for first in [&b"\x29\x7f"[..], b"\x2a\xff\x81"] {
            let gob = [first, GOB, b"\x01\xff\x80\0\x01\x02\x01\x06Header"].concat();
            let known = first.len() + GOB.len();
            for n in 0..gob.len() {
                let expected = match n < known {
                    true => Recognised::Perhaps,
                    false => Recognised::Yes,
                };
                assert_eq!(begins_gob(&gob[..n]), expected, "{n}");
            }
        }
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0\x01",
            b"\xc7mic",
        ] {
            assert_eq!(begins_gob(other), Recognised::No);
        }
    }

    #[test]
    fn whoever_agreed_on_http2_speaks_nothing_else() {
        let port = Port::new(vec![Arc::new(Mucp::default())]);
        let get = b"GET / HTTP/1.1\r\n";
        for agreed in [None, Some("http/1.1")] {
            assert!(matches!(port.spoken(agreed, get), Ok(Spoken::Http1)));
        }
        assert!(matches!(port.spoken(Some(HTTP2), get), Err(false)));
        assert!(matches!(port.spoken(Some(HTTP2), b"PRI *"), Err(true)));
        assert!(port.spoken(Some(HTTP2), PREFACE).is_ok());
    }

    #[test]
    fn the_words_to_callers_of_http2_are_as_long_as_their_frame_says() {
        let goaway = &NO_HTTP2[9..];
        let length = goaway[..3]
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte));
        assert_eq!(goaway.len(), 9 + length);
    }
}
