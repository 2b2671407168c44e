//! Floods of braid's frames, by hand from docs/WIRE.md.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::victim::{Changed, Victim};

const MAGIC: [u8; 4] = [0xc7, b'm', b'i', b'c'];
const HELLO: u8 = 1;
const CALL: u8 = 2;
const MESSAGE: u8 = 5;
const CREDIT: u8 = 8;
const PING: u8 = 9;
const GOAWAY: u8 = 10;
const PIECE_OF: u8 = 11;

const NAMES: u8 = 1;
const BODY: u8 = 8;
const LAST: u8 = 16;
const STREAM: u8 = 32;
const MORE: u8 = 64;

const LIMIT: Duration = Duration::from_secs(20);

fn frame(kind: u8, flags: u8, id: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    all.extend([kind, flags, 0, 0]);
    all.extend(id.0.to_le_bytes());
    all.extend(id.1.to_le_bytes());
    all.extend_from_slice(payload);
    all
}

/// The magic, and a HELLO of a client that takes much.
pub fn opening() -> Vec<u8> {
    let mut hello = 1_u16.to_le_bytes().to_vec();
    // Calls, message, window, metadata, pairs, bytes, piece, and nothing remembered or compressed.
    for limit in [
        0_u32,
        64 << 20,
        4096,
        64 << 10,
        256,
        512 << 10,
        64 << 10,
        0,
        0,
        0,
    ] {
        hello.extend(limit.to_le_bytes());
    }
    [&MAGIC[..], &frame(HELLO, 0, (0, 0), &hello)].concat()
}

/// A call that names its method.
fn call(flags: u8, index: u32, method: &str, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for name in [method, "application/protobuf", "greeter"] {
        payload.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        payload.extend_from_slice(name.as_bytes());
    }
    payload.extend_from_slice(message);
    let mut all = frame(CALL, flags | NAMES, (index, 1), &payload);
    // Names that are not kept.
    all[6..8].copy_from_slice(&[0xff, 0xff]);
    all
}

/// Sends `bytes` and reads meanwhile; says how many bytes came and whether the server closed.
async fn talk(victim: &Victim, bytes: &[u8], limit: Duration) -> (Vec<u8>, bool) {
    let (mut read, mut write) = victim.connect().await.into_split();
    let mut heard = Vec::new();
    let sending = async { timeout(limit, write.write_all(bytes)).await };
    let listening = async { timeout(limit, read.read_to_end(&mut heard)).await.is_ok() };
    let (_, closed) = tokio::join!(sending, listening);
    (heard, closed)
}

#[tokio::test]
async fn pings_are_answered_within_bounds() {
    let victim = Victim::start();
    let ping = frame(PING, 0, (0, 0), &[7; 8]);
    let flood = [opening(), ping.repeat(300_000)].concat();
    let (heard, closed) = victim
        .floods(async { talk(&victim, &flood, Duration::from_secs(3)).await })
        .await;
    println!(
        "{} bytes came back, closed: {closed} {}",
        heard.len(),
        String::from_utf8_lossy(&heard)
    );
    victim.assert_held("PING", 16);
    // By who does not read the answers: it has to wait itself.
    victim
        .floods(async {
            let mut socket = victim.connect().await;
            let _ = timeout(Duration::from_secs(2), socket.write_all(&flood)).await;
            victim.assert_held("PING that is not read", 16);
        })
        .await;
}

#[tokio::test]
async fn credits_for_nothing_and_beyond_measure_are_harmless() {
    let victim = Victim::start();
    let mut flood = opening();
    flood.extend(call(
        BODY | LAST | STREAM,
        0,
        "/greeter.Greeter/Count",
        &[0x08, 10],
    ));
    flood.extend(frame(CREDIT, 0, (0, 1), &[0xff; 8]).repeat(200_000));
    victim
        .floods(async { talk(&victim, &flood, Duration::from_secs(2)).await })
        .await;
    victim.assert_held("CREDIT", 16);
    // For a call that was never made.
    let unknown = [opening(), frame(CREDIT, 0, (3, 1), &[1; 8])].concat();
    let (_, closed) = talk(&victim, &unknown, LIMIT).await;
    assert!(closed);
}

#[tokio::test]
async fn goaways_again_and_again_hold_up_nobody() {
    let victim = Victim::start();
    let goaway = frame(GOAWAY, 0, (0, 0), &[0; 10]);
    let flood = [opening(), goaway.repeat(200_000)].concat();
    victim
        .floods(async { talk(&victim, &flood, Duration::from_secs(2)).await })
        .await;
    victim.assert_held("GOAWAY", 16);
}

#[tokio::test]
async fn frames_that_are_never_whole_hold_only_what_came_and_not_for_long() {
    let victim = Victim::with(Changed {
        first_request: Some(300),
        request_read: Some(500),
        ..Changed::default()
    });
    // A call of 60 MB, of which nothing comes.
    let mut half = opening();
    let mut head = frame(CALL, NAMES | BODY | LAST, (0, 1), &[]);
    head[..4].copy_from_slice(&60_000_000_u32.to_le_bytes());
    half.extend(&head);
    victim
        .floods(async {
            let mut sockets = Vec::new();
            for number in 0..200 {
                let mut socket = victim.connect().await;
                // Some do not even finish their opening.
                let part = if number % 2 == 0 { half.len() } else { 9 };
                socket.write_all(&half[..part]).await.unwrap();
                sockets.push(socket);
            }
            for mut socket in sockets {
                let mut last = Vec::new();
                let ended = timeout(LIMIT, socket.read_to_end(&mut last)).await;
                let _ = ended.expect("it is closed");
            }
        })
        .await;
    victim.assert_held("half frames", 32);
}

#[tokio::test]
async fn a_caller_that_stops_reading_holds_little_and_not_for_long() {
    let victim = Victim::with(Changed {
        write: Some(2_000),
        ..Changed::default()
    });
    let mut flood = opening();
    for index in 0..100 {
        let forever = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let kind = BODY | LAST | STREAM;
        flood.extend(call(kind, index, "/greeter.Greeter/Count", &forever));
        // All the credit that there is.
        flood.extend(frame(
            CREDIT,
            0,
            (index, 1),
            &[0xff, 0xff, 0xff, 0x7f].repeat(2),
        ));
    }
    for index in 100..200 {
        let name = b"\x0a\x0clong 1000000";
        flood.extend(call(BODY | LAST, index, "/greeter.Greeter/Hello", name));
    }
    let mut socket = victim.connect().await;
    victim
        .floods(async {
            let _ = timeout(Duration::from_secs(1), socket.write_all(&flood)).await;
            sleep(Duration::from_secs(4)).await;
        })
        .await;
    victim.assert_held("a caller that stops reading", 128);
    // The system's allocator keeps some of what was freed.
    victim.settles(96).await;
}

#[tokio::test]
async fn messages_without_credit_end_the_connection() {
    let victim = Victim::start();
    let mut flood = opening();
    flood.extend(call(STREAM, 0, "/greeter.Greeter/Collect", &[]));
    let message = [&[0x08, 1][..], &[0x1a, 0x7f], &[0; 127]].concat();
    flood.extend(frame(MESSAGE, 0, (0, 1), &message).repeat(50_000));
    let (_, closed) = victim
        .floods(async { talk(&victim, &flood, LIMIT).await })
        .await;
    assert!(closed);
    victim.assert_held("messages without credit", 32);
}

#[tokio::test]
async fn messages_that_are_never_whole_hold_no_more_than_one_a_connection() {
    const PIECE: usize = 64 << 10;
    const WHOLE: u32 = 60_000_000;
    let victim = Victim::start();
    // Two messages of sixty MB on each of four connections, in pieces, and their ends do not come. A
    // connection may have begun sixty-four MiB.
    let mut half = opening();
    let first = [&WHOLE.to_le_bytes()[..], &[b'x'; PIECE]].concat();
    half.extend(call(
        BODY | LAST | MORE,
        0,
        "/greeter.Greeter/Hello",
        &first,
    ));
    let piece = frame(PIECE_OF, MORE, (0, 1), &[b'x'; PIECE]);
    half.extend(piece.repeat(40_000_000 / PIECE));
    let second = call(BODY | LAST | MORE, 1, "/greeter.Greeter/Hello", &first);
    let (held, all_closed) = victim
        .floods(async {
            let mut sockets = Vec::new();
            for _ in 0..4 {
                let mut socket = victim.connect().await;
                let _ = timeout(Duration::from_secs(5), socket.write_all(&half)).await;
                sockets.push(socket);
            }
            let held = victim.more().now;
            let mut closed = true;
            for mut socket in sockets {
                let _ = socket.write_all(&second).await;
                let mut last = Vec::new();
                closed &= timeout(LIMIT, socket.read_to_end(&mut last)).await.is_ok();
            }
            (held, closed)
        })
        .await;
    assert!(held > 100 << 10, "they are held: {held} KiB");
    assert!(all_closed, "a second one ends the connection");
    victim.assert_held("messages that are never whole", 320);
    victim.settles(64).await;
}
