//! Hand-made requests: what Go's server answered stands in `raw_probes.txt`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{From, Gap, Ledger};
use crate::capture::{Message, cut_all, read};
use crate::harness::{Server, Setup};

pub async fn compare_all() -> BTreeSet<&'static str> {
    let ledger = Ledger::default();
    let server = Setup::default().serve().await;
    let page = String::from_utf8(read("raw_probes.txt"))
        .unwrap()
        .replace('\r', "");
    for section in page.split("#### ").skip(1) {
        let (title, answer) = section.split_once('\n').unwrap();
        let (name, closed) = title.rsplit_once("  [closed=").unwrap();
        probe(&server, name, answer, closed == "True]", &ledger).await;
    }
    ledger.close()
}

async fn probe(server: &Server, name: &str, answer: &str, closed: bool, ledger: &Ledger) {
    let mut raw = server.dial().await;
    raw.send(request(name)).await;
    let (bytes, now_closed) = raw.read_for(Duration::from_secs(2)).await;
    let mut ours = cut_all(&bytes);
    let mut go = written(answer);
    for message in go.iter_mut().chain(&mut ours) {
        // Of bodies that are not text the page shows only what a terminal would.
        let text = message
            .get("Content-Type")
            .is_some_and(|kind| kind.starts_with("text/plain") || kind.contains("json"));
        if !text {
            message.body = vec![u8::from(!message.body.is_empty())];
        } else {
            message.body = message.body.trim_ascii().to_vec();
        }
        // Go's build writes U+00A0 in one place, and the page shows that twice encoded.
        for (_, value) in &mut message.headers {
            *value = value
                .replace("proto:\u{c2}\u{a0}", "proto: ")
                .replace("proto:\u{a0}", "proto: ");
        }
    }
    if name == "small timeout header 1000ns on Echo" {
        // It is an Echo, whose body the page cannot show.
        for message in &mut go {
            message.headers.retain(|(name, _)| name != "Micro-Endpoint");
        }
        for message in &mut ours {
            message.headers.retain(|(name, _)| name != "Micro-Endpoint");
        }
    }
    if go
        .first()
        .is_some_and(|first| first.start.contains(" 100 "))
    {
        ledger.note(From::Server, name, Gap::Less(go.remove(0)));
    }
    ledger.compare(From::Server, name, &go, &ours);
    if closed != now_closed {
        let gap = Gap::Closed {
            go: closed,
            ours: now_closed,
        };
        ledger.note(From::Server, name, gap);
    }
}

/// The answers on the page.
fn written(page: &str) -> Vec<Message> {
    page.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| {
            let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
            let mut lines = head.lines();
            let headers = lines.clone().skip(1).map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_owned(), value.trim().to_owned())
            });
            let length = headers
                .clone()
                .find_map(|(name, value)| (name == "Content-Length").then_some(value));
            Message {
                start: format!("HTTP/1.1 {}", lines.next().unwrap()),
                headers: headers.collect(),
                body: if length.as_deref() == Some("0") {
                    Vec::new()
                } else {
                    body.trim_matches('\n').as_bytes().to_vec()
                },
                chunked: false,
            }
        })
        .collect()
}

/// The bytes of a probe.
fn request(name: &str) -> Vec<u8> {
    const WORLD: &[u8] = b"\n\x05world";
    let build = |start: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let mut bytes =
            format!("{start}\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    let post = |headers: &str, body: &[u8]| build("POST / HTTP/1.1", headers, body);
    let proto = "Content-Type: application/protobuf\r\n";
    let json = "Content-Type: application/json\r\n";
    let named = "Micro-Endpoint: Greeter.Hello\r\nMicro-Method: Greeter.Hello\r\nMicro-Service: greeter\r\n";
    let hello = "Micro-Endpoint: Greeter.Hello\r\n";
    let sum = "Content-Type: application/protobuf\r\nMicro-Endpoint: Greeter.Sum\r\nMicro-Method: Greeter.Sum\r\n";
    let with = |parts: &[&str]| parts.concat();
    let stream = |id: &str, extra: &str, body: &[u8]| {
        post(
            &with(&[sum, &format!("Micro-Stream: {id}\r\n"), extra]),
            body,
        )
    };
    let sleep = |extra: &str, ms: u8| {
        let headers = with(&[proto, "Micro-Endpoint: Greeter.Sleep\r\n", extra]);
        post(&headers, &[8, ms])
    };
    match name {
        "minimal: endpoint only + proto" => post(&with(&[proto, hello]), WORLD),
        "method only" => post(&with(&[proto, "Micro-Method: Greeter.Hello\r\n"]), WORLD),
        "service only, no endpoint" => {
            let empty = "Micro-Endpoint: \r\nMicro-Method: \r\nMicro-Service: greeter\r\n";
            post(&with(&[proto, empty]), WORLD)
        }
        "X-Micro-Endpoint only" => post(
            &with(&[proto, "X-Micro-Endpoint: Greeter.Hello\r\n"]),
            WORLD,
        ),
        "X-Micro-Endpoint+X-Micro-Method+X-Micro-Service only" => {
            let names = "X-Micro-Endpoint: Greeter.Hello\r\nX-Micro-Method: Greeter.Hello\r\nX-Micro-Service: greeter\r\n";
            post(&with(&[proto, names]), WORLD)
        }
        "lower-case header names" => post(
            "content-type: application/protobuf\r\nmicro-endpoint: Greeter.Hello\r\nmicro-id: 7\r\n",
            WORLD,
        ),
        "no content type" => post(named, WORLD),
        "charset content type" => {
            let kind = "Content-Type: application/json; charset=utf-8\r\n";
            post(&with(&[kind, named]), b"{\"name\":\"w\"}")
        }
        "unknown content type" => post(&with(&["Content-Type: text/html\r\n", named]), b"x"),
        "octet-stream" => post(
            &with(&["Content-Type: application/octet-stream\r\n", named]),
            WORLD,
        ),
        "legacy json (no Micro-*): json-rpc body" => post(
            json,
            br#"{"method":"Greeter.Hello","params":[{"name":"w"}],"id":"5"}"#,
        ),
        "legacy json-rpc numeric id" => post(
            "Content-Type: application/json-rpc\r\n",
            br#"{"method":"Greeter.Hello","params":[{"name":"w"}],"id":5}"#,
        ),
        "legacy protobuf (no Micro-*): proto-rpc body" => post(
            proto,
            b"\0\0\0\x18\n\x0dGreeter.Hello\x11\x05\0\0\0\0\0\0\0\0\0\0\x07\n\x05world",
        ),
        "json unknown field" => post(&with(&[json, named]), br#"{"name":"w","zzz":1}"#),
        "json malformed" => post(&with(&[json, named]), br#"{"name":"#),
        "json empty body" => post(&with(&[json, named]), b""),
        "proto malformed" => post(&with(&[proto, named]), b"\n\xff"),
        "GET /" => build("GET / HTTP/1.1", &with(&[proto, named]), b""),
        "PUT /any/path?q=1" => build("PUT /any/path?q=1 HTTP/1.1", &with(&[proto, named]), WORLD),
        "path //x (mux clean)" => build("POST //x HTTP/1.1", &with(&[proto, named]), WORLD),
        "HTTP/1.0" => build("POST / HTTP/1.0", &with(&[proto, named]), WORLD),
        "no Host on 1.1" => {
            format!("POST / HTTP/1.1\r\n{proto}{named}Content-Length: 0\r\n\r\n").into_bytes()
        }
        "chunked" => {
            let head = format!(
                "POST / HTTP/1.1\r\nHost: x\r\n{proto}{named}Transfer-Encoding: chunked\r\n\r\n"
            );
            let mut bytes = head.into_bytes();
            bytes.extend_from_slice(b"3\r\n\n\x05w\r\n4;ext=1\r\norld\r\n0\r\n\r\n");
            bytes
        }
        "expect 100-continue" => post(&with(&[proto, named, "Expect: 100-continue\r\n"]), WORLD),
        "bad timeout header" => post(&with(&[proto, named, "Timeout: 5s\r\n"]), WORLD),
        "small timeout header 1000ns on Echo" => post(
            &with(&[proto, "Micro-Endpoint: Greeter.Echo\r\nTimeout: 1000\r\n"]),
            WORLD,
        ),
        "pipelined: Sleep 100 (id 1) and Sleep 1 (id 2)" => {
            [sleep("Micro-Id: 1\r\n", 100), sleep("Micro-Id: 2\r\n", 1)].concat()
        }
        "sequential w/o wait: Hello id1 + Hello id2 in one segment" => {
            let one = post(&with(&[proto, named, "Micro-Id: 1\r\n"]), WORLD);
            let two = post(&with(&[proto, named, "Micro-Id: 2\r\n"]), WORLD);
            [one, two].concat()
        }
        "pipelined: distinct Micro-Stream ids on unary" => [
            sleep("Micro-Stream: a\r\n", 100),
            sleep("Micro-Stream: b\r\n", 1),
        ]
        .concat(),
        "stream: EOS first" => stream("9", "Micro-Error: EOS\r\n", b""),
        "stream with open,1,2,EOS then keep open" => [
            stream("9", "", b""),
            stream("9", "", &[8, 1]),
            stream("9", "", &[8, 2]),
            stream("9", "Micro-Error: EOS\r\n", b""),
        ]
        .concat(),
        "two streams interleaved on one conn" => [
            stream("1", "", b""),
            stream("2", "", b""),
            stream("1", "", &[8, 1]),
            stream("2", "", &[8, 10]),
            stream("1", "", &[8, 2]),
        ]
        .concat(),
        "stream endpoint called without Micro-Stream (one request w/ body)" => post(sum, &[8, 1]),
        "unary endpoint called with Micro-Stream" => {
            post(&with(&[proto, hello, "Micro-Stream: 3\r\n"]), WORLD)
        }
        "stream client error" => [
            stream("9", "", b""),
            stream("9", "Micro-Error: client oops\r\n", b""),
        ]
        .concat(),
        "Micro-Topic direct event" => post(
            &with(&[proto, "Micro-Id: abc\r\nMicro-Topic: greeter.events\r\n"]),
            WORLD,
        ),
        "Micro-Topic unknown" => post(&with(&[proto, "Micro-Topic: no.such\r\n"]), WORLD),
        "Micro-Topic bad body" => post(
            &with(&[proto, "Micro-Topic: greeter.events\r\n"]),
            b"\n\xff",
        ),
        "Micro-Topic no ct json" => post(
            &with(&[json, "Micro-Topic: greeter.events\r\n"]),
            br#"{"name":"w"}"#,
        ),
        "malformed http" => b"this is not http\r\n\r\n".to_vec(),
        name => panic!("no request for the probe {name}"),
    }
}
