//! Floods of frames.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::frames::*;
use crate::victim::Victim;

const LIMIT: Duration = Duration::from_secs(20);

/// Odd numbers.
fn stream(number: u32) -> u32 {
    number * 2 + 1
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let victim = Victim::start();
    let mut flood = opening(&[]);
    for number in 0..50_000 {
        let id = stream(number);
        flood.extend(call(id, "/greeter.Greeter/Sleep", &[0x08, 0x64]));
        flood.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
    }
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, LIMIT).await })
        .await;
    assert!(heard.closed);
    assert_eq!(heard.goaway(), Some(ENHANCE_YOUR_CALM));
    victim.assert_held("rapid reset", 32);
}

#[tokio::test]
async fn resets_that_a_peer_provokes_end_the_connection() {
    // Each call is wrong, so that the server resets it itself ("made you reset").
    let victim = Victim::start();
    let mut flood = opening(&[]);
    for number in 0..20_000 {
        let id = stream(number);
        let head = head("/greeter.Greeter/Sleep", &[]);
        flood.extend(frame(HEADERS, END_HEADERS, id, &head));
        // A window that grows by nothing.
        flood.extend(frame(WINDOW_UPDATE, 0, id, &[0, 0, 0, 0]));
    }
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, LIMIT).await })
        .await;
    assert!(heard.closed);
    assert!(heard.goaway().is_some());
    victim.assert_held("provoked resets", 32);
}

#[tokio::test]
async fn a_head_that_is_continued_for_ever_ends_the_connection() {
    let victim = Victim::start();
    let mut flood = opening(&[]);
    flood.extend(frame(HEADERS, 0, 1, &head("/greeter.Greeter/Hello", &[])));
    let more = field(Err("x-more"), &"y".repeat(100)).repeat(140);
    for _ in 0..4_000 {
        flood.extend(frame(CONTINUATION, 0, 1, &more));
    }
    // And one of empty frames, which take no room in any count of bytes.
    let mut empty = opening(&[]);
    empty.extend(frame(HEADERS, 0, 1, &head("/greeter.Greeter/Hello", &[])));
    empty.extend(frame(CONTINUATION, 0, 1, &[]).repeat(1_000_000));
    let (heard, of_empty) = victim
        .floods(async {
            tokio::join!(
                async { talk(victim.connect().await, &flood, LIMIT).await },
                async { talk(victim.connect().await, &empty, LIMIT).await }
            )
        })
        .await;
    for heard in [heard, of_empty] {
        assert!(heard.closed);
        assert!(heard.goaway().is_some(), "{heard:?}");
    }
    victim.assert_held("CONTINUATION", 32);
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    control_flood("PING", frame(PING, 0, 0, b"12345678")).await;
}

#[tokio::test]
async fn a_flood_of_settings_ends_the_connection() {
    control_flood("SETTINGS", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])).await;
}

#[tokio::test]
async fn a_flood_of_priorities_ends_the_connection() {
    control_flood("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])).await;
}

#[tokio::test]
async fn a_flood_of_window_updates_ends_the_connection() {
    control_flood("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
}

#[tokio::test]
async fn a_flood_of_unknown_frames_ends_the_connection() {
    control_flood("unknown", frame(0xfa, 0, 0, b"")).await;
}

/// A flood of `one`, by a peer that reads what comes, and by one that does not.
async fn control_flood(what: &str, one: Vec<u8>) {
    let victim = Victim::start();
    let flood = [opening(&[]), one.repeat(400_000)].concat();
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, LIMIT).await })
        .await;
    assert!(heard.closed, "{what}");
    assert_eq!(heard.goaway(), Some(ENHANCE_YOUR_CALM), "{what}");
    // Reads nothing: it is cut off, or has to wait.
    victim
        .floods(async {
            let mut socket = victim.connect().await;
            let _ = timeout(Duration::from_secs(1), socket.write_all(&flood)).await;
            victim.assert_held(what, 32);
        })
        .await;
    victim.assert_held(what, 32);
}

#[tokio::test]
async fn empty_data_frames_without_end_end_the_connection() {
    let victim = Victim::start();
    let mut flood = opening(&[]);
    let head = head("/greeter.Greeter/Collect", &[]);
    flood.extend(frame(HEADERS, END_HEADERS, 1, &head));
    flood.extend(frame(DATA, 0, 1, &[]).repeat(500_000));
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, LIMIT).await })
        .await;
    assert!(heard.closed);
    assert_eq!(heard.goaway(), Some(ENHANCE_YOUR_CALM));
    victim.assert_held("empty DATA", 32);
}

#[tokio::test]
async fn a_head_that_grows_when_it_is_unpacked_is_refused() {
    let victim = Victim::start();
    // 4,000 bytes in the table of fields, and then a byte for each time that they come again.
    let mut bomb = head("/greeter.Greeter/Hello", &[]);
    let big = "z".repeat(4_000);
    bomb.extend(b"\x40\x01x");
    bomb.extend([0x7f, 0xa1, 0x1e]);
    bomb.extend_from_slice(big.as_bytes());
    bomb.extend([0xbe; 12_000]);
    let mut flood = opening(&[]);
    for number in 0..200 {
        flood.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream(number),
            &bomb,
        ));
    }
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, Duration::from_secs(3)).await })
        .await;
    // Each was 48 MB if it was held.
    let refused = heard.of(RST_STREAM).count() + heard.of(HEADERS).count();
    assert!(heard.goaway().is_some() || refused > 0, "{heard:?}");
    victim.assert_held("HPACK bomb", 48);
}

#[tokio::test]
async fn a_window_beyond_the_largest_ends_the_connection() {
    let victim = Victim::start();
    let most = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let flood = [opening(&[]), most.repeat(2)].concat();
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, LIMIT).await })
        .await;
    assert!(heard.closed);
    assert_eq!(heard.goaway(), Some(FLOW_CONTROL_ERROR));
    let nothing = [opening(&[]), frame(WINDOW_UPDATE, 0, 0, &[0; 4])].concat();
    let heard = talk(victim.connect().await, &nothing, LIMIT).await;
    assert!(heard.closed);
    assert_eq!(heard.goaway(), Some(PROTOCOL_ERROR));
}

#[tokio::test]
async fn peers_that_open_no_window_hold_little_and_in_the_end_nothing() {
    let victim = Victim::with(crate::victim::Changed {
        write: Some(2_000),
        ..Default::default()
    });
    // No stream may be sent anything (SETTINGS_INITIAL_WINDOW_SIZE).
    let mut flood = opening(&[(4, 0)]);
    for number in 0..1_000 {
        flood.extend(call(
            stream(number),
            "/greeter.Greeter/Hello",
            &hello("long 10000"),
        ));
    }
    let heard = victim
        .floods(async { talk(victim.connect().await, &flood, Duration::from_secs(6)).await })
        .await;
    // Unary replies that nobody takes are given up.
    assert_eq!(heard.of(RST_STREAM).count(), 1_000);
    victim.assert_held("zero windows, unary", 64);

    let mut flood = opening(&[(4, 0)]);
    for number in 0..1_000 {
        flood.extend(call(stream(number), "/greeter.Greeter/Count", &forever()));
    }
    victim
        .floods(async { talk(victim.connect().await, &flood, Duration::from_secs(2)).await })
        .await;
    victim.assert_held("zero windows, streams", 64);
    // The connection is gone by now, and what it held with it.
    victim.settles(32).await;
}

#[tokio::test]
async fn windows_of_one_byte_hold_up_nobody_else() {
    let victim = Victim::start();
    let mut flood = opening(&[(4, 1)]);
    for number in 0..100 {
        flood.extend(call(
            stream(number),
            "/greeter.Greeter/Hello",
            &hello("long 100000"),
        ));
    }
    for _ in 0..300 {
        for number in 0..100 {
            flood.extend(frame(WINDOW_UPDATE, 0, stream(number), &[0, 0, 0, 1]));
        }
    }
    victim
        .floods(async { talk(victim.connect().await, &flood, Duration::from_secs(3)).await })
        .await;
    victim.assert_held("windows of one byte", 64);
}

#[tokio::test]
async fn a_peer_that_stops_reading_holds_little() {
    let victim = Victim::start();
    // All the windows that it can give, and then it reads nothing.
    let mut flood = opening(&[(4, 0x7fff_ffff)]);
    flood.extend(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    for number in 0..20 {
        flood.extend(call(stream(number), "/greeter.Greeter/Count", &forever()));
    }
    for number in 20..100 {
        flood.extend(call(
            stream(number),
            "/greeter.Greeter/Hello",
            &hello("long 1000000"),
        ));
    }
    let mut socket = victim.connect().await;
    victim
        .floods(async {
            socket.write_all(&flood).await.unwrap();
            sleep(Duration::from_secs(3)).await;
        })
        .await;
    // Eighty replies of a megabyte, and as much as a stream may have on its way.
    victim.assert_held("a peer that stops reading", 256);
    drop(socket);
    victim.settles(160).await;
}

#[tokio::test]
async fn more_calls_than_a_connection_may_have_are_refused_and_no_more() {
    let victim = Victim::start();
    let mut flood = Vec::new();
    // A minute each.
    for number in 0..3_000 {
        let message = [0x08, 0xe0, 0xd4, 0x03];
        flood.extend(call(stream(number), "/greeter.Greeter/Sleep", &message));
    }
    let heard = victim
        .floods(async {
            let socket = greeted(victim.connect().await, &[]).await;
            talk(socket, &flood, Duration::from_secs(3)).await
        })
        .await;
    // REFUSED_STREAM: none of them was processed.
    let refused = heard
        .of(RST_STREAM)
        .filter(|frame| frame.payload == [0, 0, 0, 7]);
    let refused = refused.count();
    assert!(refused >= 1_000 || heard.goaway().is_some(), "{refused}");
    victim.assert_held("too many calls", 64);
}

#[tokio::test]
async fn the_preface_alone_is_not_waited_for() {
    let victim = Victim::with(crate::victim::Changed {
        first_request: Some(300),
        ..Default::default()
    });
    let openings: [&[u8]; 4] = [
        b"",
        &PREFACE[..10],
        PREFACE,
        // SETTINGS that are announced and never come.
        &[PREFACE, &frame(SETTINGS, 0, 0, &[0; 60])[..12]].concat(),
    ];
    victim
        .floods(async {
            let mut sockets = Vec::new();
            for number in 0..400 {
                let mut socket = victim.connect().await;
                socket.write_all(openings[number % 4]).await.unwrap();
                sockets.push(socket);
            }
            for mut socket in sockets {
                let mut last = Vec::new();
                let ended = timeout(LIMIT, socket.read_to_end(&mut last)).await;
                // Either way, and in time.
                let _ = ended.expect("it is closed");
            }
        })
        .await;
    victim.assert_held("half openings", 32);
}
