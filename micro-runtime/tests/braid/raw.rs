//! A peer that writes frames by hand, from what docs/WIRE.md says.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub const HELLO: u8 = 1;
pub const CALL: u8 = 2;
pub const REPLY: u8 = 3;
pub const ERROR: u8 = 4;
pub const MESSAGE: u8 = 5;
pub const END: u8 = 6;
pub const CANCEL: u8 = 7;
pub const CREDIT: u8 = 8;
pub const PING: u8 = 9;
pub const GOAWAY: u8 = 10;
pub const PIECE: u8 = 11;

pub const NAMES: u8 = 1;
pub const DEADLINE: u8 = 2;
pub const METADATA: u8 = 4;
pub const BODY: u8 = 8;
pub const LAST: u8 = 16;
pub const STREAM: u8 = 32;
pub const TRAILERS: u8 = 32;
pub const MORE: u8 = 64;
pub const PACKED: u8 = 128;

/// How much of a message is in one frame.
pub const LONGEST_PIECE: usize = 128 << 10;

pub const MAGIC: [u8; 4] = [0xC7, b'm', b'i', b'c'];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u8,
    pub flags: u8,
    pub route: u16,
    pub id: (u32, u32),
    pub payload: Vec<u8>,
}

pub struct Raw {
    pub io: DuplexStream,
}

pub fn frame(kind: u8, flags: u8, route: u16, id: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_le_bytes().to_vec();
    out.extend([kind, flags]);
    out.extend(route.to_le_bytes());
    out.extend(id.0.to_le_bytes());
    out.extend(id.1.to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// What a HELLO of version 1 says: calls, message, window, metadata, pairs, bytes; and as we do,
/// piece, entries, entry bytes, encodings.
pub fn hello(limits: [u32; 6]) -> Vec<u8> {
    hello_of(limits, [LONGEST_PIECE as u32, 128, 16 << 10, 1])
}

/// The same with other numbers after the limits.
pub fn hello_of(limits: [u32; 6], more: [u32; 4]) -> Vec<u8> {
    let mut out = 1_u16.to_le_bytes().to_vec();
    let numbers = limits.iter().chain(&more);
    numbers.for_each(|number| out.extend(number.to_le_bytes()));
    out
}

pub fn opening(limits: [u32; 6]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(frame(HELLO, 0, 0, (0, 0), &hello(limits)));
    out
}

pub const PLENTY: [u32; 6] = [1000, 64 << 20, 128, 64 << 10, 256, 256 << 10];

/// What a CREDIT says.
pub fn credit(messages: u32, bytes: u32) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&messages.to_le_bytes());
    out[4..].copy_from_slice(&bytes.to_le_bytes());
    out
}

/// A call's payload: its names, then `rest`.
pub fn call(names: &[&str], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(name.as_bytes());
    }
    out.extend_from_slice(rest);
    out
}

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A metadata block whose pairs are not remembered.
pub fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
    block_of(0, pairs)
}

/// A metadata block whose pairs are new and remembered.
pub fn kept(pairs: &[(&str, &str)]) -> Vec<u8> {
    block_of(1, pairs)
}

fn block_of(how: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = varint(pairs.len() as u64);
    for (key, value) in pairs {
        out.push(how);
        for text in [key, value] {
            out.extend(varint(text.len() as u64));
            out.extend(text.as_bytes());
        }
    }
    out
}

/// A message in pieces: the frame that it begins in, whose fields are `fields`, and the others.
pub fn pieces(kind: u8, flags: u8, id: (u32, u32), fields: &[u8], message: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = message.chunks(LONGEST_PIECE).peekable();
    let total = (message.len() as u32).to_le_bytes();
    let first = [fields, &total[..], parts.next().unwrap()].concat();
    let mut frames = vec![frame(kind, flags | MORE, 0, id, &first)];
    while let Some(part) = parts.next() {
        let more = if parts.peek().is_some() { MORE } else { 0 };
        frames.push(frame(PIECE, more, 0, id, part));
    }
    frames
}

pub fn goaway(taken: u64, code: u16, reason: &str) -> Vec<u8> {
    let mut out = taken.to_le_bytes().to_vec();
    out.extend(code.to_le_bytes());
    out.extend(reason.as_bytes());
    out
}

/// `Word { text, number }`, encoded.
pub fn message(text: &str, number: u64) -> Vec<u8> {
    use micro_runtime::codegen::prost::Message;
    crate::say::Word {
        text: text.into(),
        number,
        ..Default::default()
    }
    .encode_to_vec()
}

/// A request for a reply of `size` bytes.
pub fn reply_of(size: u64) -> Vec<u8> {
    message("reply x", size)
}

impl Raw {
    /// The client's end, opened.
    pub async fn client(io: DuplexStream) -> Self {
        let mut this = Self { io };
        this.io.write_all(&opening(PLENTY)).await.unwrap();
        this.accept().await;
        this
    }

    /// The server's end, opened.
    pub async fn server(io: DuplexStream) -> Self {
        let mut this = Self { io };
        this.accept().await;
        this.io.write_all(&opening(PLENTY)).await.unwrap();
        this
    }

    async fn accept(&mut self) {
        let mut magic = [0; 4];
        self.io.read_exact(&mut magic).await.unwrap();
        assert_eq!(magic, MAGIC);
        assert_eq!(self.next().await.unwrap().kind, HELLO);
    }

    pub async fn send(&mut self, kind: u8, flags: u8, route: u16, id: (u32, u32), payload: &[u8]) {
        self.try_send(kind, flags, route, id, payload)
            .await
            .unwrap();
    }

    pub async fn try_send(
        &mut self,
        kind: u8,
        flags: u8,
        route: u16,
        id: (u32, u32),
        payload: &[u8],
    ) -> std::io::Result<()> {
        self.io
            .write_all(&frame(kind, flags, route, id, payload))
            .await
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Seen> {
        let mut head = [0; 16];
        self.io.read_exact(&mut head).await.ok()?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; number(0) as usize];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(Seen {
            kind: head[4],
            flags: head[5],
            route: u16::from_le_bytes([head[6], head[7]]),
            id: (number(8), number(12)),
            payload,
        })
    }
}
