//! Messages in compressed form, where both sides know it; limits count what comes out.

use std::io::Write;

use micro_runtime::protocol::Braid;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;

use crate::net::Net;
use crate::raw::*;
use crate::say::{sized, word};
use crate::wire::{HELLO_NAMES, raw};

fn compressing(limits: Limits) -> Net {
    let mut braid = Braid::default();
    braid.compress = true;
    Net::of(braid, 64 * 1024, limits, Tasks::new())
}

/// A message as it goes with PACKED, which says that it is `length` long.
fn packed(message: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![1];
    out.extend((length as u32).to_le_bytes());
    out.extend(zlib(message));
    out
}

/// RFC 1950 with blocks that are stored.
fn zlib(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = message.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = block.len() as u16;
        out.write_all(&length.to_le_bytes()).unwrap();
        out.write_all(&(!length).to_le_bytes()).unwrap();
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in message {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

#[tokio::test]
async fn messages_go_compressed_both_ways_and_on_streams() {
    let net = compressing(Limits::default());
    net.say.hello(word("dial")).await.unwrap();
    let before = net.pipes.tap.lengths();
    let request = sized("echo", 3 << 20);
    assert_eq!(net.say.hello(request.clone()).await.unwrap(), request);
    let (mut out, mut input) = net.say.sum().await.unwrap();
    for _ in 0..5 {
        out.send(sized("", 300 << 10)).await.unwrap();
        assert_eq!(
            input.message().await.unwrap().unwrap().data.len(),
            300 << 10
        );
    }
    let after = net.pipes.tap.lengths();
    assert!(
        after.0 - before.0 < 64 << 10,
        "{} bytes",
        after.0 - before.0
    );
    assert!(
        after.1 - before.1 < 64 << 10,
        "{} bytes",
        after.1 - before.1
    );
    // What does not become shorter is sent as it is.
    let random = Tasks::seeded(5, std::time::SystemTime::UNIX_EPOCH);
    let mut noise = word("echo");
    noise.data = (0..200_000).map(|_| random.below(256) as u8).collect();
    assert_eq!(net.say.hello(noise.clone()).await.unwrap(), noise);
}

#[tokio::test]
async fn limits_count_what_comes_out() {
    let mut limits = Limits::default();
    limits.message = 1 << 20;
    let net = compressing(limits);
    let error = net.say.hello(sized("echo", 2 << 20)).await.unwrap_err();
    assert_eq!(error.code(), 413);
    let message = message("echo", 4);
    for (what, code, payload) in [
        ("as it says", None, packed(&message, message.len())),
        ("too long", Some(22), packed(&message, (1 << 20) + 1)),
        ("a bomb by its word", Some(22), packed(&message, 1 << 20)),
        (
            "shorter than it says",
            Some(22),
            packed(&message, message.len() + 1),
        ),
        (
            "longer than it says",
            Some(22),
            packed(&message, message.len() - 1),
        ),
        ("nothing", Some(22), vec![]),
        (
            "another encoding",
            Some(22),
            [vec![2], packed(&message, message.len())[1..].to_vec()].concat(),
        ),
        (
            "cut off",
            Some(22),
            packed(&message, message.len())[..14].to_vec(),
        ),
        (
            "with more behind",
            Some(22),
            [packed(&message, message.len()), vec![0]].concat(),
        ),
    ] {
        let mut peer = raw(&net).await;
        let flags = NAMES | BODY | LAST | PACKED;
        peer.send(CALL, flags, 0, (0, 0), &call(&HELLO_NAMES, &payload))
            .await;
        match code {
            None => assert_eq!(peer.next().await.unwrap().kind, REPLY),
            Some(code) => assert_eq!(crate::faults::ends_with(&mut peer).await.1, code, "{what}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_compressed_for_a_peer_that_does_not_read_it() {
    let net = compressing(Limits::default());
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    net.server.attach(micro_runtime::transport::Connection::new(
        theirs, "raw", "server",
    ));
    let mut opening = MAGIC.to_vec();
    let hello = hello_of(PLENTY, [LONGEST_PIECE as u32, 0, 0, 0]);
    opening.extend(frame(HELLO, 0, 0, (0, 0), &hello));
    tokio::io::AsyncWriteExt::write_all(&mut ours, &opening)
        .await
        .unwrap();
    let mut magic = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut ours, &mut magic)
        .await
        .unwrap();
    let mut peer = Raw { io: ours };
    assert_eq!(peer.next().await.unwrap().kind, HELLO);
    let payload = call(&HELLO_NAMES, &reply_of(100_000));
    peer.send(CALL, NAMES | BODY | LAST, 0, (0, 0), &payload)
        .await;
    let reply = peer.next().await.unwrap();
    assert_eq!((reply.kind, reply.flags), (REPLY, BODY));
    assert!(reply.payload.len() > 100_000);
    // Nor is metadata remembered for one that has no room for it.
    let payload = call(&HELLO_NAMES, &message("metadata", 0));
    peer.send(CALL, NAMES | BODY | LAST, 0xffff, (0, 1), &payload)
        .await;
    let reply = peer.next().await.unwrap();
    let blocks = block(&[("Seen", "yes"), ("Also", "this")]);
    assert!(reply.payload.starts_with(&blocks));
}
