//! Connections that are silent, full of pings, or old.

use std::future::IntoFuture;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::protocol::Braid;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use tokio::time::Instant;

use crate::net::{Net, Pipes, channel, client};
use crate::raw::*;
use crate::say::{count, word};
use crate::wire::{HELLO_NAMES, raw};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_server_asks_a_silent_caller_and_gives_up_one_that_does_not_answer() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    let payload = call(&HELLO_NAMES, &message("wait", 0));
    peer.send(CALL, NAMES | BODY | LAST, 0, (0, 0), &payload)
        .await;
    let before = Instant::now();
    // Answered, it is asked again and again.
    for asked in 1..=3_u64 {
        let ping = peer.next().await.unwrap();
        let number = asked.to_le_bytes().to_vec();
        assert_eq!(
            (ping.kind, ping.flags, ping.payload),
            (PING, 0, number.clone())
        );
        peer.send(PING, 1, 0, (0, 0), &number).await;
    }
    assert!(before.elapsed() >= 3 * MINUTE && before.elapsed() <= 6 * MINUTE + MINUTE);
    assert_eq!(count(&net.probe.dropped), 0);
    assert_eq!(peer.next().await.unwrap().kind, PING);
    let asked = Instant::now();
    assert!(peer.next().await.is_none(), "it is given up");
    assert!(asked.elapsed() <= Duration::from_secs(21));
    net.probe.until(|probe| count(&probe.cancelled) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_fails_its_calls_where_a_silent_server_does_not_answer() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes.clone(), &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = Raw::server(dialled.recv().await.unwrap()).await;
        assert_eq!(peer.next().await.unwrap().kind, CALL);
        // Any frame will do as an answer.
        assert_eq!(peer.next().await.unwrap().kind, PING);
        peer.send(PING, 0, 0, (0, 0), &[0; 8]).await;
        assert_eq!(peer.next().await.unwrap().flags, 1);
        assert_eq!(peer.next().await.unwrap().kind, PING);
        peer
    };
    let waits = say.hello(word("wait")).timeout(60 * MINUTE).into_future();
    let (error, _peer) = tokio::join!(waits, server);
    let error = error.unwrap_err();
    assert!(
        error.detail().contains("has not answered a ping"),
        "{error}"
    );
    assert!(!error.is_unprocessed(), "it may have run");
}

#[tokio::test(start_paused = true)]
async fn two_idle_sides_keep_their_connection_with_few_bytes() {
    let net = Net::new();
    net.say.hello(word("x")).await.unwrap();
    let before = net.pipes.tap.lengths();
    tokio::time::sleep(60 * MINUTE).await;
    let after = net.pipes.tap.lengths();
    // A ping of 24 bytes a minute at most, and its answer.
    let (out, input) = (after.0 - before.0, after.1 - before.1);
    assert!(
        (1..=60 * 48).contains(&out) && (1..=60 * 48).contains(&input),
        "{out} {input}"
    );
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    // Used for longer than a connection is, it carries one more call while a new one is made.
    net.say.hello(word("x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pings_without_end_are_a_fault_and_a_ping_now_and_then_is_none() {
    let net = Net::new();
    let mut peer = raw(&net).await;
    for _ in 0..3000 {
        peer.send(PING, 0, 0, (0, 0), &[0; 8]).await;
        assert_eq!(peer.next().await.unwrap().kind, PING);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    for _ in 0..2000 {
        if peer.try_send(PING, 0, 0, (0, 0), &[0; 8]).await.is_err() {
            break;
        }
    }
    assert_eq!(crate::faults::ends_with(&mut peer).await.1, 24);
}

#[tokio::test(start_paused = true)]
async fn a_server_has_an_old_connection_replaced_without_a_failed_call() {
    let mut braid = Braid::default();
    // Sooner than the client would by itself.
    braid.max_age = Some(MINUTE / 2);
    let net = Net::of(braid, 64 * 1024, Limits::default(), Tasks::new());
    replaces_each(MINUTE / 2, net).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_replaces_an_old_connection_without_a_failed_call() {
    // For its server none is too old.
    replaces_each(MINUTE, Net::new()).await;
}

/// Checks that each connection is used for so long, give or take a tenth, by calls that all succeed.
async fn replaces_each(age: Duration, net: Net) {
    let long = net.say.hello(word("wait")).timeout(60 * MINUTE);
    let long = tokio::spawn(long.into_future());
    let (mut out, mut input) = net.say.sum().await.unwrap();
    let before = Instant::now();
    let mut replaced = Vec::new();
    while before.elapsed() < 5 * age {
        net.say.hello(word("x")).await.unwrap();
        if net.pipes.dials.load(Ordering::SeqCst) > 1 + replaced.len() {
            replaced.push(before.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((4..=5).contains(&replaced.len()), "{replaced:?}");
    let first = replaced[0].as_secs_f32() / age.as_secs_f32();
    assert!((0.89..=1.11).contains(&first), "{replaced:?}");
    // Those that ran went on.
    out.send(word("still here")).await.unwrap();
    assert_eq!(input.message().await.unwrap().unwrap().text, "still here");
    net.probe.go.notify_waiters();
    assert_eq!(long.await.unwrap().unwrap().text, "wait");
}
