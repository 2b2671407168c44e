//! A session as it was recorded, byte for byte. A reader in another language understands the same files
//! in `tests/tests/braid_decoder.rs`.
//!
//! `UPDATE_GOLDEN=1` writes the files anew where the wire was changed on purpose.

use std::path::Path;
use std::time::{Duration, SystemTime};

use micro_runtime::protocol::Braid;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;

use crate::net::Net;
use crate::say::{Word, count, sized, word};

/// Everything that a connection can carry, in an order that is the same each time.
async fn session(compress: bool) -> (Vec<u8>, Vec<u8>) {
    let mut braid = Braid::default();
    braid.compress = compress;
    let mut limits = Limits::default();
    limits.message = 1 << 20;
    limits.stream_window = 16;
    let tasks = Tasks::seeded(7, SystemTime::UNIX_EPOCH);
    let net = Net::of(braid, 64 * 1024, limits, tasks);
    let say = &net.say;
    for (seconds, trace) in [(3, "a1"), (2000, "b2"), (3_000_000, "b2"), (9, "b2")] {
        say.hello(word("metadata"))
            .timeout(Duration::from_secs(seconds))
            .metadata("Tenant", "blue")
            .metadata("Trace", trace)
            .metadata("Größe", "é")
            .await
            .unwrap();
    }
    say.hello(word("error")).await.unwrap_err();
    say.hello(word("plain")).await.unwrap_err();
    let given_up = say.hello(word("wait")).timeout(Duration::from_millis(5));
    given_up.await.unwrap_err();
    // In pieces, both ways.
    say.hello(sized("echo", 132 << 10)).await.unwrap();
    let mut replies = say
        .count(Word {
            number: 40,
            ..Word::default()
        })
        .await
        .unwrap();
    while replies.message().await.unwrap().is_some() {}
    let mut upload = say.collect().await.unwrap();
    for i in 0..40 {
        upload.send(word(&i.to_string())).await.unwrap();
    }
    upload.finish().await.unwrap();
    let (mut out, mut input) = say.sum().await.unwrap();
    for size in [0, 10, 5000] {
        out.send(sized("", size)).await.unwrap();
        input.message().await.unwrap();
    }
    out.finish().await.unwrap();
    while input.message().await.unwrap().is_some() {}
    drop(say.sum().await.unwrap());
    net.probe.until(|probe| count(&probe.cancelled) == 2).await;
    // Long enough for pings.
    tokio::time::sleep(Duration::from_secs(150)).await;
    say.hello(word("x")).await.unwrap();
    net.pipes.tap.bytes()
}

fn recorded(compress: bool) -> (Vec<u8>, Vec<u8>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(session(compress))
}

#[test]
fn what_is_said_is_always_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/braid");
    for (name, compress) in [("session", false), ("packed", true)] {
        let (client, server) = recorded(compress);
        for (side, bytes) in [("client", client), ("server", server)] {
            let path = folder.join(format!("{name}.{side}"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &bytes).unwrap();
            }
            let golden = std::fs::read(&path).unwrap();
            assert!(golden == bytes, "{name}.{side} is not as it was recorded");
        }
    }
}
