//! What go-micro v4.11.0 sent, read; what is no message, refused; what is written, read again.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    AUTHORITATIVE, Data, MAX_RECORDS, Malformed, Message, Name, Question, RESPONSE, Record, kind,
};

#[derive(Deserialize)]
struct Packet {
    n: usize,
    src: String,
    dst: String,
    hex: String,
}

/// The captured datagrams, in their order: three probes, three announcements, a question for all
/// services and its answer, two questions for one and theirs, a goodbye.
pub(in super::super) fn captured() -> Vec<Vec<u8>> {
    let packets: Vec<Packet> = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/mdns/packets.json"
    )))
    .expect("the capture is JSON");
    let byte = |pair: &[u8]| {
        u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("two digits")
    };
    packets
        .iter()
        .enumerate()
        .map(|(at, packet)| {
            assert_eq!(packet.n, at + 1, "{} to {}", packet.src, packet.dst);
            packet.hex.as_bytes().chunks(2).map(byte).collect()
        })
        .collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

const NODE: &str =
    "go.micro.srv.greeter-11111111-2222-3333-4444-555555555555.go.micro.srv.greeter.micro";

#[test]
fn everything_that_go_micro_sends_is_read() {
    let read: Vec<_> = captured()
        .iter()
        .map(|bytes| Message::read(bytes).expect("a message"))
        .collect();
    assert_eq!(read.len(), 13);
    let shape = |message: &Message| {
        (
            message.flags,
            message.questions.len(),
            message.answers.len(),
            message.authorities.len(),
            message.additionals.len(),
        )
    };
    let probe = (0, 1, 0, 2, 0);
    let unasked = (RESPONSE, 0, 3, 0, 0);
    let question = (0, 1, 0, 0, 0);
    let answer = (RESPONSE | AUTHORITATIVE, 1, 4, 0, 0);
    let shapes: Vec<_> = read.iter().map(shape).collect();
    assert_eq!(
        shapes,
        [
            probe, probe, probe, unasked, unasked, unasked, question, answer, question, answer,
            question, answer, unasked
        ]
    );
    assert!(read.iter().all(Message::is_plain));
    // The place, the address and the text of a probe, an answer and a goodbye.
    let place = |record: &Record| match &record.data {
        Data::Srv {
            priority,
            weight,
            port,
            target,
        } => (*priority, *weight, *port, target.clone(), record.ttl),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        place(&read[0].authorities[0]),
        (0, 0, 45659, name("vm"), 120)
    );
    assert_eq!(place(&read[9].answers[1]), (10, 1, 45659, name("vm"), 120));
    assert_eq!(place(&read[12].answers[0]), (10, 1, 45659, name("vm"), 0));
    assert_eq!(read[9].answers[1].name, name(NODE));
    assert_eq!(read[9].answers[0].data, Data::Ptr(name(NODE)));
    assert_eq!(
        read[9].questions,
        [Question::new(name("go.micro.srv.greeter.micro"), kind::PTR)]
    );
    let Data::Txt(text) = &read[9].answers[3].data else {
        panic!("{:?}", read[9].answers[3]);
    };
    assert_eq!(text.len(), 255 + 255 + 170);
    // The entry of all services: its text has no strings at all.
    assert_eq!(place(&read[7].answers[1]).2, 9999);
    assert_eq!(read[7].answers[2].data, Data::A([0, 0, 0, 0].into()));
    assert_eq!(read[7].answers[3].data, Data::Txt(Vec::new()));
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for bytes in captured() {
        let message = Message::read(&bytes).expect("a message");
        let written = message.write().expect("a datagram");
        // Compression is all that is lost.
        assert!(written.len() >= bytes.len());
        assert_eq!(Message::read(&written), Ok(message));
    }
    let all = Message {
        id: 7,
        flags: RESPONSE,
        answers: vec![
            Record::new(
                name("a"),
                1,
                Data::Aaaa("fd00::1".parse().expect("an address")),
            ),
            Record::new(name("b"), u32::MAX, Data::Txt(vec![b'x'; 600])),
            Record::new(name("c"), 0, Data::Other(47)),
        ],
        ..Message::default()
    };
    assert_eq!(Message::read(&all.write().expect("a datagram")), Ok(all));
}

#[test]
fn a_message_cut_anywhere_is_no_message() {
    for bytes in captured() {
        for cut in 0..bytes.len() {
            let read = Message::read(&bytes[..cut]);
            assert!(read.is_err(), "{cut} of {}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"more");
        assert_eq!(Message::read(&longer), Message::read(&bytes));
    }
}

/// A message with these counts and this behind them.
fn message(counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x84, 0];
    for count in counts {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn names_that_lead_in_circles_are_refused() {
    let question = |name: &[u8]| {
        let rest = [name, &[0, 12, 0, 1]].concat();
        Message::read(&message([1, 0, 0, 0], &rest))
    };
    assert_eq!(
        question(b"\x01a\x00").map(|read| read.questions[0].name.clone()),
        Ok(name("a"))
    );
    // To itself, forwards, to a label of the same name, to the pointer before.
    for wrong in [
        &b"\xc0\x0c"[..],
        b"\xc0\x20",
        b"\x01a\xc0\x0c",
        b"\x01a\x01b\xc0\x0e",
        b"\xff\xff",
    ] {
        assert_eq!(question(wrong), Err(Malformed::Pointer), "{wrong:?}");
    }
    // Into the head, where two zeros are the end of a name: odd, and harmless.
    assert!(question(b"\x01a\xc0\x04").is_ok());
    assert_eq!(question(b"\x40"), Err(Malformed::Label));
    assert_eq!(question(b"\x80a"), Err(Malformed::Label));
    assert_eq!(
        question(&[&[63; 64][..]; 5].concat()),
        Err(Malformed::LongName)
    );
}

#[test]
fn chains_of_pointers_are_cut() {
    // In a text: a name, and pointers each to the one before.
    let chain = |jumps: usize| {
        let mut text = b"\x01a\x00".to_vec();
        let start = 12 + 1 + 10 + 1;
        for at in 0..jumps {
            let to = if at == 0 {
                start
            } else {
                start + 3 + 2 * (at - 1)
            };
            text.extend_from_slice(&(0xc000 | to as u16).to_be_bytes());
        }
        let mut rest = vec![0, 0, 16, 0, 1, 0, 0, 0, 9];
        rest.extend_from_slice(&(text.len() as u16 + 1).to_be_bytes());
        rest.push(text.len() as u8);
        rest.extend_from_slice(&text);
        let last = 12 + rest.len() - 2;
        rest.extend_from_slice(&(0xc000 | last as u16).to_be_bytes());
        rest.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1]);
        Message::read(&message([0, 2, 0, 0], &rest))
    };
    assert_eq!(
        chain(20).map(|read| read.answers[1].name.clone()),
        Ok(name("a"))
    );
    assert_eq!(chain(40), Err(Malformed::Pointer));
}

#[test]
fn lengths_that_lie_are_refused() {
    let record = |kind: u16, length: u16, contents: &[u8]| {
        let mut rest = vec![0];
        rest.extend_from_slice(&kind.to_be_bytes());
        rest.extend_from_slice(&[0, 1, 0, 0, 0, 9]);
        rest.extend_from_slice(&length.to_be_bytes());
        rest.extend_from_slice(contents);
        Message::read(&message([0, 1, 0, 0], &rest)).map(|_| ())
    };
    assert_eq!(record(kind::A, 4, &[1; 4]), Ok(()));
    assert_eq!(record(kind::A, 3, &[1; 3]), Err(Malformed::Length));
    assert_eq!(record(kind::A, 5, &[1; 4]), Err(Malformed::Truncated));
    assert_eq!(record(kind::AAAA, 4, &[1; 4]), Err(Malformed::Length));
    assert_eq!(record(kind::TXT, 2, &[5, b'a']), Err(Malformed::Length));
    assert_eq!(
        record(kind::PTR, 4, b"\x01a\x00\x00"),
        Err(Malformed::Length)
    );
    assert_eq!(
        record(kind::PTR, 2, b"\x01a\x00\x00"),
        Err(Malformed::Length)
    );
    assert_eq!(record(kind::SRV, 3, &[0; 3]), Err(Malformed::Truncated));
    // What is not read may be anything.
    assert_eq!(record(47, 3, &[0xff; 3]), Ok(()));
}

#[test]
fn a_count_is_a_claim() {
    let many = u16::try_from(MAX_RECORDS).expect("a small number");
    assert_eq!(
        Message::read(&message([0, many, 0, 1], &[])),
        Err(Malformed::TooMany)
    );
    assert_eq!(
        Message::read(&message([u16::MAX; 4], &[])),
        Err(Malformed::TooMany)
    );
    assert_eq!(
        Message::read(&message([0, many, 0, 0], &[])),
        Err(Malformed::Truncated)
    );
}

#[test]
fn what_no_datagram_holds_is_not_written() {
    let text = |size| Message {
        answers: vec![Record::new(name("a"), 1, Data::Txt(vec![b'x'; size]))],
        ..Message::default()
    };
    assert!(text(60_000).write().is_ok());
    for size in [64_900, 70_000, 1 << 20] {
        assert_eq!(text(size).write(), Err(Malformed::TooLarge), "{size}");
    }
}

/// Parts that make a message wrong in each of the ways there are.
const PARTS: [&[u8]; 12] = [
    b"\xc0\x0c",
    b"\xc0\x00",
    b"\xff\xff",
    b"\x00",
    b"\x3f",
    b"\x40",
    b"\x05micro\x00",
    b"\x00\x10\x00\x01\x00\x00\x00\x78\x00\x00",
    b"\x00\x21\x00\x01\x00\x00\x00\x78\x00\x08",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    &[0x3f; 300],
    &[0xc0; 300],
];

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(..=bytes.len());
    match random.u8(..7) {
        0 | 1 if at < bytes.len() => bytes[at] = random.u8(..),
        2 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        3 => bytes.truncate(at),
        4 if at < bytes.len() => {
            bytes.remove(at);
        }
        _ => {
            let part = PARTS[random.usize(..PARTS.len())];
            let end = match random.bool() {
                true => at,
                false => (at + part.len()).min(bytes.len()),
            };
            bytes.splice(at..end, part.iter().copied());
        }
    }
}

#[test]
fn mutated_captures_are_read_or_refused_and_never_cost_much() {
    let mut random = fastrand::Rng::with_seed(1);
    let seeds = captured();
    let (mut accepted, tried) = (0, 40_000);
    let mut refused: BTreeMap<Malformed, usize> = BTreeMap::new();
    for _ in 0..tried {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..4) {
            mutate(&mut random, &mut bytes);
        }
        let mut read = Err(Malformed::Truncated);
        let cost = allocation_counter::measure(|| read = Message::read(&bytes));
        // A record takes some hundred bytes with its name, and lists grow by doubling.
        let bound = 64 * bytes.len() as u64 + 16 * 1024;
        assert!(
            cost.bytes_max <= bound,
            "{} for {}",
            cost.bytes_max,
            bytes.len()
        );
        match read {
            Ok(message) => {
                accepted += 1;
                let written = message.write().expect("no larger than what was read");
                assert_eq!(Message::read(&written), Ok(message));
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                *refused.entry(error).or_default() += 1;
            }
        }
    }
    assert!(accepted * 5 > tried, "{accepted} of {tried}");
    for error in [
        Malformed::Truncated,
        Malformed::LongName,
        Malformed::Label,
        Malformed::Pointer,
        Malformed::Length,
        Malformed::TooMany,
    ] {
        assert!(refused.contains_key(&error), "{error:?} never came");
    }
}

#[test]
fn junk_of_any_size_is_refused_or_read() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..20_000 {
        let mut junk = vec![0; random.usize(..600)];
        random.fill(&mut junk);
        // Counts that pass, so that what follows is looked at.
        for at in (4..junk.len().min(12)).step_by(2) {
            junk[at] = 0;
        }
        let _ = Message::read(&junk);
    }
}

#[test]
fn the_costliest_message_costs_little() {
    // As many records as there may be, each with the longest name by a pointer.
    let long = name(&[&"x".repeat(63)[..]; 4].join(".")[..250]);
    let mut bytes = message([0, 256, 0, 0], &[]);
    bytes.extend_from_slice(long.bytes());
    bytes.extend_from_slice(b"\x00\x00\x0c\x00\x01\x00\x00\x00\x78\x00\x02\xc0\x0c");
    for _ in 1..MAX_RECORDS {
        bytes.extend_from_slice(b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x00\x78\x00\x02\xc0\x0c");
    }
    let mut read = Err(Malformed::Truncated);
    let cost = allocation_counter::measure(|| read = Message::read(&bytes));
    assert_eq!(read.map(|message| message.answers.len()), Ok(MAX_RECORDS));
    assert!(cost.bytes_max < 300 * 1024, "{}", cost.bytes_max);
}
