//! Who serves a request of HTTP/1.1, told by its head.

use crate::http1::{Head, Start};

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Go Micro's protocol.
    Mucp,
    /// gRPC-Web, Connect or JSON.
    Web,
    /// gRPC, which needs HTTP/2.
    Grpc,
    /// The opening of a WebSocket.
    WebSocket,
    /// None that is known.
    Unknown,
}

impl Kind {
    /// What a request with `head` is.
    pub(super) fn of(head: &Head) -> Self {
        let Start::Request { method, target } = head.start() else {
            return Self::Unknown;
        };
        // No other protocol calls that path, and most of mucp's requests are found here.
        if target == b"/" && method == b"POST" {
            return Self::Mucp;
        }
        let (path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(at) => target.split_at(at),
            None => (target, &[][..]),
        };
        let (mut micro, mut web, mut grpc) = (false, false, false);
        for (name, value) in head.fields() {
            match name {
                b"Upgrade" if has_token(value, b"websocket") => return Self::WebSocket,
                b"Connect-Protocol-Version" => web = true,
                b"Content-Type" => {
                    web |= begins(value, b"application/grpc-web")
                        || begins(value, b"application/connect+");
                    grpc |= begins(value, b"application/grpc");
                }
                _ => micro |= name.starts_with(b"Micro-") || name.starts_with(b"X-Micro-"),
            }
        }
        let is_connect_get = || {
            let query = query.get(1..).unwrap_or_default();
            method == b"GET"
                && query
                    .split(|byte| *byte == b'&')
                    .any(|pair| pair == b"connect=v1")
        };
        match () {
            () if web || is_connect_get() => Self::Web,
            () if grpc => Self::Grpc,
            () if micro => Self::Mucp,
            () if is_method(path) => Self::Web,
            () => Self::Unknown,
        }
    }
}

/// Whether a path names a service and a method: `/package.Service/Method`.
fn is_method(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    let named = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty());
    parts.next() == Some(b"")
        && named(parts.next())
        && named(parts.next())
        && parts.next().is_none()
}

fn begins(value: &[u8], with: &[u8]) -> bool {
    value
        .get(..with.len())
        .is_some_and(|front| front.eq_ignore_ascii_case(with))
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|given| given.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::{Bounds, Decoder, Role};

    fn kind(line: &str, fields: &str) -> Kind {
        let bounds = Bounds {
            head: 8192,
            headers: 64,
            body: 0,
        };
        let mut decoder = Decoder::new(Role::Request, bounds);
        let text = format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        Kind::of(decoder.head(&mut BytesMut::from(&*text)).unwrap().unwrap())
    }

    #[test]
    fn each_request_is_told_by_its_head() {
        let json = "Content-Type: application/json\r\n";
        for (line, fields, expected) in [
            ("POST /", "", Kind::Mucp),
            ("POST /", json, Kind::Mucp),
            ("POST /a.B/C", "Micro-Endpoint: B.C\r\n", Kind::Mucp),
            ("GET /x", "x-micro-service: a\r\n", Kind::Mucp),
            ("POST /a.B/C", json, Kind::Web),
            ("OPTIONS /a.B/C", "Origin: http://x\r\n", Kind::Web),
            (
                "GET /a.B/C?encoding=json&connect=v1",
                "Micro-Id: 1\r\n",
                Kind::Web,
            ),
            ("GET /x?connect=v1", "", Kind::Web),
            ("GET /x?connect=v10", "", Kind::Unknown),
            (
                "POST /B/C",
                "Micro-Id: 1\r\nConnect-Protocol-Version: 1\r\n",
                Kind::Web,
            ),
            (
                "POST /B/C",
                "Content-Type: application/Connect+json\r\n",
                Kind::Web,
            ),
            (
                "POST /B/C",
                "Content-Type: application/grpc-web-text\r\n",
                Kind::Web,
            ),
            (
                "POST /B/C",
                "Content-Type: application/grpc+proto\r\n",
                Kind::Grpc,
            ),
            ("GET /B/C", "Upgrade: h2c\r\n", Kind::Web),
            (
                "GET /",
                "Micro-Id: 1\r\nUpgrade: foo, WebSocket\r\n",
                Kind::WebSocket,
            ),
            ("GET /", "", Kind::Unknown),
            ("GET /a", "", Kind::Unknown),
            ("GET /a/", "", Kind::Unknown),
            ("GET //a", "", Kind::Unknown),
            ("GET /a/b/c", "", Kind::Unknown),
            ("OPTIONS *", "", Kind::Unknown),
        ] {
            assert_eq!(kind(line, fields), expected, "{line} {fields}");
        }
    }
}
