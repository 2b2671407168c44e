//! The bytes: what each side sends, what it refuses, and that both are the same in every run.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_runtime::protocol::{Braid, Protocol, Recognised};
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::net::{Net, Pipes, channel, client};
use crate::raw::*;
use crate::say::{Word, count, word};

const HELLO_NAMES: [&str; 3] = ["/test.Say/Hello", "application/protobuf", "test.say"];
const SUM_NAMES: [&str; 3] = ["/test.Say/Sum", "application/protobuf", "test.say"];

fn pipe(net: &Net) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    net.server.attach(Connection::new(theirs, "raw", "server"));
    ours
}

async fn raw(net: &Net) -> Raw {
    Raw::client(pipe(net)).await
}

/// The GOAWAY that a connection ends with.
async fn ends_with(peer: &mut Raw) -> (u64, u16, String) {
    loop {
        let seen = peer.next().await.expect("a GOAWAY before the end");
        if seen.kind == GOAWAY {
            let taken = u64::from_le_bytes(seen.payload[..8].try_into().unwrap());
            let code = u16::from_le_bytes(seen.payload[8..10].try_into().unwrap());
            assert!(peer.next().await.is_none(), "nothing follows");
            return (
                taken,
                code,
                String::from_utf8(seen.payload[10..].to_vec()).unwrap(),
            );
        }
    }
}

#[test]
fn the_first_bytes_tell_it_from_everything_else() {
    for n in 0..MAGIC.len() {
        assert_eq!(Braid.recognises(&MAGIC[..n]), Recognised::Perhaps);
    }
    assert_eq!(Braid.recognises(&opening(PLENTY)), Recognised::Yes);
    for other in [
        &b"POST / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/2.0",
        &[0x16, 3, 1],
        &[0x29, 0x7f, 3, 1, 1],
        &[0xC7, b'm', b'x'],
    ] {
        assert_eq!(Braid.recognises(other), Recognised::No);
    }
}

#[tokio::test]
async fn the_bytes_of_a_call_are_as_documented() {
    let net = Net::new();
    net.say
        .hello(word("metadata"))
        .metadata("k", "v")
        .full()
        .await
        .unwrap();
    net.say.hello(word("x")).await.unwrap();
    let (out, input) = net.pipes.tap.bytes();

    let mut expected = opening([0, 64 << 20, 128, 64 << 10, 256]);
    let named = call(
        &HELLO_NAMES,
        &[block(&[("k", "v")]), message("metadata", 0)].concat(),
    );
    expected.extend(frame(
        CALL,
        NAMES | METADATA | BODY | LAST,
        0,
        (0, 0),
        &named,
    ));
    expected.extend(frame(CALL, BODY | LAST, 0, (0, 1), &message("x", 0)));
    assert_eq!(out, expected);

    let mut expected = opening([1000, 64 << 20, 128, 64 << 10, 256]);
    let blocks = [
        block(&[("Seen", "yes"), ("Also", "this")]),
        block(&[("Took", "long")]),
    ]
    .concat();
    expected.extend(frame(
        REPLY,
        METADATA | TRAILERS | BODY,
        0,
        (0, 0),
        &[blocks, message("k=v;", 0)].concat(),
    ));
    expected.extend(frame(REPLY, BODY, 0, (0, 1), &message("x", 0)));
    assert_eq!(input, expected);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_stream_are_as_documented() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let payload = call(&SUM_NAMES, &1_000_000_u64.to_le_bytes());
    peer.send(CALL, NAMES | DEADLINE | STREAM, 0, (7, 3), &payload)
        .await;
    let seen = |kind, flags, payload: &[u8]| {
        Some(Seen {
            kind,
            flags,
            route: 0,
            id: (7, 3),
            payload: payload.to_vec(),
        })
    };
    assert_eq!(peer.next().await, seen(REPLY, 0, &[]));
    for i in 1..=64 {
        peer.send(MESSAGE, 0, 0, (7, 3), &message("", i)).await;
    }
    let mut credit = 0;
    for _ in 1..=65 {
        let seen = peer.next().await.unwrap();
        match seen.kind {
            MESSAGE => {}
            CREDIT => credit += u32::from_le_bytes(seen.payload.try_into().unwrap()),
            kind => panic!("{kind}"),
        }
    }
    assert_eq!(credit, 64, "half of the window");
    peer.send(END, 0, 0, (7, 3), &[]).await;
    assert_eq!(peer.next().await, seen(END, 0, &[]));
    // The route is known now; the place may be used again, with another generation.
    peer.send(CALL, STREAM, 0, (7, 4), &[]).await;
    assert_eq!(peer.next().await.unwrap().kind, REPLY);
    peer.send(CANCEL, 0, 0, (7, 4), &[]).await;
    net.probe.until(|probe| count(&probe.cancelled) == 1).await;
    // Frames of calls that are over are late, and no harm.
    for id in [(7, 3), (7, 4)] {
        peer.send(MESSAGE, 0, 0, id, &[]).await;
        peer.send(END, 0, 0, id, &[]).await;
        peer.send(CANCEL, 0, 0, id, &[]).await;
        peer.send(CREDIT, 0, 0, id, &9_u32.to_le_bytes()).await;
    }
    peer.send(PING, 0, 0, (0, 0), &5_u64.to_le_bytes()).await;
    let answer = peer.next().await.unwrap();
    assert_eq!(
        (answer.kind, answer.flags, answer.payload),
        (PING, 1, 5_u64.to_le_bytes().to_vec())
    );
}

#[tokio::test]
async fn an_expired_call_is_answered_as_unprocessed() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let payload = call(
        &HELLO_NAMES,
        &[&0_u64.to_le_bytes()[..], &message("x", 0)].concat(),
    );
    peer.send(CALL, NAMES | DEADLINE | BODY | LAST, 0, (0, 0), &payload)
        .await;
    let seen = peer.next().await.unwrap();
    assert_eq!((seen.kind, seen.flags & 1), (ERROR, 1));
    assert_eq!(
        i32::from_le_bytes(seen.payload[..4].try_into().unwrap()),
        408
    );
    assert_eq!(count(&net.probe.started), 0);
}

/// Frames after the opening, and the code of the GOAWAY that they are answered with.
fn wrong_frames() -> Vec<(u16, &'static str, Vec<Vec<u8>>)> {
    let hello = |rest: &[u8]| call(&HELLO_NAMES, rest);
    let unary = |id| {
        frame(
            CALL,
            NAMES | BODY | LAST,
            0,
            id,
            &hello(&message("wait", 0)),
        )
    };
    let sum = |id| frame(CALL, NAMES | STREAM, 0, id, &call(&SUM_NAMES, &[]));
    let long_pair = [
        &1_u16.to_le_bytes()[..],
        &9_u16.to_le_bytes(),
        &(1_u32 << 30).to_le_bytes(),
        b"123456789",
    ]
    .concat();
    let many = |n: usize| {
        (0..n)
            .map(|_| frame(MESSAGE, 0, 0, (0, 0), &[]))
            .collect::<Vec<_>>()
    };
    vec![
        (
            3,
            "a kind that there is not",
            vec![frame(77, 0, 0, (0, 0), &[])],
        ),
        (3, "kind 0", vec![frame(0, 0, 0, (0, 0), &[])]),
        (
            4,
            "flags that a kind does not have",
            vec![frame(MESSAGE, 1, 0, (0, 0), &[])],
        ),
        (
            4,
            "trailers of a client",
            vec![sum((0, 0)), frame(END, TRAILERS, 0, (0, 0), &block(&[]))],
        ),
        (
            5,
            "a length over the limit",
            vec![vec![
                0xff, 0xff, 0xff, 0xff, MESSAGE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]],
        ),
        (
            5,
            "a cancel of 9 bytes",
            vec![frame(CANCEL, 0, 0, (0, 0), &[0; 9])],
        ),
        (
            6,
            "names cut off",
            vec![frame(CALL, NAMES | BODY, 0, (0, 0), &hello(&[])[..9])],
        ),
        (
            6,
            "a deadline cut off",
            vec![frame(CALL, NAMES | DEADLINE, 0, (0, 0), &hello(&[1, 2]))],
        ),
        (
            6,
            "more pairs than bytes",
            vec![frame(
                CALL,
                NAMES | METADATA,
                0,
                (0, 0),
                &hello(&200_u16.to_le_bytes()),
            )],
        ),
        (
            6,
            "a credit of 3 bytes",
            vec![frame(CREDIT, 0, 0, (0, 0), &[0; 3])],
        ),
        (6, "a ping of 1 byte", vec![frame(PING, 0, 0, (0, 0), &[0])]),
        (6, "an empty GOAWAY", vec![frame(GOAWAY, 0, 0, (0, 0), &[])]),
        (
            7,
            "a message that the flags do not tell",
            vec![frame(CALL, NAMES | LAST, 0, (0, 0), &hello(&[1]))],
        ),
        (
            7,
            "a credit of 5 bytes",
            vec![frame(CREDIT, 0, 0, (0, 0), &[0; 5])],
        ),
        (
            7,
            "a cancel with bytes",
            vec![unary((0, 0)), frame(CANCEL, 0, 0, (0, 0), &[0])],
        ),
        (
            8,
            "a name that is not UTF-8",
            vec![frame(CALL, NAMES, 0, (0, 0), &[1, 0, 0xff, 0, 0, 0, 0])],
        ),
        (
            9,
            "a name of 2000 bytes",
            vec![frame(
                CALL,
                NAMES,
                0,
                (0, 0),
                &call(&[&"x".repeat(2000), "", ""], &[]),
            )],
        ),
        (
            9,
            "more pairs than are taken",
            vec![frame(
                CALL,
                NAMES | METADATA,
                0,
                (0, 0),
                &hello(&5000_u16.to_le_bytes()),
            )],
        ),
        (
            9,
            "a pair longer than is taken",
            vec![frame(CALL, NAMES | METADATA, 0, (0, 0), &hello(&long_pair))],
        ),
        (
            10,
            "a second HELLO",
            vec![frame(HELLO, 0, 0, (0, 0), &crate::raw::hello(PLENTY))],
        ),
        (
            11,
            "a reply of a client",
            vec![frame(REPLY, 0, 0, (0, 0), &[])],
        ),
        (
            11,
            "an error of a client",
            vec![frame(ERROR, 0, 0, (0, 0), &[])],
        ),
        (
            12,
            "a route that was not named",
            vec![frame(CALL, BODY, 0, (0, 0), &[])],
        ),
        (
            12,
            "a route out of turn",
            vec![frame(CALL, NAMES | BODY, 1, (0, 0), &hello(&[]))],
        ),
        (
            13,
            "an index over the number of calls",
            vec![frame(CALL, NAMES | BODY, 0, (1000, 0), &hello(&[]))],
        ),
        (
            14,
            "an id in use",
            vec![unary((0, 0)), frame(CALL, BODY, 0, (0, 0), &[])],
        ),
        (
            14,
            "a place in use",
            vec![unary((0, 0)), frame(CALL, BODY, 0, (0, 1), &[])],
        ),
        (
            14,
            "an older generation",
            vec![
                frame(CALL, NAMES | BODY | LAST, 0, (0, 5), &hello(&[])),
                frame(CALL, BODY, 0, (0, 4), &[]),
            ],
        ),
        (
            15,
            "a message for no call",
            vec![frame(MESSAGE, 0, 0, (3, 0), &[])],
        ),
        (
            15,
            "a cancel of a call to come",
            vec![unary((0, 0)), frame(CANCEL, 0, 0, (0, 1), &[])],
        ),
        (16, "more messages than the window", {
            let collect = call(
                &["/test.Say/Collect", SUM_NAMES[1], ""],
                &message("hold", 0),
            );
            let mut frames = vec![frame(CALL, NAMES | STREAM | BODY, 0, (0, 0), &collect)];
            frames.extend(many(200));
            frames
        }),
        (
            17,
            "a message after the end",
            vec![
                sum((0, 0)),
                frame(END, 0, 0, (0, 0), &[]),
                frame(MESSAGE, 0, 0, (0, 0), &[]),
            ],
        ),
        (
            17,
            "two ends",
            vec![
                sum((0, 0)),
                frame(END, 0, 0, (0, 0), &[]),
                frame(END, 0, 0, (0, 0), &[]),
            ],
        ),
        (
            18,
            "more credit than can be counted",
            vec![
                sum((0, 0)),
                frame(CREDIT, 0, 0, (0, 0), &u32::MAX.to_le_bytes()),
            ],
        ),
        (
            19,
            "a message to a unary call",
            vec![unary((0, 0)), frame(MESSAGE, 0, 0, (0, 0), &[])],
        ),
    ]
}

#[tokio::test]
async fn a_wrong_frame_ends_the_connection_with_a_reason() {
    let net = Net::new();
    for (code, what, frames) in wrong_frames() {
        let mut peer = raw(&net).await;
        peer.io.write_all(&frames.concat()).await.unwrap();
        let (taken, seen, reason) = ends_with(&mut peer).await;
        assert_eq!(seen, code, "{what}: {reason}");
        assert!(!reason.is_empty() && taken <= 1, "{what}: {taken} {reason}");
        // Also byte by byte.
        let mut peer = raw(&net).await;
        for byte in frames.concat() {
            if peer.io.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        assert_eq!(ends_with(&mut peer).await.1, code, "{what}, byte by byte");
    }
    // Others are not touched, and nothing is left.
    assert_eq!(net.say.hello(word("x")).await.unwrap().text, "x");
    assert_eq!(net.server.core().running(), 0);
}

/// What a server says to an opening.
async fn opens(bytes: &[u8]) -> Vec<u8> {
    let net = Net::new();
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let core = net.server.core().clone();
    net.tasks
        .spawn(async move { Braid.serve(Connection::new(theirs, "a", "b"), core).await });
    ours.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    ours.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_none_is_refused() {
    let code = |bytes: &[u8]| {
        u16::from_le_bytes(
            bytes[bytes.len().min(4 + 16 + 22 + 16 + 8)..][..2]
                .try_into()
                .unwrap(),
        )
    };
    assert_eq!(code(&opens(b"\xC7mix........").await), 1);
    let mut other = opening(PLENTY);
    other[20] = 9;
    assert_eq!(code(&opens(&other).await), 2);
    let mut first = MAGIC.to_vec();
    first.extend(frame(PING, 0, 0, (0, 0), &[0; 8]));
    assert_eq!(code(&opens(&first).await), 10);
    let mut short = MAGIC.to_vec();
    short.extend(frame(HELLO, 0, 0, (0, 0), &hello(PLENTY)[..9]));
    assert_eq!(code(&opens(&short).await), 6);
    // A later version may say more.
    let mut longer = MAGIC.to_vec();
    longer.extend(frame(
        HELLO,
        0,
        0,
        (0, 0),
        &[hello(PLENTY), vec![1, 2, 3]].concat(),
    ));
    longer.extend(frame(PING, 0, 0, (0, 0), &[0; 8]));
    longer.extend(frame(77, 0, 0, (0, 0), &[]));
    assert!(opens(&longer).await.len() > 80);
    // Said too slowly.
    let before = tokio::time::Instant::now();
    assert_eq!(code(&opens(&MAGIC).await), 20);
    assert!(before.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_not_finished_in_time_ends_the_connection_and_an_idle_one_does_not() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    peer.send(PING, 0, 0, (0, 0), &[0; 8]).await;
    assert_eq!(peer.next().await.unwrap().kind, PING);
    let frame = frame(
        CALL,
        NAMES | BODY | LAST,
        0,
        (0, 0),
        &call(&HELLO_NAMES, &message("x", 0)),
    );
    let before = tokio::time::Instant::now();
    for byte in &frame[..30] {
        if peer.io.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(ends_with(&mut peer).await.1, 20);
    assert!(before.elapsed() >= Duration::from_secs(60));
}

#[tokio::test]
async fn after_a_goaway_calls_are_not_taken() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let payload = call(&HELLO_NAMES, &message("wait", 0));
    peer.send(CALL, NAMES | BODY | LAST, 0, (0, 0), &payload)
        .await;
    net.probe.until(|probe| count(&probe.started) == 1).await;
    let server = net.server.clone();
    let stop = tokio::spawn(async move { server.stop(Duration::from_secs(10)).await });
    let seen = peer.next().await.unwrap();
    assert_eq!(
        (seen.kind, &seen.payload[..10]),
        (GOAWAY, &goaway(1, 0, "")[..])
    );
    // They cross the GOAWAY: it has told that they are not processed.
    for i in 1..5 {
        peer.send(CALL, BODY | LAST, 0, (i, 0), &message("x", 0))
            .await;
        peer.send(CANCEL, 0, 0, (i, 0), &[]).await;
    }
    peer.send(PING, 0, 0, (0, 0), &[0; 8]).await;
    assert_eq!(peer.next().await.unwrap().kind, PING);
    net.probe.go.notify_waiters();
    let reply = peer.next().await.unwrap();
    assert_eq!((reply.kind, reply.id), (REPLY, (0, 0)));
    assert!(peer.next().await.is_none());
    drop(peer);
    assert_eq!(stop.await.unwrap(), 0);
    assert_eq!(count(&net.probe.started), 1);
}

/// What a client says to a server's frames, after one unary call and one stream were made.
async fn client_says(frames: Vec<Vec<u8>>) -> (Option<u16>, [String; 2]) {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = Raw::server(dialled.recv().await.unwrap()).await;
        assert_eq!(peer.next().await.unwrap().id, (0, 0));
        assert_eq!(peer.next().await.unwrap().id, (1, 0));
        peer.io.write_all(&frames.concat()).await.unwrap();
        while let Some(seen) = peer.next().await {
            if seen.kind == GOAWAY {
                return Some(u16::from_le_bytes(seen.payload[8..10].try_into().unwrap()));
            }
        }
        None
    };
    let unary = async { say.hello(word("x")).await.unwrap_err().to_string() };
    let stream = async {
        match say.sum().await {
            Err(error) => error.to_string(),
            Ok((_out, mut input)) => loop {
                match input.message().await {
                    Ok(None) => return "ended".to_owned(),
                    Ok(Some(_)) => {}
                    Err(error) => return error.to_string(),
                }
            },
        }
    };
    let (unary, stream, code) = tokio::join!(unary, stream, server);
    (code, [unary, stream])
}

#[tokio::test]
async fn a_wrong_frame_of_a_server_fails_the_calls_with_a_reason() {
    let open = frame(REPLY, 0, 0, (1, 0), &[]);
    let many = |n: usize| {
        let mut frames = vec![open.clone()];
        frames.extend((0..n).map(|_| frame(MESSAGE, 0, 0, (1, 0), &[])));
        frames
    };
    let cases = vec![
        (
            3,
            "a kind that there is not",
            vec![frame(11, 0, 0, (0, 0), &[])],
        ),
        (
            4,
            "flags that a kind does not have",
            vec![frame(REPLY, 2, 0, (0, 0), &[])],
        ),
        (
            5,
            "a length over the limit",
            vec![frame(PING, 0, 0, (0, 0), &[0; 9])],
        ),
        (
            6,
            "an error cut off",
            vec![frame(ERROR, 0, 0, (0, 0), &[0, 0, 0])],
        ),
        (
            7,
            "an error with more",
            vec![frame(ERROR, 0, 0, (0, 0), &[0; 11])],
        ),
        (
            8,
            "a reason that is not UTF-8",
            vec![frame(
                GOAWAY,
                0,
                0,
                (0, 0),
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff],
            )],
        ),
        (
            9,
            "too many pairs",
            vec![frame(REPLY, METADATA, 0, (0, 0), &1000_u16.to_le_bytes())],
        ),
        (
            10,
            "a second HELLO",
            vec![frame(HELLO, 0, 0, (0, 0), &hello(PLENTY))],
        ),
        (
            11,
            "a call of a server",
            vec![frame(CALL, 0, 0, (0, 0), &[])],
        ),
        (
            15,
            "a reply to no call",
            vec![frame(REPLY, BODY, 0, (9, 0), &[])],
        ),
        (
            15,
            "a reply to a call to come",
            vec![frame(REPLY, BODY, 0, (0, 1), &[])],
        ),
        (16, "more messages than the window", many(200)),
        (
            18,
            "more credit than can be counted",
            vec![frame(CREDIT, 0, 0, (1, 0), &u32::MAX.to_le_bytes())],
        ),
        (
            19,
            "a message before the opening",
            vec![frame(MESSAGE, 0, 0, (1, 0), &[])],
        ),
        (19, "a second opening", vec![open.clone(), open.clone()]),
        (
            19,
            "an end before the opening",
            vec![frame(END, 0, 0, (1, 0), &[])],
        ),
        (
            19,
            "a stream's message to a unary call",
            vec![frame(MESSAGE, 0, 0, (0, 0), &[])],
        ),
    ];
    for (code, what, frames) in cases {
        let (seen, errors) = client_says(frames).await;
        assert_eq!(seen, Some(code), "{what}");
        assert!(
            errors
                .iter()
                .all(|error| error.contains("go.micro.client.transport: braid: ")),
            "{what}: {errors:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_is_no_braid_server_fails_the_dial() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "web");
    let say = client(&channel);
    let web = async {
        let mut io = dialled.recv().await.unwrap();
        io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    };
    let (error, ()) = tokio::join!(async { say.hello(word("x")).await.unwrap_err() }, web);
    assert!(error.is_unprocessed());
    assert_eq!(
        error.detail(),
        "connection error: braid: the peer does not speak braid"
    );
}

/// Everything that was said on a connection, both ways, while `work` was done.
async fn said() -> (Vec<u8>, Vec<u8>) {
    let net = Net::seeded(
        2000,
        Limits::default(),
        Tasks::seeded(7, SystemTime::UNIX_EPOCH),
    );
    let random = Tasks::seeded(11, SystemTime::UNIX_EPOCH);
    let callers: Vec<_> = (0..20)
        .map(|caller| {
            let (say, random) = (net.say.clone(), random.clone());
            tokio::spawn(async move {
                for i in 0..20 {
                    tokio::time::sleep(random.up_to(Duration::from_millis(5))).await;
                    let what = ["echo", "yield", "sleep 3", "error", "sleep 50"][random.below(5)];
                    let request = crate::say::sized(what, random.below(3000));
                    let call = say
                        .hello(request)
                        .timeout(Duration::from_millis(20))
                        .metadata("Caller", caller.to_string());
                    let _ = call.await;
                    if i % 7 == 0 {
                        let (mut out, mut input) = say.sum().await.unwrap();
                        for number in 0..30 {
                            out.send(Word {
                                number,
                                ..Word::default()
                            })
                            .await
                            .unwrap();
                            input.message().await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    net.pipes.tap.bytes()
}

#[test]
fn the_same_seed_says_the_same_bytes() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(said())
    };
    let (first, second) = (run(), run());
    assert!(first.0.len() > 100_000 && first.1.len() > 100_000);
    assert!(first == second, "the runs differ");
}

#[tokio::test]
async fn an_idle_client_answers_pings() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = Raw::server(dialled.recv().await.unwrap()).await;
        let seen = peer.next().await.unwrap();
        peer.send(REPLY, BODY, 0, seen.id, &message("hi", 0)).await;
        peer.send(PING, 0, 0, (0, 0), &77_u64.to_le_bytes()).await;
        peer.next().await.unwrap()
    };
    let (reply, answer) = tokio::join!(async { say.hello(word("x")).await.unwrap() }, server);
    assert_eq!(reply.text, "hi");
    assert_eq!(
        (answer.kind, answer.flags, answer.payload),
        (PING, 1, 77_u64.to_le_bytes().to_vec())
    );
    drop(Arc::clone(&channel));
}
