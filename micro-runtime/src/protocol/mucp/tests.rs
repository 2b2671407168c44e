//! Envelopes, and how a connection is told.

use bytes::Bytes;

use super::Mucp;
use super::envelope::{Envelope, Opened};
use crate::error::Result;
use crate::protocol::{Protocol, Recognised};

#[test]
fn first_bytes_tell_http_1_from_the_rest() {
    let mucp = Mucp::default();
    for (head, told) in [
        (&b"POST / HTTP/1.1\r\n"[..], Recognised::Yes),
        (b"GET /", Recognised::Yes),
        (b"DELETE /", Recognised::Yes),
        (b"", Recognised::Perhaps),
        (b"P", Recognised::Perhaps),
        (b"PR", Recognised::Perhaps),
        (b"PRI", Recognised::Perhaps),
        (b"PRI * HTTP/2.0", Recognised::No),
        (b"PROPFIND ", Recognised::Yes),
        (b"\xc7mic", Recognised::No),
        (b"\x16\x03\x01", Recognised::No),
        (b" POST / HTTP/1.1", Recognised::No),
        (b"post / HTTP/1.1", Recognised::No),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", Recognised::No),
    ] {
        assert_eq!(mucp.recognises(head), told, "{}", head.escape_ascii());
    }
}

/// The bodies of the captures in `proto_rpc`, `json_rpc` and those with an error.
const PROTO_REQUEST: &[u8] = b"\0\0\0\x0f\n\x0dGreeter.Hello\0\0\0\x07\n\x05world";
const PROTO_REPLY: &[u8] = b"\0\0\0\0\0\0\0\x0d\n\x0bHello world";
const PROTO_ERROR: &[u8] = b"\0\0\0\x06\x1a\x04oops\0\0\0\0";
const JSON_REQUEST: &[u8] =
    b"{\"params\":[{\"name\":\"world\"}],\"id\":\"0\",\"method\":\"Greeter.Hello\"}\n";
const JSON_REPLY: &[u8] = b"{\"id\":\"0\",\"result\":{\"msg\":\"Hello world\"},\"error\":null}\n";
const JSON_ERROR: &[u8] = b"{\"id\":\"\",\"result\":null,\"error\":\"{\\\"code\\\":404}\"}\n";

fn opened(method: &str, id: &str, error: &str, message: &'static [u8]) -> Opened {
    Opened {
        method: method.into(),
        id: id.into(),
        error: error.into(),
        message: Bytes::from_static(message),
    }
}

#[test]
fn envelopes_are_written_as_go_writes_them() {
    let hello = "Greeter.Hello";
    let proto = Envelope::ProtoRpc;
    assert_eq!(
        proto.seal_request(hello, "0", Bytes::from_static(b"\n\x05world")),
        PROTO_REQUEST
    );
    assert_eq!(
        proto.seal_reply("", "0", Bytes::from_static(b"\n\x0bHello world")),
        PROTO_REPLY
    );
    assert_eq!(
        proto.seal_reply("Greeter.Sum", "5", Bytes::from_static(&[8, 1])),
        &b"\0\0\0\x16\n\x0bGreeter.Sum\x11\x05\0\0\0\0\0\0\0\0\0\0\x02\x08\x01"[..]
    );
    assert_eq!(proto.seal_error("0", "oops"), PROTO_ERROR);
    // Recorded from go-micro v4.11.0 at the end of a server stream.
    assert_eq!(
        proto.seal_error("0", "EOS"),
        &b"\0\0\0\x05\x1a\x03EOS\0\0\0\0"[..]
    );

    let json = Envelope::JsonRpc;
    let message = Bytes::from_static(b"{\"name\":\"world\"}\n");
    assert_eq!(json.seal_request(hello, "0", message), JSON_REQUEST);
    let message = Bytes::from_static(b"{\"msg\":\"Hello world\"}\n");
    assert_eq!(json.seal_reply("", "0", message), JSON_REPLY);
    assert_eq!(json.seal_error("", "{\"code\":404}"), JSON_ERROR);
    assert_eq!(
        json.seal_request(hello, "0", Bytes::new()),
        "{\"params\":[{}],\"id\":\"0\",\"method\":\"Greeter.Hello\"}\n"
    );

    let grpc = Envelope::Grpc;
    let framed = &b"\0\0\0\0\x02\x08\x01"[..];
    assert_eq!(grpc.seal_reply("", "", Bytes::from_static(&[8, 1])), framed);
    assert_eq!(grpc.seal_request("", "", Bytes::new()), "");
    assert_eq!(grpc.seal_error("", "oops"), "");
}

#[test]
fn envelopes_are_read_as_go_reads_them() {
    let request = |envelope: Envelope, body: &'static [u8]| {
        envelope.open_request(Bytes::from_static(body)).unwrap()
    };
    let reply = |envelope: Envelope, body: &'static [u8]| {
        envelope.open_reply(Bytes::from_static(body)).unwrap()
    };
    let (proto, json) = (Envelope::ProtoRpc, Envelope::JsonRpc);
    let hello = "Greeter.Hello";
    assert_eq!(
        request(proto, PROTO_REQUEST),
        opened(hello, "0", "", b"\n\x05world")
    );
    assert_eq!(request(proto, b""), opened("", "0", "", b""));
    assert_eq!(
        reply(proto, PROTO_REPLY),
        opened("", "0", "", b"\n\x0bHello world")
    );
    assert_eq!(reply(proto, PROTO_ERROR), opened("", "0", "oops", b""));
    assert_eq!(
        request(json, JSON_REQUEST),
        opened(hello, "0", "", b"{\"name\":\"world\"}")
    );
    for (id, text) in [("5", "5"), ("\"5\"", "5"), ("null", ""), ("1e2", "1e2")] {
        let body = format!("{{\"id\":{id},\"method\":\"a\\u002eb\",\"more\":[1]}}");
        let read = json.open_request(body.into()).unwrap();
        assert_eq!(read, opened("a.b", text, "", b""));
    }
    assert_eq!(request(json, b"{\"params\":null}"), opened("", "", "", b""));
    assert_eq!(request(json, b"{\"params\":[]}"), opened("", "", "", b""));
    assert_eq!(
        request(json, b"{\"params\":[1,2]}"),
        opened("", "", "", b"1")
    );
    assert_eq!(
        reply(json, JSON_REPLY),
        opened("", "", "", b"{\"msg\":\"Hello world\"}")
    );
    assert_eq!(
        reply(json, JSON_ERROR),
        opened("", "", "{\"code\":404}", b"")
    );
    let framed = b"\x01\0\0\0\x02\x08\x01 and more";
    assert_eq!(request(Envelope::Grpc, framed), opened("", "", "", &[8, 1]));
    assert_eq!(reply(Envelope::Grpc, b""), Opened::default());
}

#[test]
fn wrong_envelopes_are_refused_in_words() {
    let (proto, json) = (Envelope::ProtoRpc, Envelope::JsonRpc);
    for (envelope, body, words) in [
        (proto, &b"\0\0\0"[..], "unexpected EOF"),
        (proto, b"\0\0\0\x05abc", "unexpected EOF"),
        (proto, b"\0\0\0\0", "unexpected EOF"),
        (proto, b"\0\0\0\0\xff\xff\xff\xff", "unexpected EOF"),
        (
            proto,
            b"\0\0\0\x01\xff\0\0\0\0",
            "proto: cannot parse invalid wire-format data",
        ),
        (json, b"", "EOF"),
        (json, b" \n", "EOF"),
        (json, b"{\"params\":", "unexpected EOF"),
        (json, b"\xff", "invalid UTF-8 in the JSON"),
        (json, b"{\"method\":7}", "invalid type"),
        (json, b"{}x", "trailing characters"),
        (
            json,
            b"[\"Greeter.Hello\"]",
            "the envelope is no JSON object",
        ),
        (json, b"{\"params\":{}}", "invalid type"),
        (Envelope::Grpc, b"\0\0", "unexpected EOF"),
        (Envelope::Grpc, b"\0\0\0\0\x02\x08", "unexpected EOF"),
    ] {
        let error = envelope.open_request(Bytes::from_static(body)).unwrap_err();
        assert_eq!(error.code(), 0);
        assert!(error.detail().starts_with(words), "{error}, not {words}");
    }
    let error = json.open_reply("{\"error\":{\"code\":1}}".into());
    assert!(error.is_err());
}

#[test]
fn mutated_envelopes_are_opened_or_refused_and_hold_no_more_than_they_are() {
    let mut random = fastrand::Rng::with_seed(2);
    let seeds: [(Envelope, bool, &[u8]); 8] = [
        (Envelope::ProtoRpc, true, PROTO_REQUEST),
        (Envelope::ProtoRpc, false, PROTO_REPLY),
        (Envelope::ProtoRpc, false, PROTO_ERROR),
        (Envelope::JsonRpc, true, JSON_REQUEST),
        (Envelope::JsonRpc, false, JSON_REPLY),
        (Envelope::JsonRpc, false, JSON_ERROR),
        (Envelope::Grpc, true, b"\0\0\0\0\x02\x08\x01"),
        (Envelope::Grpc, false, b"\0\0\0\0\x02\x08\x01"),
    ];
    let parts: [&[u8]; 12] = [
        b"\0\0\0\x02",
        b"\0\0\0\x03\n\x01x",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"{",
        b"}",
        b"[[[[",
        b"null",
        b",\"id\":7",
        b",\"method\":null",
        b"\"",
        b" ",
    ];
    let mut accepted = [0; 3];
    let mut tried = [0; 3];
    let mut words = std::collections::BTreeSet::new();
    for _ in 0..30_000 {
        let (envelope, is_request, seed) = seeds[random.usize(..seeds.len())];
        let mut body = seed.to_vec();
        for _ in 0..random.usize(1..3).min(random.usize(1..3)) {
            let at = random.usize(..=body.len());
            match random.u8(..5) {
                0 if at < body.len() => body[at] = random.u8(..),
                1 if at < body.len() => body[at] ^= 1 << random.u8(..8),
                2 => body.truncate(at),
                3 if at < body.len() => drop(body.remove(at)),
                _ => {
                    let part = parts[random.usize(..parts.len())];
                    body.splice(at..at, part.iter().copied());
                }
            }
        }
        let body = Bytes::from(body);
        let opened: Result<Opened> = match is_request {
            true => envelope.open_request(body.clone()),
            false => envelope.open_reply(body.clone()),
        };
        let kind = match envelope {
            Envelope::ProtoRpc => 0,
            Envelope::JsonRpc => 1,
            Envelope::Grpc | Envelope::Bare => 2,
        };
        tried[kind] += 1;
        match opened {
            Ok(opened) => {
                accepted[kind] += 1;
                let held = opened.method.len() + opened.error.len() + opened.message.len();
                assert!(held <= body.len(), "{opened:?}");
                // The message is not copied.
                let inside = body.as_ptr_range();
                let message = opened.message.as_ptr_range();
                let within = inside.start <= message.start && message.end <= inside.end;
                assert!(opened.message.is_empty() || within);
            }
            Err(error) => {
                let begin: Vec<_> = error.detail().split(' ').take(2).collect();
                words.insert(begin.join(" "));
            }
        }
    }
    for (accepted, tried) in accepted.iter().zip(tried) {
        assert!(accepted * 5 > tried, "{accepted} of {tried}");
    }
    for kind in [
        "unexpected EOF",
        "EOF",
        "proto: cannot",
        "invalid UTF-8",
        "invalid type:",
        "trailing characters",
        "the envelope",
    ] {
        assert!(words.contains(kind), "{kind} never came: {words:?}");
    }
}
