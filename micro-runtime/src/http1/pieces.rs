//! Messages whose bodies are taken in pieces: the same as those that are taken whole.

use bytes::BytesMut;

use super::tests::{BOUNDS, Plain, captures, decode_in, plain};
use super::{Bounds, Decoder, Malformed, Message, Piece, Role, Trailers};

/// The messages in `bytes` as [`decode_in`] gives them, and the longest piece of their bodies.
pub(super) fn decode_pieces(
    role: Role,
    bounds: Bounds,
    bytes: &[u8],
    cuts: &[usize],
) -> (Result<Vec<Plain>, Malformed>, usize) {
    let mut taken = Taken {
        decoder: Decoder::new(role, bounds),
        inbox: BytesMut::new(),
        current: None,
        messages: Vec::new(),
        longest: 0,
    };
    let result = taken.take_all(bytes, cuts);
    (result.map(|()| taken.messages), taken.longest)
}

struct Taken {
    decoder: Decoder,
    inbox: BytesMut,
    current: Option<(Message, Vec<u8>)>,
    messages: Vec<Plain>,
    longest: usize,
}

impl Taken {
    fn take_all(&mut self, bytes: &[u8], cuts: &[usize]) -> Result<(), Malformed> {
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            assert!(self.decoder.room(&self.inbox) <= 16 * 1024);
            self.inbox.extend_from_slice(&bytes[from..to]);
            from = to;
            while self.step()? {}
        }
        if self.current.is_some() {
            self.decoder.end_piece()?;
            self.finish();
            return Ok(());
        }
        self.decoder.end(&mut self.inbox).map(|_| ())
    }

    fn step(&mut self) -> Result<bool, Malformed> {
        let Some((_, body)) = &mut self.current else {
            if self.decoder.head(&mut self.inbox)?.is_none() {
                return Ok(false);
            }
            let opening = self.decoder.open().unwrap();
            let message = Message {
                head: opening.head,
                body: Default::default(),
                keep_alive: opening.keep_alive,
            };
            self.current = Some((message, Vec::new()));
            return Ok(true);
        };
        match self.decoder.piece(&mut self.inbox)? {
            Piece::Nothing => return Ok(false),
            Piece::Data(piece) => {
                assert!(!piece.is_empty());
                self.longest = self.longest.max(piece.len());
                body.extend_from_slice(&piece);
            }
            Piece::End(_) => self.finish(),
        }
        Ok(true)
    }

    fn finish(&mut self) {
        let (mut message, body) = self.current.take().unwrap();
        message.body = body.into();
        self.messages.push(plain(&message));
    }
}

#[test]
fn every_capture_is_the_same_in_pieces() {
    for (name, role, bytes) in captures() {
        let whole = decode_in(role, BOUNDS, &bytes, &[]);
        let cuts: Vec<_> = (0..bytes.len()).collect();
        for cuts in [&[][..], &cuts] {
            let (pieces, _) = decode_pieces(role, BOUNDS, &bytes, cuts);
            assert_eq!(pieces, whole, "{name}");
        }
    }
}

#[test]
fn a_long_body_comes_in_pieces_of_bounded_length() {
    let body = vec![b'x'; 500_000];
    let head = "POST /a.B/C HTTP/1.1\r\nHost: x\r\n";
    let length = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    let mut plain = length.into_bytes();
    plain.extend_from_slice(&body);
    for chunk in [1, 7, 5_000, 70_000, 500_000] {
        let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for part in body.chunks(chunk) {
            chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        for bytes in [&plain, &chunked] {
            let cuts: Vec<_> = (0..bytes.len()).step_by(9_999).collect();
            for cuts in [&[][..], &cuts] {
                let (read, longest) = decode_pieces(Role::Request, BOUNDS, bytes, cuts);
                assert_eq!(read.unwrap()[0].body, body);
                assert!(longest <= 16 * 1024, "{longest}");
            }
        }
    }
}

#[test]
fn trailers_come_with_the_end() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\na\r\n0\r\nGrpc-Status: 0\r\nX-a: b\r\n\r\n";
    let mut decoder = Decoder::new(Role::Response, BOUNDS);
    let mut inbox = BytesMut::from(&bytes[..]);
    assert!(decoder.head(&mut inbox).unwrap().is_some());
    let opening = decoder.open().unwrap();
    assert_eq!((opening.length, opening.keep_alive), (None, true));
    assert!(matches!(decoder.piece(&mut inbox), Ok(Piece::Data(data)) if data == "a"));
    let Ok(Piece::End(trailers)) = decoder.piece(&mut inbox) else {
        panic!("no end");
    };
    let expected: Trailers = vec![
        ("Grpc-Status".into(), "0".into()),
        ("X-a".into(), "b".into()),
    ];
    assert_eq!(trailers, expected);
    assert!(decoder.is_between(&inbox));
}

#[test]
fn a_few_informational_responses_are_passed_over() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let informed = |count: usize| {
        let bytes = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(count) + answer;
        decode_pieces(Role::Response, BOUNDS, bytes.as_bytes(), &[]).0
    };
    assert_eq!(informed(0).unwrap(), informed(8).unwrap());
    assert_eq!(informed(9).unwrap_err(), Malformed::Informational);
}

#[test]
fn a_body_in_pieces_that_is_cut_off_is_truncated() {
    for rest in [
        "Content-Length: 5\r\n\r\nabcd",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\n{rest}");
        let (read, _) = decode_pieces(Role::Request, BOUNDS, bytes.as_bytes(), &[]);
        assert_eq!(read.unwrap_err(), Malformed::Truncated, "{rest:?}");
    }
}
