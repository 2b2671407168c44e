//! Recorded conversations with something changed: neither side may panic, hang, or hold much.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

#[path = "braid/net.rs"]
mod net;
#[path = "braid/raw.rs"]
mod raw;
#[path = "braid/say.rs"]
mod say;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use micro_runtime::protocol::{Braid, Protocol};
use micro_runtime::router::{Core, Limits};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

use net::{Net, Pipes, channel, client};
use raw::*;
use say::{Say, Word, sized, word};

const CASES: usize = 4_000;
/// What one conversation may hold at a time, both ends and this test's own copies of it included.
const HELD: u64 = 3 << 20;

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Cuts what was said into its frames; the magic belongs to the first. A last one that is not all
/// there is left out.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut magic = MAGIC.len();
    while let Some(length) = bytes.get(magic..magic + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some((frame, rest)) = bytes.split_at_checked(magic + 16 + length) else {
            break;
        };
        frames.push(frame.to_vec());
        (bytes, magic) = (rest, 0);
    }
    frames
}

/// What a client and a server really say, both ways.
async fn recorded() -> [Vec<Vec<u8>>; 2] {
    let mut braid = Braid::default();
    braid.compress = true;
    let net = Net::of(braid, 64 * 1024, Limits::default(), Tasks::new());
    let given_up = net
        .say
        .hello(word("wait"))
        .timeout(Duration::from_millis(1));
    given_up.await.unwrap_err();
    let stays = net.say.hello(word("wait"));
    let stays = tokio::spawn(async move { stays.await });
    net.say
        .hello(word("metadata"))
        .metadata("Tenant", "blue")
        .metadata("Trace", "0123")
        .await
        .unwrap();
    net.say
        .hello(word("metadata"))
        .metadata("Tenant", "blue")
        .metadata("Trace", "4567")
        .await
        .unwrap();
    // Compressed, both ways.
    net.say.hello(sized("echo", 5000)).await.unwrap();
    net.say
        .hello(sized("echo", 200))
        .timeout(Duration::from_secs(3))
        .await
        .unwrap();
    net.say.hello(word("error")).await.unwrap_err();
    let mut replies = net
        .say
        .count(Word {
            number: 70,
            ..Word::default()
        })
        .metadata("k", "v")
        .await
        .unwrap();
    while replies.message().await.unwrap().is_some() {}
    let (mut out, mut input) = net.say.sum().await.unwrap();
    for number in 0..3 {
        out.send(Word {
            number,
            ..Word::default()
        })
        .await
        .unwrap();
        input.message().await.unwrap();
    }
    let mut upload = net.say.collect().await.unwrap();
    upload.send(word("one")).await.unwrap();
    upload.finish().await.unwrap();
    let mut held = net.say.collect().await.unwrap();
    held.send(word("hold")).await.unwrap();
    for _ in 0..5 {
        held.send(word("more")).await.unwrap();
    }
    let both = net.say.sum().await.unwrap();
    net.say.hello(word("x")).await.unwrap();
    drop((held, both));
    stays.abort();
    let (out, input) = net.pipes.tap.bytes();
    [frames(&out), frames(&input)]
}

/// Changes something in a conversation, as often as not something small.
struct Mutator(fastrand::Rng);

impl Mutator {
    fn number(&mut self) -> u32 {
        let any = self.0.u32(..);
        *self
            .0
            .choice(&[
                0,
                1,
                2,
                3,
                7,
                127,
                128,
                255,
                256,
                65_535,
                65_536,
                u32::MAX - 1,
                u32::MAX,
                any,
            ])
            .unwrap()
    }

    /// A place in a frame; the magic is not a part of its head.
    fn head(frames: &[Vec<u8>], at: usize) -> usize {
        if at == 0 && frames[0].starts_with(&MAGIC) {
            MAGIC.len()
        } else {
            0
        }
    }

    fn fix_length(frame: &mut [u8], head: usize) {
        let length = (frame.len() - head).saturating_sub(16) as u32;
        frame[head..head + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn change(&mut self, frames: &mut Vec<Vec<u8>>) {
        // The opening is changed oftener than it would be by chance.
        let at = if self.0.u32(..16) == 0 {
            0
        } else {
            self.0.usize(..frames.len())
        };
        let head = Self::head(frames, at);
        let other = self.0.usize(..frames.len());
        let number = self.number();
        let frame = &mut frames[at];
        if frame.len() < head + 16 {
            return;
        }
        let payload = head + 16;
        match self.0.u32(..26) {
            0 => {
                let place = self.0.usize(..frame.len());
                frame[place] ^= 1 << self.0.u32(..8);
            }
            1 => {
                let place = self.0.usize(..frame.len());
                frame[place] = number as u8;
            }
            2 => frame[head..head + 4].copy_from_slice(&number.to_le_bytes()),
            3 => frame[head + 4] = self.0.u8(..14),
            4 => frame[head + 5] ^= 1 << self.0.u32(..8),
            5 => frame[head + 6..head + 8].copy_from_slice(&(number as u16).to_le_bytes()),
            6 => frame[head + 8..head + 12].copy_from_slice(&number.to_le_bytes()),
            7 => frame[head + 8] = frame[head + 8].wrapping_add(self.0.u8(..3)).wrapping_sub(1),
            8 => {
                frame[head + 12] = frame[head + 12]
                    .wrapping_add(self.0.u8(..5))
                    .wrapping_sub(2)
            }
            9 if frame.len() > payload => {
                let keep = self.0.usize(payload..frame.len());
                frame.truncate(keep);
                Self::fix_length(frame, head);
            }
            10 => {
                frame.extend((0..1 + number % 40).map(|_| self.0.u8(..)));
                Self::fix_length(frame, head);
            }
            11 if frame.len() >= payload + 2 => {
                // Numbers are where a payload begins, oftener than elsewhere.
                let end = if self.0.bool() {
                    payload + 1
                } else {
                    frame.len() - 1
                };
                let place = self.0.usize(payload..end);
                frame[place..place + 2].copy_from_slice(&(number as u16).to_le_bytes());
            }
            12 if frame.len() >= payload + 4 => {
                let place = self.0.usize(payload..frame.len() - 3);
                frame[place..place + 4].copy_from_slice(&number.to_le_bytes());
            }
            13 if frame.len() > payload => {
                let place = self.0.usize(payload..frame.len());
                frame[place] = 0xff;
            }
            14 if at > 0 => drop(frames.remove(at)),
            15 => {
                // In one piece: nothing is taken in between.
                let again = frames[at].repeat(1 + number as usize % 200);
                frames.insert(other, again);
            }
            16 if at > 0 && other > 0 => frames.swap(at, other),
            17 => frames.truncate(at + 1),
            18 => {
                let keep = self.0.usize(..frame.len());
                frames[at].truncate(keep);
                frames.truncate(at + 1);
            }
            _ => {
                let last = frames.len();
                let kind = [PING, CREDIT, GOAWAY, MESSAGE, END, CANCEL][self.0.usize(..6)];
                let mut number = u64::from(number).to_le_bytes().to_vec();
                number.truncate(match kind {
                    END | CANCEL => 0,
                    _ => 8,
                });
                let mut added = raw::frame(kind, 0, 0, (0, 0), &number);
                if let Some(id) = frames[other].get(8..16).filter(|_| other > 0) {
                    added[8..16].copy_from_slice(id);
                }
                frames.insert(self.0.usize(1..=last), added);
            }
        }
    }

    fn mutate(&mut self, seed: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut frames = seed.to_vec();
        for _ in 0..self.0.usize(..3) {
            self.change(&mut frames);
        }
        frames
    }
}

/// How conversations ended, by the code of the GOAWAY; 0 where there was nothing to say.
#[derive(Default)]
struct Ends(BTreeMap<u16, usize>);

impl Ends {
    fn add(&mut self, code: u16) {
        *self.0.entry(code).or_default() += 1;
    }

    fn check(&self, side: &str, codes: &[u16]) {
        println!("{side}: {:?}", self.0);
        let accepted = self.0.get(&0).copied().unwrap_or(0);
        let all: usize = self.0.values().sum();
        assert!(
            accepted * 5 >= all,
            "{side}: only {accepted} of {all} were accepted"
        );
        for code in codes {
            assert!(
                self.0.contains_key(code),
                "{side}: nothing was refused with {code}"
            );
        }
    }
}

/// A short message in pieces of two bytes.
fn short_pieces(
    kind: u8,
    flags: u8,
    route: u16,
    id: (u32, u32),
    fields: &[u8],
    message: &[u8],
) -> Vec<Vec<u8>> {
    let (first, rest) = message.split_at(2);
    let total = (message.len() as u32).to_le_bytes();
    let begin = [fields, &total[..], first].concat();
    let mut frames = vec![frame(kind, flags | MORE, route, id, &begin)];
    let count = rest.chunks(2).len();
    for (i, piece) in rest.chunks(2).enumerate() {
        let more = if i + 1 < count { MORE } else { 0 };
        frames.push(frame(PIECE, more, 0, id, piece));
    }
    frames
}

/// The code of the GOAWAY in what was said, all of which must be frames.
fn said(bytes: &[u8]) -> u16 {
    if bytes.is_empty() {
        return 0;
    }
    frames(bytes)
        .into_iter()
        .filter(|frame| frame[4] == GOAWAY && !frame.starts_with(&MAGIC))
        .fold(0, |_, frame| {
            u16::from_le_bytes(frame[24..26].try_into().unwrap())
        })
}

/// Says `frames` to a server; gives what it answers.
async fn server_hears(core: &Arc<Core>, frames: &[Vec<u8>], stays: bool) -> Vec<u8> {
    let (ours, theirs) = duplex(16 * 1024);
    let (mut read, mut write) = tokio::io::split(ours);
    let mut answer = Vec::new();
    let says = async {
        for frame in frames {
            if write.write_all(frame).await.is_err() {
                break;
            }
            // Time for the answer, which a client waits for before it uses a place again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if stays {
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
        let _ = write.shutdown().await;
    };
    let braid = Braid::default();
    let serves = braid.serve(Connection::new(theirs, "raw", "server"), core.clone());
    let (_, _, ()) = tokio::join!(says, read.read_to_end(&mut answer), serves);
    answer
}

#[test]
fn a_server_survives_whatever_it_is_told() {
    let runtime = runtime();
    let tasks = runtime.block_on(async { Tasks::new() });
    let [mut seed, _] = runtime.block_on(recorded());
    // What a client of ours says seldom: short messages in pieces, and pings.
    let text = message("echo", 7);
    let names = call(
        &["/test.Say/Hello", "application/protobuf", "test.say"],
        &[],
    );
    let fields = [&names[..], &block(&[("k", "v")])].concat();
    let flags = NAMES | METADATA | BODY | LAST;
    seed.extend(short_pieces(CALL, flags, 0xffff, (90, 0), &fields, &text));
    let names = call(&["/test.Say/Sum", "application/protobuf", "test.say"], &[]);
    seed.push(frame(CALL, NAMES | STREAM, 0xffff, (91, 0), &names));
    for _ in 0..3 {
        seed.extend(short_pieces(MESSAGE, 0, 0, (91, 0), &[], &text));
    }
    seed.push(frame(END, 0, 0, (91, 0), &[]));
    seed.push(frame(PING, 0, 0, (0, 0), &[1; 8]));
    seed.push(frame(PING, 1, 0, (0, 0), &[1; 8]));
    let mut limits = Limits::default();
    limits.stream_window = 128;
    limits.calls_per_connection = 100;
    let server = runtime.block_on(async { net::server(Say::default(), limits, &tasks) });
    let mut mutator = Mutator(fastrand::Rng::with_seed(1));
    let mut ends = Ends::default();
    for case in 0..CASES {
        let told = mutator.mutate(&seed);
        let mut answer = Vec::new();
        let info = measure(|| {
            answer = runtime.block_on(server_hears(server.core(), &told, case % 4 == 0));
            // What was aborted ends at its next poll.
            runtime.block_on(tasks.idle());
        });
        ends.add(said(&answer));
        assert!(
            info.bytes_max < HELD,
            "case {case} held {} bytes",
            info.bytes_max
        );
        assert_eq!(server.core().running(), 0, "case {case}");
    }
    ends.check("server", &(1..=23).collect::<Vec<_>>());
}

/// Attacks whose few bytes would become many, where nobody counted.
fn attacks() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let names = ["/test.Say/Hello", "application/protobuf", "test.say"];
    let flags = NAMES | BODY | LAST;
    let claim = call(
        &names,
        &[&(600_u32 << 10).to_le_bytes()[..], &[0; 3]].concat(),
    );
    let key = "k".repeat(60);
    let pairs: Vec<_> = (0..100).map(|_| (&*key, "v")).collect();
    let deflated = |length: u32| {
        // A stored block that says nothing of what it claims to become.
        let packed = [
            &[1][..],
            &length.to_le_bytes(),
            &[0x78, 1, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1],
        ];
        call(&names, &packed.concat())
    };
    vec![
        (
            "a hundred messages that claim to be long",
            (0..100)
                .map(|i| frame(CALL, flags | MORE, 0xffff, (i, 0), &claim))
                .collect(),
        ),
        (
            "pieces of a byte",
            std::iter::once(frame(CALL, flags | MORE, 0xffff, (0, 0), &claim))
                .chain((0..20_000).map(|_| frame(PIECE, MORE, 0, (0, 0), &[7])))
                .collect(),
        ),
        (
            "pairs that are remembered again and again",
            (0..50)
                .map(|i| {
                    let payload = [&call(&names, &kept(&pairs))[..], &message("x", 0)].concat();
                    frame(CALL, flags | METADATA, 0xffff, (0, i), &payload)
                })
                .collect(),
        ),
        (
            "what claims to become long",
            (0..100)
                .map(|i| frame(CALL, flags | PACKED, 0xffff, (i, 0), &deflated(64 << 20)))
                .collect(),
        ),
        (
            "generations without end",
            (0..20_000)
                .map(|i| frame(CALL, flags, 0xffff, (99, i * 7), &call(&names, &[])))
                .collect(),
        ),
        (
            "pings without end",
            (0..20_000)
                .map(|_| frame(PING, 0, 0, (0, 0), &[0; 8]))
                .collect(),
        ),
        (
            "late pieces, cancels and credits",
            std::iter::once(frame(CALL, flags, 0xffff, (0, 5), &call(&names, &[])))
                .chain((0..7000).flat_map(|_| {
                    [
                        frame(PIECE, MORE, 0, (0, 4), &[7; 9]),
                        frame(CANCEL, 0, 0, (0, 5), &[]),
                        frame(CREDIT, 0, 0, (0, 4), &credit(1, 1)),
                    ]
                }))
                .collect(),
        ),
    ]
}

#[test]
fn an_attack_holds_little() {
    let runtime = runtime();
    let tasks = runtime.block_on(async { Tasks::new() });
    let mut limits = Limits::default();
    limits.calls_per_connection = 100;
    let server = runtime.block_on(async { net::server(Say::default(), limits, &tasks) });
    for (what, frames) in attacks() {
        // In one write, so that nothing is taken in between.
        let told = [raw::opening(PLENTY), frames.concat()];
        let sent: usize = told.iter().map(Vec::len).sum();
        let info = measure(|| {
            runtime.block_on(server_hears(server.core(), &told, false));
            runtime.block_on(tasks.idle());
        });
        println!("{what}: {sent} bytes hold {}", info.bytes_max);
        assert!(
            info.bytes_max < HELD,
            "{what} holds {} bytes",
            info.bytes_max
        );
        assert_eq!(server.core().running(), 0, "{what}");
    }
}

/// Says `bytes` to a client that has made its calls; gives what it says after them.
async fn client_hears(bytes: &[u8], calls: usize) -> (Vec<u8>, Vec<String>) {
    let (pipes, mut dialled) = Pipes::new(16 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut io = dialled.recv().await.unwrap();
        let mut opening = vec![0; raw::opening(PLENTY).len()];
        io.read_exact(&mut opening).await.unwrap();
        let (first, rest) = bytes.split_at(bytes.len().min(opening.len()));
        if io.write_all(first).await.is_err() {
            return Vec::new();
        }
        let mut peer = Raw { io };
        for _ in 0..calls {
            if tokio::time::timeout(Duration::from_secs(1), peer.next())
                .await
                .ok()
                .flatten()
                .is_none()
            {
                return Vec::new();
            }
        }
        let (mut read, mut write) = tokio::io::split(peer.io);
        let mut said = Vec::new();
        let says = async {
            let _ = write.write_all(rest).await;
            let _ = write.shutdown().await;
        };
        let _ = tokio::join!(says, read.read_to_end(&mut said));
        said
    };
    let text = |error: micro_runtime::Error| error.to_string();
    let unary = |what: &str| {
        let call = say.hello(word(what)).into_future();
        async move { call.await.map_or_else(text, |_| "answered".to_owned()) }
    };
    let stream = async {
        let (mut out, mut input) = match say.sum().await {
            Ok(both) => both,
            Err(error) => return text(error),
        };
        let sends = async { while out.send(Word::default()).await.is_ok() {} };
        let receives = async {
            loop {
                match input.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return "ended".to_owned(),
                    Err(error) => return text(error),
                }
            }
        };
        tokio::join!(sends, receives).1
    };
    // A reply may be late or left out: each call has its own end.
    let all = async { tokio::join!(biased; unary("a"), unary("b"), unary("c"), stream) };
    let ended = tokio::time::timeout(Duration::from_secs(3600), async {
        tokio::join!(server, all)
    });
    let (said, (a, b, c, d)) = ended.await.expect("a call hangs");
    drop((say, channel));
    (said, vec![a, b, c, d])
}

#[test]
fn a_client_survives_whatever_it_is_told() {
    let runtime = runtime();
    let [_, recorded] = runtime.block_on(recorded());
    let of = |kind: u8| {
        recorded
            .iter()
            .skip(1)
            .filter(move |frame| frame[4] == kind)
            .cloned()
    };
    let with_id = |mut frame: Vec<u8>, index: u8| {
        frame[8..16].fill(0);
        frame[8] = index;
        frame
    };
    // Recorded frames, for the calls that are made here: three unary ones and a stream.
    // The answers to calls 0 and 2 are in pieces and compressed.
    let mut seed = vec![recorded[0].clone()];
    let replies: Vec<_> = of(REPLY)
        .filter(|frame| frame[5] & PACKED != 0)
        .take(1)
        .collect();
    let blocks = block(&[("Seen", "yes")]);
    let flags = METADATA | BODY;
    seed.extend(short_pieces(
        REPLY,
        flags,
        0,
        (0, 0),
        &blocks,
        &message("hi", 3),
    ));
    seed.push(frame(PING, 0, 0, (0, 0), &[1; 8]));
    seed.push(with_id(of(ERROR).next().unwrap(), 1));
    seed.push(frame(
        REPLY,
        METADATA,
        0,
        (3, 0),
        &kept(&[("Opening", "here")]),
    ));
    seed.extend(of(MESSAGE).take(20).map(|frame| with_id(frame, 3)));
    seed.extend(short_pieces(
        MESSAGE,
        0,
        0,
        (3, 0),
        &[],
        &message("in pieces", 1),
    ));
    seed.push(frame(CREDIT, 0, 0, (3, 0), &credit(64, 6400)));
    seed.push(frame(
        GOAWAY,
        0,
        0,
        (0, 0),
        &goaway(4, 0, "the server stops"),
    ));
    seed.push(with_id(replies[0].clone(), 2));
    // The key that is remembered, with another value, and the pair.
    let trailers = [&[2, 3][..], &[4], b"over", &[2]].concat();
    seed.push(frame(END, TRAILERS, 0, (3, 0), &trailers));
    let (said_first, calls) = runtime.block_on(client_hears(&seed.concat(), 4));
    assert_eq!(calls[0], "answered");
    assert_eq!(
        (calls[2].as_str(), calls[3].as_str()),
        ("answered", "ended"),
        "{calls:?}"
    );
    assert_eq!(said(&said_first), 0);

    let mut mutator = Mutator(fastrand::Rng::with_seed(2));
    let mut ends = Ends::default();
    let mut openings = [0; 2];
    for case in 0..CASES {
        let bytes = mutator.mutate(&seed).concat();
        let mut heard = Default::default();
        let info = measure(|| heard = runtime.block_on(client_hears(&bytes, 4)));
        let (bytes, calls) = heard;
        openings[0] += usize::from(calls[0].contains("does not speak braid"));
        openings[1] += usize::from(calls[0].contains("is not spoken here"));
        ends.add(said(&bytes));
        assert!(
            info.bytes_max < HELD,
            "case {case} held {} bytes",
            info.bytes_max
        );
    }
    assert!(openings.iter().all(|count| *count > 0), "{openings:?}");
    // Not 16: its window is larger than what comes here at once.
    ends.check(
        "client",
        &[3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 18, 19, 21, 22, 23],
    );
}
