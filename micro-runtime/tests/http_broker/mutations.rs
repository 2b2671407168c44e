//! Captured posts, changed at random: answered or let go, and never the end of the broker.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, hi, post, status, subscribe};

const PARTS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b"\"",
    b"{",
    b"}",
    b"[",
    b":",
    b",",
    b"null",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\"Micro-Topic\":\"t\",",
    b"\"Header\":{\"Micro-Topic\":\"t\"},",
    b"\"Body\":\"aGk=\",",
    b"=",
    b"%",
    b"&id=",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Origin: x\r\n",
    b"Content-Type: text/plain\r\n",
];

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(..=bytes.len());
    match random.u8(..8) {
        0 if at < bytes.len() => bytes[at] = random.u8(..),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 if at < bytes.len() => drop(bytes.remove(at)),
        4 => {
            let end = (at + random.usize(..40)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let part = PARTS[random.usize(..PARTS.len())];
            bytes.splice(at..at, part.iter().copied());
        }
    }
}

#[tokio::test]
async fn changed_posts_are_answered_or_let_go_and_the_broker_serves_on() {
    let world = World::default();
    let mut options = world.options();
    options.max_post = 10_000;
    let broker = micro_runtime::broker::Http::with(
        std::sync::Arc::new(world.registry.clone()),
        &world.tasks,
        options,
    )
    .unwrap();
    let mut heard = subscribe(&broker, "t", "").await;
    let node = world.node().await;
    let good = post(&node.id, &hi("t"));
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/httpbroker"
    ));
    let mut seeds: Vec<Vec<u8>> = vec![good.clone().into_bytes(); 20];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".c2s.bin") {
            seeds.push(std::fs::read(path).unwrap());
        }
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..8_000 {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        let body = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map_or(0, |at| at + 4);
        for _ in 0..random.usize(1..3) {
            // Half of the changes leave the head as it is, but for the length.
            if random.bool() && body < bytes.len() {
                let mut changed = bytes.split_off(body.min(bytes.len()));
                let before = format!("Content-Length: {}\r\n", changed.len());
                mutate(&mut random, &mut changed);
                let after = format!("Content-Length: {}\r\n", changed.len());
                let head = String::from_utf8_lossy(&bytes).replace(&before, &after);
                bytes = head.into_bytes();
                bytes.extend(changed);
            } else {
                mutate(&mut random, &mut bytes);
            }
        }
        let mut line = world.dial(&node.address).await;
        let _ = line.write_all(&bytes).await;
        let _ = line.shutdown().await;
        let mut said = Vec::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(10), line.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "no end of {}", bytes.escape_ascii());
        let said = String::from_utf8_lossy(&said).into_owned();
        *seen.entry(status(&said).to_owned()).or_insert(0) += 1;
    }
    for code in ["200", "400", "403", "404", "405", "415", "500", ""] {
        assert!(seen.contains_key(code), "{code} never came: {seen:?}");
    }
    assert!(seen.len() <= 14, "{seen:?}");
    let said = world.say(&node.address, good.as_bytes()).await;
    assert_eq!(status(&said), "200");
    assert_eq!(heard.last().unwrap().body, "hi");
}
