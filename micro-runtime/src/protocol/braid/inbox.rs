//! The way into a connection: bytes to frames, without a copy and without trust.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;

use super::fault::Fault;
use super::fields::read_hello;
use super::wire::{Frame, HEAD, Head, Hello, Kind, MAGIC};
use crate::error::why::Cause;
use crate::error::{Error, id};
use crate::transport::ReadSide;

/// How much a buffer grows by, and how little room is left before it does.
const BLOCK: usize = 64 * 1024;
const LITTLE: usize = 8 * 1024;
/// Room for the rest of a frame of up to this length is made at once.
const EAGER: usize = 2 * BLOCK;

/// Reads frames from a connection.
pub(super) struct Inbox {
    io: ReadSide,
    buffer: BytesMut,
    /// What this side takes.
    limits: Hello,
    /// How long the frame is that the buffer begins with, where its head is there.
    awaited: usize,
}

/// Why an opening failed.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Fault(fault) => fault.to_error(),
            Broken::Io(error) => {
                let cause = Cause::of_io(&error);
                Error::internal(id::CLIENT_TRANSPORT, error.to_string())
                    .with_source(error)
                    .caused_by(cause)
            }
        }
    }
}

impl Inbox {
    pub(super) fn new(io: ReadSide, limits: Hello) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            limits,
            awaited: 0,
        }
    }

    /// Reads the magic and the peer's HELLO. The caller bounds the time.
    pub(super) async fn opening(&mut self) -> Result<Hello, Broken> {
        while self.buffer.len() < MAGIC.len() {
            // A peer that speaks something else need not send as much.
            if !MAGIC.starts_with(&self.buffer) {
                return Err(Fault::Magic.into());
            }
            self.fill_some().await?;
        }
        if !self.buffer.starts_with(&MAGIC) {
            return Err(Fault::Magic.into());
        }
        self.buffer.advance(MAGIC.len());
        loop {
            if let Some(frame) = self.next()? {
                if frame.head.kind != Kind::Hello {
                    return Err(Fault::Hello.into());
                }
                return Ok(read_hello(frame)?);
            }
            self.fill_some().await?;
        }
    }

    async fn fill_some(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next frame, if all of it is there.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        let Some(head) = self.buffer.first_chunk::<HEAD>() else {
            self.awaited = HEAD;
            return Ok(None);
        };
        let head = Head::parse(head, &self.limits)?;
        let length = head.length as usize;
        self.awaited = HEAD + length;
        if self.buffer.len() < self.awaited {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let payload = self.buffer.split_to(length).freeze();
        Ok(Some(Frame { head, payload }))
    }

    /// Whether the last read has filled all the room that there was: then there may be more.
    pub(super) fn is_filled(&self) -> bool {
        self.buffer.len() == self.buffer.capacity()
    }

    /// Whether a frame has begun and is not all there.
    pub(super) fn is_within_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reads what is there; 0 at the end of the connection. Cancel safe.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        let length = self.buffer.len();
        let room = self.buffer.capacity() - length;
        let missing = self.awaited.saturating_sub(length);
        if missing <= EAGER && room < missing.max(LITTLE) {
            self.buffer.reserve(missing.max(BLOCK));
        } else if room < LITTLE {
            // A length is only a claim: the buffer grows with what has come, not with what is said.
            self.buffer.reserve(length.max(BLOCK));
        }
        self.io.read_buf(&mut self.buffer).await
    }

    /// Reads and drops what still comes, until the end of the connection.
    pub(super) async fn discard(&mut self) {
        loop {
            self.buffer.clear();
            self.awaited = 0;
            if !matches!(self.fill().await, Ok(1..)) {
                return;
            }
        }
    }
}
