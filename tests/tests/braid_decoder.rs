//! A reader in another language, written from docs/WIRE.md alone, understands recorded sessions of braid.
//! That ours are still recorded so is held in `micro-runtime/tests/braid/recorded.rs`.
//!
//! `UPDATE_GOLDEN=1` writes anew what it reads, where the wire was changed on purpose.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use micro_tests::peers::workspace;

fn vector(name: &str) -> PathBuf {
    workspace().join("tests/vectors/braid").join(name)
}

/// What the reader makes of two files; its words where it refuses them.
fn decode(client: &Path, server: &Path) -> Result<String, String> {
    let output = Command::new("python3")
        .args([&workspace().join("tests/braid/decode.py"), client, server])
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3 reads the recorded session: install it");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The same of bytes.
fn decode_bytes(client: &[u8], server: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let [out, input] = ["client", "server"].map(|name| folder.path().join(name));
    std::fs::write(&out, client).unwrap();
    std::fs::write(&input, server).unwrap();
    decode(&out, &input)
}

#[test]
fn it_understands_what_is_said() {
    let read = decode(&vector("session.client"), &vector("session.server")).unwrap();
    let path = vector("session.jsonl");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &read).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == read, "it reads something else:\n{read}");
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
    let size = |name| std::fs::metadata(vector(name)).unwrap().len();
    let (plain, packed) = (size("session.client"), size("packed.client"));
    assert!(packed * 10 < plain, "{packed} of {plain}");
    let read = decode(&vector("packed.client"), &vector("packed.server")).unwrap();
    let golden = std::fs::read_to_string(vector("session.jsonl")).unwrap();
    assert!(golden == read, "it reads something else:\n{read}");
}

#[test]
fn it_refuses_what_is_not_as_the_page_says() {
    let [client, server] =
        ["session.client", "session.server"].map(|name| std::fs::read(vector(name)).unwrap());
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
