//! Metadata that is said again: by number, within bounds, and the same on both sides.

use crate::net::Net;
use crate::raw::*;
use crate::say::word;
use crate::wire::{HELLO_NAMES, raw};

/// Calls with these pairs, and gives how many bytes went out for it.
async fn call_with(net: &Net, pairs: &[(&str, &str)]) -> usize {
    let before = net.pipes.tap.lengths().0;
    let mut call = net.say.hello(word("metadata"));
    for (key, value) in pairs {
        call = call.metadata(key.to_string(), value.to_string());
    }
    let seen = call.await.unwrap().text;
    let expected: String = pairs.iter().map(|(k, v)| format!("{k}={v};")).collect();
    assert_eq!(seen, expected);
    net.pipes.tap.lengths().0 - before
}

#[tokio::test]
async fn a_pair_that_was_said_costs_a_byte_or_two() {
    let net = Net::new();
    let token = "t".repeat(1000);
    let pairs = |trace: &'static str| {
        [
            ("Tenant", "blue"),
            ("Authorization", &*token),
            ("Trace", trace),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
    };
    let mut costs = Vec::new();
    for trace in ["0001", "0002", "0003", "0003", "0003"] {
        let pairs = pairs(trace);
        let pairs = pairs.each_ref().map(|(k, v)| (k.as_str(), v.as_str()));
        costs.push(call_with(&net, &pairs).await);
    }
    let bare = call_with(&net, &[]).await;
    let block = |cost: usize| cost - bare;
    assert!(block(costs[0]) > 1000);
    // The count, two pairs, a key and its value.
    assert_eq!(block(costs[1]), 1 + 1 + 1 + 1 + 1 + 4);
    assert_eq!(block(costs[2]), block(costs[1]));
    // A value that comes a second time is remembered, and the third time it is a number.
    assert_eq!(block(costs[3]), 1 + 1 + 1 + 1 + 1 + 5 + 1 + 4);
    assert_eq!(block(costs[4]), 1 + 1 + 1 + 1);
}

#[tokio::test]
async fn more_pairs_than_are_remembered_arrive_all_the_same() {
    let net = Net::new();
    for round in 0..3 {
        for i in 0..300 {
            let (key, value) = (format!("Key-{}", i % 200), format!("value {}", i * round));
            call_with(&net, &[("First", "1"), (&key, &value), ("last", &value)]).await;
        }
    }
    // And those that are too long for it.
    let long = "x".repeat(30_000);
    for _ in 0..3 {
        call_with(&net, &[("Long", &long), ("Short", "s")]).await;
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_peer_is_bounded() {
    let net = Net::new();
    let many = |count: usize| {
        let keys: Vec<_> = (0..count).map(|i| format!("k{i}")).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        kept(&pairs)
    };
    let long = "x".repeat(9 << 10);
    let reference = |entry: u64, times: usize| {
        let mut block = varint(times as u64);
        (0..times).for_each(|_| block.extend(varint(2 + 2 * entry)));
        block
    };
    let over = [3, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for (what, code, blocks) in [
        ("as many entries as there may be", 0, vec![many(128)]),
        ("one more", 9, vec![many(129)]),
        ("more bytes", 9, vec![kept(&[("a", &long), ("b", &long)])]),
        (
            "an entry that there is not",
            21,
            vec![kept(&[("a", "b")]), reference(1, 1)],
        ),
        (
            "a key that there is not",
            21,
            vec![[varint(1), varint(3), varint(0)].concat()],
        ),
        ("a number over 32 bits", 21, vec![over[1..].to_vec()]),
        ("a number that does not end", 21, vec![vec![0xff; 12]]),
        // A few bytes must not become many: what an entry stands for counts each time.
        ("a bomb", 9, vec![kept(&[("a", &long)]), reference(0, 200)]),
    ] {
        let mut peer = raw(&net).await;
        let last = blocks.len() as u32 - 1;
        for (i, block) in (0..).zip(&blocks) {
            let payload = [&call(&HELLO_NAMES, block)[..], &message("x", 0)].concat();
            let flags = NAMES | METADATA | BODY | LAST;
            peer.send(CALL, flags, 0xffff, (i, 0), &payload).await;
            if code == 0 || i < last {
                assert_eq!(peer.next().await.unwrap().kind, REPLY, "{what}");
            }
        }
        if code != 0 {
            assert_eq!(crate::faults::ends_with(&mut peer).await.1, code, "{what}");
        }
    }
}

#[tokio::test]
async fn what_is_said_of_a_call_that_was_given_up_is_remembered_too() {
    let net = Net::new();
    // The reply, whose metadata is new, comes when nobody waits for it any more.
    let mut call = Box::pin(std::future::IntoFuture::into_future(
        net.say.hello(word("metadata")),
    ));
    let _ = tokio::time::timeout(std::time::Duration::ZERO, &mut call).await;
    drop(call);
    for _ in 0..3 {
        let reply = net.say.hello(word("metadata")).full().await.unwrap();
        assert_eq!(reply.metadata.get("Seen"), Some("yes"));
        assert_eq!(reply.trailers.get("Took"), Some("long"));
    }
}
