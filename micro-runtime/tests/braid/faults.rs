//! What is wrong on the wire: each ends its connection with a reason, and touches no other.

use std::time::Duration;

use micro_runtime::protocol::{Braid, Protocol};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{Net, Pipes, channel, client};
use crate::raw::*;
use crate::say::word;
use crate::wire::{HELLO_NAMES, SUM_NAMES, raw};

/// The GOAWAY that a connection ends with.
pub async fn ends_with(peer: &mut Raw) -> (u64, u16, String) {
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
    let long = "x".repeat(70 << 10);
    let long_pair = block(&[("k", &long)]);
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
            "no message that goes on",
            vec![frame(CALL, NAMES | MORE, 0, (0, 0), &hello(&[]))],
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
                &hello(&varint(200)),
            )],
        ),
        (
            6,
            "a credit of 7 bytes",
            vec![frame(CREDIT, 0, 0, (0, 0), &[0; 7])],
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
            "a credit of 9 bytes",
            vec![frame(CREDIT, 0, 0, (0, 0), &[0; 9])],
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
                &hello(&varint(5000)),
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
            frames.extend(many(4200));
            frames
        }),
        (16, "more bytes than the window", {
            let collect = call(
                &["/test.Say/Collect", SUM_NAMES[1], ""],
                &message("hold", 0),
            );
            // The second goes beyond the window of 512 KiB, which one message may.
            let large = pieces(MESSAGE, 0, (0, 0), &[], &[0; 400 << 10]);
            let mut frames = vec![frame(CALL, NAMES | STREAM | BODY, 0, (0, 0), &collect)];
            frames.extend([large.clone(), large, many(1)].concat());
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
                frame(CREDIT, 0, 0, (0, 0), &credit(u32::MAX, 0)),
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
    net.tasks.spawn(async move {
        Braid::default()
            .serve(Connection::new(theirs, "a", "b"), core)
            .await
    });
    ours.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    ours.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_none_is_refused() {
    let code = |bytes: &[u8]| {
        u16::from_le_bytes(
            bytes[bytes.len().min(4 + 16 + 42 + 16 + 8)..][..2]
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
    tokio::time::sleep(Duration::from_secs(50)).await;
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
    let cases = vec![
        (
            3,
            "a kind that there is not",
            vec![frame(12, 0, 0, (0, 0), &[])],
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
            vec![frame(REPLY, METADATA, 0, (0, 0), &varint(1000))],
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
        (16, "more bytes than the window", {
            // The first goes beyond it, which one message may; the other comes in the same read.
            let large = message(&"x".repeat(600 << 10), 0);
            let large = pieces(MESSAGE, 0, (1, 0), &[], &large);
            [
                vec![open.clone()],
                large,
                vec![frame(MESSAGE, 0, 0, (1, 0), &[])],
            ]
            .concat()
        }),
        (
            18,
            "more credit than can be counted",
            vec![frame(CREDIT, 0, 0, (1, 0), &credit(u32::MAX, 0))],
        ),
        (
            18,
            "more bytes than can be counted",
            vec![frame(CREDIT, 0, 0, (1, 0), &credit(0, u32::MAX))],
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
