//! Messages that are more than they look.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::frames::*;
use crate::victim::Victim;

#[tokio::test]
async fn a_message_that_grows_when_it_is_unpacked_is_refused() {
    const CALLS: usize = 20;
    let victim = Victim::start();
    // 48 MiB of nothing, in less than the window of a stream.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..48 {
        packer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = grpc(1, &packer.finish().unwrap());
    let mut flood = Vec::new();
    let head = head(
        "/greeter.Greeter/Hello",
        &[field(Err("grpc-encoding"), "gzip")],
    );
    for number in 0..CALLS {
        let id = number as u32 * 2 + 1;
        flood.extend(frame(HEADERS, END_HEADERS, id, &head));
        for part in bomb.chunks(16_000) {
            flood.extend(frame(DATA, 0, id, part));
        }
        flood.extend(frame(DATA, END_STREAM, id, &[]));
    }
    let heard = victim
        .floods(async {
            {
                let socket = greeted(victim.connect().await, &[]).await;
                let answered = |heard: &Heard| refusals(heard) == CALLS;
                talk_until(socket, &flood, Duration::from_secs(20), answered).await
            }
        })
        .await;
    println!("{} bytes each", bomb.len());
    assert_eq!(refusals(&heard), CALLS, "{:?}", heard.frames);
    victim.assert_held("gzip bombs", 64);
}

/// How many calls were answered with an error alone.
fn refusals(heard: &Heard) -> usize {
    let ended = heard.of(HEADERS);
    ended.filter(|frame| frame.flags & END_STREAM != 0).count()
}

#[tokio::test]
async fn messages_that_never_end_hold_no_more_than_all_may_together() {
    let victim = Victim::start();
    // Each of whose messages is all there but its end: six hundred MiB together.
    const CALLS: u32 = 320;
    const WHOLE: u32 = 2 << 20;
    let head = head("/greeter.Greeter/Hello", &[]);
    let mut begin = Vec::new();
    let mut round = Vec::new();
    for number in 0..CALLS {
        let id = number * 2 + 1;
        begin.extend(frame(HEADERS, END_HEADERS, id, &head));
        let prefix = [&[0][..], &WHOLE.to_be_bytes()].concat();
        begin.extend(frame(DATA, 0, id, &prefix));
        // Within half the window of a stream, at which more is given.
        for _ in 0..8 {
            round.extend(frame(DATA, 0, id, &[b'x'; 16_000]));
        }
    }
    victim
        .floods(async {
            let socket = greeted(victim.connect().await, &[]).await;
            let (mut read, mut write) = socket.into_split();
            let reading =
                tokio::spawn(
                    async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await },
                );
            write.write_all(&begin).await.unwrap();
            for _ in 0..15 {
                let _ = timeout(Duration::from_secs(5), write.write_all(&round)).await;
                // The windows are given back as it is read.
                sleep(Duration::from_millis(100)).await;
            }
            reading.abort();
        })
        .await;
    victim.assert_held("messages that never end", 256);
}
