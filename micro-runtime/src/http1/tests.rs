//! What is a message, what is not, and how little a peer can make us hold.

use bytes::BytesMut;

use super::{Bounds, Decoder, Malformed, Message, Outbox, Role, Start, put_decimal};

pub(super) const BOUNDS: Bounds = Bounds {
    head: 64 * 1024,
    headers: 256,
    body: 1024 * 1024,
};

#[derive(Debug, PartialEq)]
pub(super) struct Plain {
    start: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    keep_alive: bool,
}

pub(super) fn plain(message: &Message) -> Plain {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let head = &message.head;
    Plain {
        start: match head.start() {
            Start::Request { method, target } => format!("{} {}", text(method), text(target)),
            Start::Status { code, reason } => format!("{code} {}", text(reason)),
        },
        fields: head
            .fields()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        body: message.body.to_vec(),
        keep_alive: message.keep_alive,
    }
}

/// All messages in `bytes`, which come in pieces that end at `cuts`, and then the connection ends.
pub(super) fn decode_in(
    role: Role,
    bounds: Bounds,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<Vec<Plain>, Malformed> {
    let mut decoder = Decoder::new(role, bounds);
    let mut inbox = BytesMut::new();
    let mut messages = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let room = decoder.room(&inbox);
        assert!(room <= inbox.len().max(8 * 1024), "room for {room}");
        inbox.extend_from_slice(&bytes[from..to]);
        from = to;
        while let Some(message) = decoder.decode(&mut inbox)? {
            messages.push(plain(&message));
            decoder.recycle(message.head);
        }
    }
    messages.extend(decoder.end(&mut inbox)?.as_ref().map(plain));
    Ok(messages)
}

fn requests(bytes: &[u8]) -> Result<Vec<Plain>, Malformed> {
    decode_in(Role::Request, BOUNDS, bytes, &[])
}

fn responses(bytes: &[u8]) -> Result<Vec<Plain>, Malformed> {
    decode_in(Role::Response, BOUNDS, bytes, &[])
}

/// The captured bytes of HTTP/1.1, with the side they come from.
pub(super) fn captures() -> Vec<(String, Role, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/rpc");
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let role = match name.rsplit_once('.').map(|(stem, _)| stem) {
            Some(stem) if stem.ends_with(".c2s") => Role::Request,
            Some(stem) if stem.ends_with(".s2c") => Role::Response,
            _ => continue,
        };
        if !name.starts_with("grpc_") {
            captures.push((name, role, std::fs::read(&path).unwrap()));
        }
    }
    captures.sort_by(|one, other| one.0.cmp(&other.0));
    captures
}

#[test]
fn every_capture_is_read_whole_or_byte_by_byte() {
    let mut read = 0;
    for (name, role, bytes) in captures() {
        let whole = decode_in(role, BOUNDS, &bytes, &[]).unwrap();
        assert_eq!(whole.is_empty(), bytes.is_empty(), "{name}");
        let cuts: Vec<_> = (0..bytes.len()).collect();
        let bit_by_bit = decode_in(role, BOUNDS, &bytes, &cuts).unwrap();
        assert_eq!(whole, bit_by_bit, "{name}");
        read += whole.len();
    }
    assert!(read > 120, "{read} messages");
}

#[test]
fn a_message_cut_anywhere_is_no_message() {
    for (name, role, bytes) in captures() {
        let whole = decode_in(role, BOUNDS, &bytes, &[]).unwrap().len();
        for end in 0..bytes.len() {
            match decode_in(role, BOUNDS, &bytes[..end], &[]) {
                Ok(messages) => assert!(messages.len() < whole, "{name} cut at {end}"),
                Err(error) => assert_eq!(error, Malformed::Truncated, "{name} cut at {end}"),
            }
        }
    }
}

#[test]
fn a_body_may_be_empty_in_three_ways() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\n";
    for framing in [
        "\r\n",
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: Chunked\r\n\r\n000;a=b\r\nTrailer: x\r\n\r\n",
    ] {
        // What follows is the next request, not this one's body.
        let two = [head, framing, head, framing].concat();
        let read = requests(two.as_bytes()).unwrap();
        assert_eq!(read.len(), 2, "{framing:?}");
        assert!(read.iter().all(|message| message.body.is_empty()));
    }
}

#[test]
fn chunks_are_put_together() {
    let bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\nA ;x=\"y\"\r\n0123456789\r\n1\t; z\r\n!\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n";
    let cuts: Vec<_> = (0..bytes.len()).collect();
    for cuts in [&[][..], &cuts] {
        let read = decode_in(Role::Request, BOUNDS, bytes, cuts).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].body, b"abc0123456789!");
    }
}

#[test]
fn names_are_canonical_and_values_trimmed() {
    let bytes = "POST /a?b HTTP/1.1\r\nhOST:x\r\nx-micro-ID:  7 \t\r\nunder_score: é\r\nA:\r\n\r\n";
    let read = &requests(bytes.as_bytes()).unwrap()[0];
    assert_eq!(read.start, "POST /a?b");
    let fields = [
        ("Host", "x"),
        ("X-Micro-Id", "7"),
        ("Under_score", "é"),
        ("A", ""),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(read.fields, fields);
}

#[test]
fn a_connection_is_kept_as_version_and_header_say() {
    for (version, connection, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Upgrade, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n");
        let read = requests(bytes.as_bytes()).unwrap();
        assert_eq!(read[0].keep_alive, kept, "{bytes:?}");
    }
}

#[test]
fn a_response_may_end_with_its_connection() {
    let read = responses(b"HTTP/1.0 200 OK\r\n\r\nall of it").unwrap();
    assert_eq!(
        (read[0].body.as_slice(), read[0].keep_alive),
        (&b"all of it"[..], false)
    );
    let read =
        responses(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(read.unwrap().len(), 2);
}

#[test]
fn wrong_forms_are_refused() {
    let post =
        |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for (bytes, expected) in [
        (
            post(
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            Malformed::LengthAndEncoding,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                "0\r\n\r\n",
            ),
            Malformed::LengthAndEncoding,
        ),
        (
            post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            Malformed::TwoLengths,
        ),
        (
            post("content-length: 3\r\nCONTENT-LENGTH: 4\r\n", "abc"),
            Malformed::TwoLengths,
        ),
        (post("Content-Length: 3, 3\r\n", "abc"), Malformed::Length),
        (post("Content-Length: +3\r\n", "abc"), Malformed::Length),
        (post("Content-Length: 0x3\r\n", "abc"), Malformed::Length),
        (post("Content-Length: -1\r\n", ""), Malformed::Length),
        (post("Content-Length:\r\n", ""), Malformed::Length),
        (
            post("Content-Length: 1048577\r\n", ""),
            Malformed::BodyTooLarge,
        ),
        (
            post("Content-Length: 99999999999999999999999\r\n", ""),
            Malformed::BodyTooLarge,
        ),
        (post("Transfer-Encoding: gzip\r\n", ""), Malformed::Encoding),
        (
            post("Transfer-Encoding: gzip, chunked\r\n", ""),
            Malformed::Encoding,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "",
            ),
            Malformed::Encoding,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            Malformed::Encoding,
        ),
        (post("A: b\r\n c\r\n", ""), Malformed::Folded),
        (post("A: b\r\n\tc\r\n", ""), Malformed::Folded),
        (post("A: b\rc\r\n", ""), Malformed::BareCr),
        (post("A: b\n", ""), Malformed::BareLf),
        ("POST / HTTP/1.1\nHost: x\n\n".into(), Malformed::BareLf),
        ("\r\nPOST / HTTP/1.1\r\n\r\n".into(), Malformed::Syntax),
        (post("A b: c\r\n", ""), Malformed::Syntax),
        (post("A : c\r\n", ""), Malformed::Syntax),
        (post(": c\r\n", ""), Malformed::Syntax),
        (post("no colon\r\n", ""), Malformed::Syntax),
        (post("A: b\0c\r\n", ""), Malformed::Syntax),
        (post("A: b\u{7f}c\r\n", ""), Malformed::Syntax),
        (post("Ä: b\r\n", ""), Malformed::Syntax),
        ("POST /\r\n\r\n".into(), Malformed::Syntax),
        ("POST  / HTTP/1.1\r\n\r\n".into(), Malformed::Syntax),
        ("PO(ST / HTTP/1.1\r\n\r\n".into(), Malformed::Syntax),
        ("POST / HTTP/2.0\r\n\r\n".into(), Malformed::Version),
        ("POST / http/1.1\r\n\r\n".into(), Malformed::Version),
        (chunks("x\r\n"), Malformed::ChunkSize),
        (chunks("\r\n"), Malformed::ChunkSize),
        (chunks("-1\r\n"), Malformed::ChunkSize),
        (chunks("0x1\r\n"), Malformed::ChunkSize),
        (chunks("1 \r\na\r\n"), Malformed::ChunkSize),
        (chunks("10000000000000000\r\n"), Malformed::ChunkSize),
        (chunks("1;\u{1}\r\na\r\n"), Malformed::ChunkSize),
        (chunks("ffffffffffffffff\r\n"), Malformed::BodyTooLarge),
        (chunks("100001\r\n"), Malformed::BodyTooLarge),
        (
            chunks(&format!("1;{}\r\n", "x".repeat(300))),
            Malformed::ChunkLine,
        ),
        (chunks("1\r\nab"), Malformed::ChunkEnd),
        (chunks("1\r\na\n"), Malformed::ChunkEnd),
        (chunks("1\na\n"), Malformed::BareLf),
        (chunks("1\rx"), Malformed::BareCr),
        (chunks("0\r\nno colon\r\n\r\n"), Malformed::Trailers),
        (chunks("0\r\n folded: x\r\n\r\n"), Malformed::Trailers),
        (
            chunks(&format!("0\r\nA: {}\r\n", "x".repeat(9000))),
            Malformed::Trailers,
        ),
        (
            chunks(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(33))),
            Malformed::Trailers,
        ),
        (
            post(&format!("A: {}\r\n", "x".repeat(70_000)), ""),
            Malformed::HeadTooLarge,
        ),
        (
            format!("POST /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)),
            Malformed::HeadTooLarge,
        ),
        (post(&"A: b\r\n".repeat(256), ""), Malformed::TooManyHeaders),
        (post("Content-Length: 5\r\n", "abc"), Malformed::Truncated),
        (chunks("5\r\nabc"), Malformed::Truncated),
        ("POST / HT".into(), Malformed::Truncated),
    ] {
        let shown: String = bytes.chars().take(200).collect();
        assert_eq!(requests(bytes.as_bytes()), Err(expected), "{shown:?}");
    }
    let not_utf8 = b"POST / HTTP/1.1\r\nA: \xff\r\n\r\n";
    assert_eq!(requests(not_utf8), Err(Malformed::NotUtf8));
}

#[test]
fn wrong_responses_are_refused() {
    for (bytes, expected) in [
        (
            &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
            Malformed::Informational,
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            Malformed::Informational,
        ),
        (b"HTTP/2 200 OK\r\n\r\n", Malformed::Version),
        (b"HTTP/1.1 20 OK\r\n\r\n", Malformed::Syntax),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Malformed::Syntax),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Malformed::Folded),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            Malformed::TwoLengths,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx",
            Malformed::Truncated,
        ),
    ] {
        assert_eq!(responses(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn nothing_is_allocated_for_what_a_peer_says_will_come() {
    let bounds = Bounds {
        body: 64 << 20,
        ..BOUNDS
    };
    let mut decoder = Decoder::new(Role::Request, bounds);
    let mut inbox = BytesMut::new();
    inbox.extend_from_slice(b"POST / HTTP/1.1\r\nContent-Length: 67108864\r\n\r\n");
    assert!(decoder.decode(&mut inbox).unwrap().is_none());
    let mut received = 0;
    while received < 1 << 20 {
        // As a read does: room first, then what came.
        if inbox.capacity() - inbox.len() < 1024 {
            inbox.reserve(decoder.room(&inbox));
        }
        inbox.extend_from_slice(&[0; 1000]);
        received += 1000;
        assert!(decoder.decode(&mut inbox).unwrap().is_none());
        let capacity = inbox.capacity();
        assert!(
            capacity <= 4 * received.max(8 * 1024),
            "{capacity} for {received}"
        );
    }
}

#[test]
fn a_large_body_does_not_keep_its_buffer() {
    let mut decoder = Decoder::new(Role::Request, BOUNDS);
    let mut inbox = BytesMut::new();
    inbox.extend_from_slice(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    inbox.extend_from_slice(&vec![7; 1_000_000]);
    inbox.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let message = decoder.decode(&mut inbox).unwrap().unwrap();
    assert_eq!(message.body.len(), 1_000_000);
    drop(message);
    inbox.reserve(1);
    assert!(inbox.capacity() < 64 * 1024, "{}", inbox.capacity());
}

#[test]
fn an_outbox_keeps_the_order_of_copied_and_shared_parts() {
    let mut outbox = Outbox::default();
    let large = bytes::Bytes::from(vec![b'l'; 20_000]);
    outbox.buffer().extend_from_slice(b"head ");
    outbox.push(&"small ".into());
    outbox.push(&large);
    let mut other = Outbox::default();
    other.buffer().extend_from_slice(b"next ");
    other.push(&large);
    other.push(&"end".into());
    outbox.append(&mut other);
    assert!(other.is_empty());
    let expected = [b"head small ", &large[..], b"next ", &large, b"end"].concat();
    assert_eq!(outbox.len(), expected.len());
    let (mut near, mut far) = tokio::io::duplex(7_000);
    let mut written = 0;
    let mut read = Vec::new();
    let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        let wrote = outbox.poll_write(&mut near, &mut written, task);
        let mut buffer = [0; 10_000];
        let mut part = tokio::io::ReadBuf::new(&mut buffer);
        let _ = tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut far), task, &mut part);
        read.extend_from_slice(part.filled());
        if wrote.is_ready() {
            break;
        }
    }
    assert_eq!((read, written), (expected.clone(), expected.len()));
}

#[test]
fn numbers_are_written_in_decimal() {
    for number in [0, 7, 10, 12_345, u64::from(u32::MAX), u64::MAX] {
        let mut out = BytesMut::new();
        put_decimal(&mut out, number);
        assert_eq!(out, number.to_string().as_bytes());
    }
}
