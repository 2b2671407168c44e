//! Captured messages, changed at random: read or refused, the same way however they come.

use super::pieces::decode_pieces;
use super::tests::{captures, decode_in};
use super::{Bounds, Malformed, Role};

const SMALL: Bounds = Bounds {
    head: 1200,
    headers: 24,
    body: 2000,
};

/// Parts that make bytes wrong in each of the ways there are.
const PARTS: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\xff",
    "é".as_bytes(),
    b":",
    b"\r\n ",
    b"\r\n\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999\r\n",
    b"Content-Length: 5x\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Micro-Stream: 1\r\n",
    b"A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\
      A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n",
    b"0\r\n\r\n",
    b"5\r\nabcde\r\n",
    b"5;x=y\r\nabcde\r\n",
    b"fffff\r\n",
    b"g\r\n",
    b"1\r\nab\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"0\r\nX y\r\n\r\n",
    &[b'x'; 300],
    &[b'y'; 1300],
    b"1",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"0\r\n x: y\r\n\r\n",
];

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(..=bytes.len());
    match random.u8(..8) {
        0 if at < bytes.len() => bytes[at] = random.u8(..),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 => {
            bytes.remove(at.min(bytes.len().saturating_sub(1)));
        }
        4 => {
            // A line again, or without.
            let line = bytes[..at].iter().rposition(|byte| *byte == b'\n');
            let begin = line.map_or(0, |line| line + 1);
            let part: Vec<u8> = bytes[begin..at].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let part = PARTS[random.usize(..PARTS.len())];
            // Mostly at the beginning of a line, where it means something.
            let lines: Vec<_> = (0..bytes.len())
                .filter(|at| *at == 0 || bytes[at - 1] == b'\n')
                .collect();
            let at = match lines.is_empty() || random.u8(..4) == 0 {
                true => at,
                false => lines[random.usize(..lines.len())],
            };
            bytes.splice(at..at, part.iter().copied());
        }
    }
    if bytes.is_empty() {
        bytes.push(b'P');
    }
}

#[test]
fn mutated_captures_are_read_or_refused_alike_however_they_come() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seeds: Vec<_> = captures()
        .into_iter()
        .filter(|(_, _, bytes)| !bytes.is_empty() && bytes.len() < 1500)
        .map(|(_, role, bytes)| (role, bytes))
        .collect();
    let chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n";
    seeds.extend(std::iter::repeat_n((Role::Request, chunked.to_vec()), 8));
    let until_close = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end";
    seeds.extend(std::iter::repeat_n(
        (Role::Response, until_close.to_vec()),
        2,
    ));
    let mut accepted = [0, 0];
    let mut tried = [0, 0];
    let mut refused = std::collections::BTreeSet::new();
    for _ in 0..30_000 {
        let (role, seed) = &seeds[random.usize(..seeds.len())];
        let mut bytes = seed.clone();
        for _ in 0..random.usize(1..3) {
            mutate(&mut random, &mut bytes);
        }
        let whole = decode_in(*role, SMALL, &bytes, &[]);
        let mut cuts: Vec<_> = (0..random.usize(..6))
            .map(|_| random.usize(..=bytes.len()))
            .collect();
        cuts.sort_unstable();
        let parts = decode_in(*role, SMALL, &bytes, &cuts);
        assert_eq!(whole, parts, "{}", bytes.escape_ascii());
        let (pieces, _) = decode_pieces(*role, SMALL, &bytes, &cuts);
        // Only a whole message bounds its body, and only pieces pass over what informs.
        if !matches!(
            whole,
            Err(Malformed::BodyTooLarge | Malformed::Informational)
        ) {
            assert_eq!(whole, pieces, "{}", bytes.escape_ascii());
        }
        let side = usize::from(*role == Role::Response);
        tried[side] += 1;
        match whole {
            Ok(messages) => {
                accepted[side] += 1;
                for message in messages {
                    assert!(message.body.len() <= SMALL.body);
                    assert!(message.fields.len() <= SMALL.headers);
                }
            }
            Err(error) => {
                refused.insert(format!("{error:?}"));
            }
        }
    }
    for (accepted, tried) in accepted.iter().zip(tried) {
        assert!(accepted * 5 > tried, "{accepted} of {tried}");
    }
    let all = [
        Malformed::HeadTooLarge,
        Malformed::TooManyHeaders,
        Malformed::BareCr,
        Malformed::BareLf,
        Malformed::Folded,
        Malformed::Syntax,
        Malformed::Version,
        Malformed::NotUtf8,
        Malformed::LengthAndEncoding,
        Malformed::TwoLengths,
        Malformed::Length,
        Malformed::Encoding,
        Malformed::BodyTooLarge,
        Malformed::ChunkSize,
        Malformed::ChunkLine,
        Malformed::ChunkEnd,
        Malformed::Trailers,
        Malformed::Informational,
        Malformed::Truncated,
    ];
    for error in all {
        assert!(
            refused.contains(&format!("{error:?}")),
            "{error:?} never came"
        );
        assert!(!error.to_string().is_empty());
    }
}
