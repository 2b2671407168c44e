//! Frames, and the buffer of a connection that many append to and one writes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const HEAD: usize = 12;
pub(crate) const BUFFER: usize = 64 << 10;

pub(crate) struct Frame {
    pub(crate) id: u32,
    pub(crate) method: u16,
    pub(crate) body: Bytes,
}

pub(crate) fn append(out: &mut BytesMut, id: u32, method: u16, body: &[u8]) {
    out.reserve(HEAD + body.len());
    out.put_u32_le(body.len() as u32);
    out.put_u32_le(id);
    out.put_u16_le(method);
    out.put_u16_le(0);
    out.put_slice(body);
}

/// The next complete frame of `input`, its body without a copy.
pub(crate) fn take(input: &mut BytesMut) -> Option<Frame> {
    let head: [u8; 4] = input.get(..4)?.try_into().ok()?;
    let length = u32::from_le_bytes(head) as usize;
    if input.len() < HEAD + length {
        input.reserve((HEAD + length).saturating_sub(input.len()));
        return None;
    }
    input.advance(4);
    let (id, method) = (input.get_u32_le(), input.get_u16_le());
    input.advance(2);
    Some(Frame {
        id,
        method,
        body: input.split_to(length).freeze(),
    })
}

pub(crate) async fn fill(socket: &TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    if input.capacity() - input.len() < 8192 {
        input.reserve(BUFFER);
    }
    loop {
        match socket.try_read_buf(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
            read => return read,
        }
    }
}

struct Out {
    buffer: BytesMut,
    /// The flusher has taken a buffer and is not done.
    busy: bool,
}

pub(crate) struct Writer {
    socket: Arc<TcpStream>,
    out: Mutex<Out>,
    more: Notify,
    /// The caller that finds the connection idle writes by itself.
    inline: bool,
}

impl Writer {
    pub(crate) fn new(socket: Arc<TcpStream>, inline: bool) -> Self {
        let out = Out {
            buffer: BytesMut::with_capacity(BUFFER),
            busy: false,
        };
        Self {
            socket,
            out: Mutex::new(out),
            more: Notify::new(),
            inline,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame; only the first one has to see that it is written.
    pub(crate) fn push(&self, id: u32, method: u16, body: &[u8]) {
        let mut out = self.lock();
        let first = out.buffer.is_empty() && !out.busy;
        append(&mut out.buffer, id, method, body);
        if !first {
            return;
        }
        if self.inline {
            self.try_write(&mut out.buffer);
            if out.buffer.is_empty() {
                return;
            }
        }
        drop(out);
        self.more.notify_one();
    }

    /// Writes a whole batch, or leaves the rest of it to the flusher. Empties `batch`.
    pub(crate) fn write_batch(&self, batch: &mut BytesMut) {
        if batch.is_empty() {
            return;
        }
        let mut out = self.lock();
        let first = out.buffer.is_empty() && !out.busy;
        if first {
            self.try_write(batch);
        }
        if !batch.is_empty() {
            out.buffer.put_slice(batch);
            drop(out);
            if first {
                self.more.notify_one();
            }
        }
        batch.clear();
        if batch.capacity() < BUFFER / 2 {
            batch.reserve(BUFFER);
        }
    }

    fn try_write(&self, bytes: &mut BytesMut) {
        if let Ok(written) = self.socket.try_write(bytes) {
            bytes.advance(written);
        }
    }

    /// Writes what was pushed, until the connection fails.
    pub(crate) async fn flush(self: Arc<Self>) {
        let mut spare = BytesMut::with_capacity(BUFFER);
        loop {
            self.more.notified().await;
            if !self.inline {
                // Every caller that the same read has woken adds its frame first.
                tokio::task::yield_now().await;
            }
            loop {
                {
                    let mut out = self.lock();
                    out.busy = !out.buffer.is_empty();
                    if !out.busy {
                        break;
                    }
                    std::mem::swap(&mut out.buffer, &mut spare);
                }
                while !spare.is_empty() {
                    match self.socket.try_write(&spare) {
                        Ok(written) => spare.advance(written),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if self.socket.writable().await.is_err() {
                                return;
                            }
                        }
                        Err(_) => return,
                    }
                }
                spare.clear();
                if spare.capacity() < BUFFER / 2 {
                    spare.reserve(BUFFER);
                }
            }
        }
    }
}
