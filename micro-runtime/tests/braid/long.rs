//! Long messages: in pieces, which hold up nothing else and are bounded.

use std::future::IntoFuture;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::net::{Net, Pipes, channel, client};
use crate::raw::*;
use crate::say::{count, sized, word};
use crate::wire::{HELLO_NAMES, SUM_NAMES, raw};

const LONG: usize = 60 << 20;

#[tokio::test]
async fn short_calls_go_by_while_a_long_message_goes_either_way() {
    // A narrow pipe, so that the long message takes many writes.
    let net = Net::with(16 * 1024, Limits::default());
    net.say.hello(word("dial")).await.unwrap();
    for (request, size) in [(sized("up", LONG), LONG), (word("reply down"), 0)] {
        let mut request = request;
        request.number = LONG as u64;
        let say = net.say.clone();
        let (out_before, in_before) = net.pipes.tap.lengths();
        let long = tokio::spawn(async move { say.hello(request).await });
        // The first bytes of it are on their way.
        while net.pipes.tap.lengths().0 - out_before < size / 100
            || net.pipes.tap.lengths().1 - in_before < (LONG - size) / 100
        {
            tokio::task::yield_now().await;
        }
        for i in 0..5 {
            let before = net.pipes.tap.lengths();
            assert_eq!(net.say.hello(word("short")).await.unwrap().text, "short");
            let after = net.pipes.tap.lengths();
            let between = after.0 - before.0 + after.1 - before.1;
            // Some pieces are in the queues already, and not the message.
            assert!(
                between < 4 << 20,
                "short call {i} waited for {between} bytes"
            );
        }
        assert!(!long.is_finished());
        let reply = long.await.unwrap().unwrap();
        assert_eq!(reply.data.len(), LONG);
        assert!(reply.data.iter().all(|byte| *byte == 7));
    }
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn long_messages_of_a_stream_come_whole_and_in_order() {
    let net = Net::with(64 * 1024, Limits::default());
    let (mut out, mut input) = net.say.sum().await.unwrap();
    let sizes = [10, 1 << 20, 3, (128 << 10) + 1, 0, 1, 5 << 20];
    let sends = async {
        for size in sizes {
            out.send(sized("", size)).await.unwrap();
        }
        out.finish().await.unwrap();
    };
    let receives = async {
        for size in sizes {
            let next = input.message().await.unwrap().unwrap();
            assert_eq!(next.data.len(), size);
        }
        assert_eq!(input.message().await.unwrap(), None);
    };
    timeout(Duration::from_secs(60), async {
        tokio::join!(sends, receives)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn many_long_messages_take_turns_within_the_limit_and_all_arrive() {
    let mut limits = Limits::default();
    limits.message = 3 << 20;
    let net = Net::with(64 * 1024, limits);
    let calls: Vec<_> = (0..12)
        .map(|i| {
            let what = if i % 2 == 0 { "echo" } else { "yield" };
            let call = net.say.hello(sized(what, 1 << 20));
            tokio::spawn(async move { call.await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().data.len(), 1 << 20);
    }
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn a_long_message_that_is_given_up_is_forgotten_on_both_sides() {
    let net = Net::with(1024, Limits::default());
    // Of the request, while it goes up.
    let mut call = Box::pin(net.say.hello(sized("echo", LONG)).into_future());
    while net.pipes.tap.lengths().0 < 1 << 20 {
        assert!(futures_poll(&mut call).await.is_none());
    }
    drop(call);
    // Of the reply, while it comes.
    let mut request = word("reply down");
    request.number = LONG as u64;
    let mut call = Box::pin(net.say.hello(request).into_future());
    while net.pipes.tap.lengths().1 < 1 << 20 {
        assert!(futures_poll(&mut call).await.is_none());
    }
    drop(call);
    // There is room for others of the same size at once, and nothing of the old ones comes.
    let before = net.pipes.tap.lengths();
    assert_eq!(
        net.say
            .hello(sized("echo", 1 << 20))
            .await
            .unwrap()
            .data
            .len(),
        1 << 20
    );
    let after = net.pipes.tap.lengths();
    assert!(after.0 - before.0 < 2 << 20, "{}", after.0 - before.0);
    assert!(after.1 - before.1 < 2 << 20, "{}", after.1 - before.1);
    assert_eq!(net.server.core().running(), 0);
}

/// Polls once, then lets others run.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let polled = timeout(Duration::ZERO, future).await.ok();
    tokio::task::yield_now().await;
    polled
}

#[tokio::test]
async fn the_bytes_of_a_long_call_are_as_documented() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let text = message("echo", 9);
    let names = call(&HELLO_NAMES, &1_000_000_u32.to_le_bytes());
    let (first, rest) = text.split_at(3);
    let begin = [&names[..], &(text.len() as u32).to_le_bytes(), first].concat();
    let flags = NAMES | DEADLINE | BODY | LAST | MORE;
    peer.send(CALL, flags, 0, (4, 2), &begin).await;
    // Others go in between.
    let other = call(&HELLO_NAMES, &message("x", 0));
    peer.send(CALL, NAMES | BODY | LAST, 0xffff, (5, 0), &other)
        .await;
    assert_eq!(peer.next().await.unwrap().id, (5, 0));
    peer.send(PIECE, MORE, 0, (4, 2), &rest[..1]).await;
    peer.send(PIECE, 0, 0, (4, 2), &rest[1..]).await;
    let reply = peer.next().await.unwrap();
    assert_eq!((reply.kind, reply.id, reply.payload), (REPLY, (4, 2), text));
}

/// What comes after a call that streams, whose second message is in pieces.
fn faults() -> Vec<(u16, &'static str, Vec<Vec<u8>>)> {
    let sum = || frame(CALL, NAMES | STREAM, 0, (0, 0), &call(&SUM_NAMES, &[]));
    let begin = |total: u32| {
        let payload = [&total.to_le_bytes()[..], &[0; 5]].concat();
        frame(MESSAGE, MORE, 0, (0, 0), &payload)
    };
    let piece = |more, bytes: &[u8]| frame(PIECE, more, 0, (0, 0), bytes);
    let mut many = Vec::new();
    let names = call(
        &HELLO_NAMES,
        &[&(30_u32 << 20).to_le_bytes()[..], &[0; 5]].concat(),
    );
    for i in 0..3 {
        let flags = NAMES | BODY | LAST | MORE;
        many.push(frame(CALL, flags, 0xffff, (i, 0), &names));
    }
    vec![
        (9, "more in pieces than one message may be", many),
        (
            9,
            "a message in pieces over the limit",
            vec![sum(), begin((64 << 20) + 1)],
        ),
        (
            9,
            "more than a piece at once",
            vec![sum(), frame(MESSAGE, 0, 0, (0, 0), &[0; (128 << 10) + 1])],
        ),
        (15, "a piece of no call", vec![piece(0, &[1])]),
        (
            19,
            "an end within a message",
            vec![sum(), begin(9), frame(END, 0, 0, (0, 0), &[])],
        ),
        (
            19,
            "a message within a message",
            vec![sum(), begin(9), frame(MESSAGE, 0, 0, (0, 0), &[])],
        ),
        (
            19,
            "another long one within a message",
            vec![sum(), begin(9), begin(9)],
        ),
        (23, "a piece without a message", vec![sum(), piece(0, &[1])]),
        (
            23,
            "an empty piece",
            vec![sum(), begin(9), piece(MORE, &[])],
        ),
        (
            23,
            "a last piece that is too short",
            vec![sum(), begin(9), piece(0, &[1])],
        ),
        (
            23,
            "a piece that is too long",
            vec![sum(), begin(9), piece(0, &[0; 5])],
        ),
        (
            23,
            "a full message that goes on",
            vec![sum(), begin(9), piece(MORE, &[0; 4])],
        ),
        (23, "a first piece that is all", vec![sum(), begin(5)]),
    ]
}

#[tokio::test]
async fn pieces_that_do_not_fit_end_the_connection() {
    let net = Net::new();
    for (code, what, frames) in faults() {
        let mut peer = raw(&net).await;
        // The head alone is refused where it can be.
        let _ = peer.io.write_all(&frames.concat()).await;
        let seen = crate::faults::ends_with(&mut peer).await;
        assert!(
            seen.1 == code || code == 9 && seen.1 == 5,
            "{what}: {seen:?}"
        );
    }
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_go_on_ends_the_connection_whatever_else_comes() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let begin = [&100_u32.to_le_bytes()[..], &[0; 5]].concat();
    let payload = call(&HELLO_NAMES, &begin);
    peer.send(CALL, NAMES | BODY | LAST | MORE, 0, (0, 0), &payload)
        .await;
    let before = tokio::time::Instant::now();
    for _ in 0..20 {
        if peer.try_send(PING, 0, 0, (0, 0), &[0; 8]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(crate::faults::ends_with(&mut peer).await.1, 20);
    assert!(before.elapsed() >= Duration::from_secs(60));
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn pieces_of_a_call_that_is_over_are_late_for_a_client_too() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = micro_runtime::tasks::Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = Raw::server(dialled.recv().await.unwrap()).await;
        let first = peer.next().await.unwrap();
        let long = pieces(REPLY, BODY, first.id, &[], &[0; 300 << 10]);
        peer.io.write_all(&long[0]).await.unwrap();
        assert_eq!(peer.next().await.unwrap().kind, CANCEL);
        peer.io.write_all(&long[1..].concat()).await.unwrap();
        let second = peer.next().await.unwrap();
        assert_eq!(second.id, (0, 1));
        peer.send(REPLY, BODY, 0, second.id, &message("hi", 0))
            .await;
    };
    let calls = async {
        let given_up = say.hello(word("a")).timeout(Duration::from_millis(50));
        given_up.await.unwrap_err();
        assert_eq!(say.hello(word("b")).await.unwrap().text, "hi");
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn the_rest_of_a_message_is_not_sent_when_the_server_has_ended_the_call() {
    let (pipes, mut dialled) = Pipes::new(4 * 1024);
    let tasks = micro_runtime::tasks::Tasks::new();
    let channel = channel(pipes.clone(), &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = Raw::server(dialled.recv().await.unwrap()).await;
        let first = peer.next().await.unwrap();
        assert_eq!((first.kind, first.flags & MORE), (CALL, MORE));
        let error = [&400_i32.to_le_bytes()[..], &[1, 0], b"x", &[0, 0, 0, 0]].concat();
        peer.send(ERROR, 0, 0, first.id, &error).await;
        loop {
            let seen = peer.next().await.unwrap();
            if seen.kind == CALL {
                break peer.send(REPLY, BODY, 0, seen.id, &message("hi", 0)).await;
            }
        }
    };
    let calls = async {
        let error = say.hello(sized("up", LONG)).await.unwrap_err();
        assert_eq!(error.code(), 400);
        assert_eq!(say.hello(word("b")).await.unwrap().text, "hi");
    };
    tokio::join!(server, calls);
    assert!(pipes.tap.lengths().0 < 4 << 20, "{:?}", pipes.tap.lengths());
}
