//! Messages that are more than they look.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::frames::*;
use crate::victim::Victim;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_message_that_grows_when_it_is_unpacked_is_refused() {
    let victim = Victim::start();
    // Half a GiB of nothing in half a MiB.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..512 {
        packer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = grpc(1, &packer.finish().unwrap());
    let mut flood = opening(&[]);
    flood.extend(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    let head = head(
        "/greeter.Greeter/Hello",
        &[field(Err("grpc-encoding"), "gzip")],
    );
    // What fits in a stream's window before the server has read any of it.
    assert!(bomb.len() > 256 << 10 && bomb.len() < 4 << 20, "{}", bomb.len());
    for number in 0..8 {
        let id = number * 2 + 1;
        flood.extend(frame(HEADERS, END_HEADERS, id, &head));
        for part in bomb[..256 << 10].chunks(16_000) {
            flood.extend(frame(DATA, 0, id, part));
        }
    }
    let mut rest = Vec::new();
    for number in 0..8 {
        let id = number * 2 + 1;
        for part in bomb[256 << 10..].chunks(16_000) {
            rest.extend(frame(DATA, 0, id, part));
        }
        rest.extend(frame(DATA, END_STREAM, id, &[]));
    }
    let heard = victim
        .floods(async {
            let mut socket = victim.connect().await;
            socket.write_all(&flood).await.unwrap();
            sleep(Duration::from_millis(500)).await;
            talk(socket, &rest, LIMIT / 2).await
        })
        .await;
    let ended = heard.of(HEADERS).filter(|frame| frame.flags & END_STREAM != 0);
    assert_eq!(ended.count(), 8, "each is answered with its error alone");
    victim.assert_held("gzip bombs", 64);
}

#[tokio::test]
async fn messages_that_never_end_hold_no_more_than_all_may_together() {
    let victim = Victim::start();
    // A thousand calls, each of whose messages is all there but its last byte.
    let whole = 2 << 20;
    victim
        .floods(async {
            let mut socket = victim.connect().await;
            let mut flood = opening(&[]);
            let head = head("/greeter.Greeter/Hello", &[]);
            for number in 0..1_000 {
                let id = number * 2 + 1;
                flood.extend(frame(HEADERS, END_HEADERS, id, &head));
                let prefix = [&[0][..], &(whole as u32).to_be_bytes()].concat();
                flood.extend(frame(DATA, 0, id, &prefix));
            }
            let piece = vec![b'x'; 16_000];
            let mut pieces = Vec::new();
            for number in 0..1_000 {
                pieces.extend(frame(DATA, 0, number * 2 + 1, &piece));
            }
            flood.extend(pieces.repeat(14));
            let (mut read, mut write) = socket.split();
            let sending = async {
                // It is refused at some point, or has to wait.
                let _ = write.write_all(&flood).await;
                for _ in 0..100 {
                    let _ = write.write_all(&pieces).await;
                }
            };
            let reading = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
            let both = async { tokio::join!(sending, reading) };
            let _ = tokio::time::timeout(Duration::from_secs(8), both).await;
        })
        .await;
    victim.assert_held("messages that never end", 512);
}
