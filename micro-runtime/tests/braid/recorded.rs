//! A session as it was recorded, byte for byte, and as a reader in another language understands it.
//!
//! `UPDATE_GOLDEN=1` writes the files anew where the wire was changed on purpose.

use std::path::{Path, PathBuf};
use std::process::Command;
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

/// What the reader makes of two files; its words where it refuses them.
fn decode(client: &Path, server: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/braid/decode.py");
    let output = Command::new("python3")
        .args([&script, client, server])
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3 reads the recorded session: install it");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// Writes both directions into a folder and reads them.
fn decode_bytes(client: &[u8], server: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let [out, input] = ["client", "server"].map(|name| folder.path().join(name));
    std::fs::write(&out, client).unwrap();
    std::fs::write(&input, server).unwrap();
    decode(&out, &input)
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors/braid")
        .join(name)
}

#[test]
fn a_reader_in_another_language_understands_what_is_said_and_it_is_always_the_same() {
    let (client, server) = recorded(false);
    let read = decode_bytes(&client, &server).unwrap();
    let files = [
        ("session.client", &client[..]),
        ("session.server", &server),
        ("session.jsonl", read.as_bytes()),
    ];
    for (name, bytes) in files {
        let path = vector(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert!(golden == bytes, "{name} is not as it was recorded");
    }
    for (what, times) in [
        (r#""path": "/test.Say/Hello""#, 9),
        (r#""path": "/test.Say/Sum""#, 2),
        (
            r#""microseconds": 3000000, "metadata": [["Tenant", "blue"], ["Trace", "a1"], ["Größe", "é"]]"#,
            1,
        ),
        // In units of a millisecond and of a second.
        (r#""microseconds": 2000000000, "#, 1),
        (r#""microseconds": 3000000000000, "#, 1),
        (r#"["Trace", "b2"]"#, 3),
        (
            r#""code": 404, "grpc": 5, "id": "say.hello", "detail": "no such <thing> é", "status": "Gone fishing""#,
            1,
        ),
        (r#""cancelled": true"#, 2),
        ("135182 bytes, crc ", 2),
        (r#""trailers": [["Sum", "40"]]"#, 1),
    ] {
        assert_eq!(read.matches(what).count(), times, "{what} in\n{read}");
    }
}

#[test]
fn it_understands_compressed_messages_as_the_same() {
    let read = |compress| {
        let (client, server) = recorded(compress);
        (client.len(), decode_bytes(&client, &server).unwrap())
    };
    let ((plain, said), (packed, said_packed)) = (read(false), read(true));
    assert!(packed * 10 < plain, "{packed} of {plain}");
    assert_eq!(said, said_packed);
}

#[test]
fn it_refuses_what_is_not_as_the_page_says() {
    let (client, server) = recorded(false);
    for (at, byte) in [(0, b'x'), (4 + 4, 12), (4 + 16, 9), (4 + 16 + 42 + 5, 0)] {
        let mut wrong = client.clone();
        wrong[at] = byte;
        decode_bytes(&wrong, &server).unwrap_err();
    }
    let words = decode_bytes(&client[..client.len() - 1], &server).unwrap_err();
    assert!(words.contains("it ends within"), "{words}");
    decode_bytes(&client, &server[..server.len() - 60]).unwrap_err();
    decode_bytes(&server, &client).unwrap_err();
}
