//! HTTP/2 by hand (RFC 9113): frames as bytes, and what a server says until it closes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut all = length[1..].to_vec();
    all.extend([kind, flags]);
    all.extend(stream.to_be_bytes());
    all.extend_from_slice(payload);
    all
}

/// The preface, and SETTINGS with `pairs`.
pub fn opening(pairs: &[(u16, u32)]) -> Vec<u8> {
    let mut settings = Vec::new();
    for (id, value) in pairs {
        settings.extend(id.to_be_bytes());
        settings.extend(value.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// A literal field without indexing, whose name is `name` of the static table, or its text.
pub fn field(name: Result<u8, &str>, value: &str) -> Vec<u8> {
    let mut all = match name {
        // Fifteen and what is above it.
        Ok(index @ 15..) => vec![0x0f, index - 15],
        Ok(index) => vec![index],
        Err(text) => [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat(),
    };
    assert!(value.len() < 127);
    all.push(u8::try_from(value.len()).unwrap());
    all.extend_from_slice(value.as_bytes());
    all
}

/// The head of a call of gRPC, with `more` fields.
pub fn head(path: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let mut all = vec![0x83, 0x86];
    all.extend(field(Ok(4), path));
    all.extend(field(Ok(1), "127.0.0.1"));
    all.extend(field(Ok(31), "application/grpc"));
    all.extend(field(Err("te"), "trailers"));
    all.extend(more.concat());
    all
}

/// A whole call: head and one message.
pub fn call(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let mut all = frame(HEADERS, END_HEADERS, stream, &head(path, &[]));
    all.extend(frame(DATA, END_STREAM, stream, &grpc(0, message)));
    all
}

/// A message with its prefix.
pub fn grpc(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut all = vec![flag];
    all.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    all.extend_from_slice(message);
    all
}

/// `hello` with this name, in protobuf.
pub fn hello(name: &str) -> Vec<u8> {
    [&[0x0a, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

/// `count` to a number without end.
pub fn forever() -> Vec<u8> {
    vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]
}

/// One that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// What came, and how it ended.
#[derive(Debug, Default)]
pub struct Heard {
    pub frames: Vec<Frame>,
    pub closed: bool,
}

impl Heard {
    fn read(bytes: &[u8], closed: bool) -> Self {
        let mut frames = Vec::new();
        let mut rest = bytes;
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            frames.push(Frame {
                kind: head[3],
                flags: head[4],
                payload: payload.to_vec(),
            });
            rest = after;
        }
        Self { frames, closed }
    }

    pub fn of(&self, kind: u8) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.kind == kind)
    }

    /// The reason of the GOAWAY, if there is one.
    pub fn goaway(&self) -> Option<u32> {
        let payload = &self.of(GOAWAY).last()?.payload;
        Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?))
    }
}

/// A connection on which both have told their settings, and all windows are known.
pub async fn greeted(mut socket: TcpStream, pairs: &[(u16, u32)]) -> TcpStream {
    let ping = frame(PING, 0, 0, b"greeting");
    let greeting = [opening(pairs), ping].concat();
    socket.write_all(&greeting).await.unwrap();
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        socket.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            // Until then the windows are those of the beginning.
            (SETTINGS, 0) => {
                let ack = frame(SETTINGS, ACK, 0, &[]);
                socket.write_all(&ack).await.unwrap();
            }
            (PING, ACK) => return socket,
            _ => {}
        }
    }
}

/// Sends `bytes` and listens meanwhile, until the server closes or `limit` has passed.
pub async fn talk(socket: TcpStream, bytes: &[u8], limit: Duration) -> Heard {
    talk_until(socket, bytes, limit, |_| false).await
}

/// As [`talk`], or until `enough` was heard.
pub async fn talk_until(
    socket: TcpStream,
    bytes: &[u8],
    limit: Duration,
    enough: impl Fn(&Heard) -> bool,
) -> Heard {
    let (mut read, mut write) = socket.into_split();
    let until = Instant::now() + limit;
    let mut heard = Vec::new();
    let mut closed = false;
    let sending = async {
        // It may be cut off while it writes.
        let _ = timeout_at(until, write.write_all(bytes)).await;
        write
    };
    let listening = async {
        let listened = timeout_at(until, async {
            let ended: io::Result<()> = loop {
                match read.read_buf(&mut heard).await {
                    Ok(0) => break Ok(()),
                    Ok(_) if enough(&Heard::read(&heard, false)) => return false,
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            // A reset is an end too.
            let _ = ended;
            true
        });
        closed = listened.await == Ok(true);
    };
    tokio::join!(sending, listening);
    Heard::read(&heard, closed)
}
