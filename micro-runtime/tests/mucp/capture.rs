//! Captured bytes, cut up by a reader that is not the one under test.

use std::path::PathBuf;

use crate::harness::find;

/// One HTTP message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub chunked: bool,
}

impl Message {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(known, value)| (known == name).then_some(&**value))
    }
}

/// The first message in `bytes` and its length, if it is whole.
pub fn cut(bytes: &[u8]) -> Option<(Message, usize)> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end - 4]).unwrap();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap().to_owned();
    let headers: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        })
        .collect();
    let mut message = Message {
        start,
        headers,
        body: Vec::new(),
        chunked: false,
    };
    if message.get("Transfer-Encoding").is_some() {
        // Go sends only empty bodies so.
        let rest = &bytes[end..];
        if rest.len() < 5 {
            return None;
        }
        assert_eq!(&rest[..5], b"0\r\n\r\n");
        message.chunked = true;
        return Some((message, end + 5));
    }
    let length: usize = message
        .get("Content-Length")
        .map_or(0, |length| length.parse().unwrap());
    message.body = bytes.get(end..end + length)?.to_vec();
    Some((message, end + length))
}

/// All messages in `bytes`, which hold nothing else.
pub fn cut_all(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (message, length) =
            cut(bytes).unwrap_or_else(|| panic!("not whole: {}", bytes.escape_ascii()));
        messages.push(message);
        bytes = &bytes[length..];
    }
    messages
}

pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/rpc"))
}

pub fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the captures of mucp, without those of gRPC and of the broker.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".c2s.bin")?.to_owned())
        })
        .filter(|name| !name.starts_with("grpc_") && !name.starts_with("broker_"))
        .collect();
    names.sort();
    names
}
