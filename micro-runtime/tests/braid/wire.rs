//! The bytes: what each side sends, and that they are the same in every run.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_runtime::protocol::{Braid, Protocol, Recognised};
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::DuplexStream;

use crate::net::{Net, Pipes, channel, client};
use crate::raw::*;
use crate::say::{Word, count, word};

pub const HELLO_NAMES: [&str; 3] = ["/test.Say/Hello", "application/protobuf", "test.say"];
pub const SUM_NAMES: [&str; 3] = ["/test.Say/Sum", "application/protobuf", "test.say"];

fn pipe(net: &Net) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    net.server.attach(Connection::new(theirs, "raw", "server"));
    ours
}

pub async fn raw(net: &Net) -> Raw {
    Raw::client(pipe(net)).await
}

#[test]
fn the_first_bytes_tell_it_from_everything_else() {
    for n in 0..MAGIC.len() {
        assert_eq!(
            Braid::default().recognises(&MAGIC[..n]),
            Recognised::Perhaps
        );
    }
    assert_eq!(
        Braid::default().recognises(&opening(PLENTY)),
        Recognised::Yes
    );
    for other in [
        &b"POST / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/2.0",
        &[0x16, 3, 1],
        &[0x29, 0x7f, 3, 1, 1],
        &[0xC7, b'm', b'x'],
    ] {
        assert_eq!(Braid::default().recognises(other), Recognised::No);
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

    let mut expected = opening([0, 64 << 20, 4096, 64 << 10, 256, 512 << 10]);
    let named = call(
        &HELLO_NAMES,
        &[kept(&[("k", "v")]), message("metadata", 0)].concat(),
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

    let mut expected = opening([1000, 64 << 20, 4096, 64 << 10, 256, 512 << 10]);
    let blocks = [
        kept(&[("Seen", "yes"), ("Also", "this")]),
        kept(&[("Took", "long")]),
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
    let mut limits = Limits::default();
    limits.stream_window = 128;
    let net = Net::with(64 * 1024, limits);
    let mut peer = raw(&net).await;
    let payload = call(&SUM_NAMES, &1_000_000_u32.to_le_bytes());
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
    let (mut messages, mut bytes) = (0, 0);
    for _ in 1..=65 {
        let seen = peer.next().await.unwrap();
        match seen.kind {
            MESSAGE => {}
            CREDIT => {
                let number =
                    |at: usize| u32::from_le_bytes(seen.payload[at..at + 4].try_into().unwrap());
                assert_eq!(seen.payload.len(), 8);
                messages += number(0);
                bytes += number(4);
            }
            kind => panic!("{kind}"),
        }
    }
    assert_eq!(messages, 64, "half of the window");
    let sent = (1..=64).map(|i| message("", i).len()).sum::<usize>();
    assert_eq!(bytes as usize, sent);
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
        peer.send(CREDIT, 0, 0, id, &credit(9, 9)).await;
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
        &[&0_u32.to_le_bytes()[..], &message("x", 0)].concat(),
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
