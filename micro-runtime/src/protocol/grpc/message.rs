//! Messages in a stream's bytes: a flag, a length, and as many bytes; compressed where the flag says so.

use std::task::{Context as Task, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(super) use super::encoding::Encoding;
use super::text::Decoder;
use crate::error::{Error, id};
use crate::protocol::exchange::Inbound;
use crate::protocol::http2::{Chunk, Fault};
use crate::router::Held;

/// The flag and the length before a message.
pub(super) const PREFIX: usize = 5;

/// How long the frame behind the last message may be, however long or short messages have to be.
const CLOSING: usize = 1 << 20;

/// `message` as it is sent.
///
/// # Errors
/// Where it is longer than gRPC can say.
pub(super) fn frame(message: Bytes, encoding: Encoding) -> Result<Chunk, Error> {
    let (flag, message) = match encoding.pack(&message)? {
        Some(packed) => (1, packed),
        None => (0, message),
    };
    let length = u32::try_from(message.len()).map_err(|_| too_long())?;
    let [a, b, c, d] = length.to_be_bytes();
    Ok(Chunk::prefixed([flag, a, b, c, d], message))
}

/// As [`frame`], copied behind what `out` has: cheaper for small messages.
pub(super) fn append(message: &[u8], encoding: Encoding, out: &mut BytesMut) -> Result<(), Error> {
    if encoding != Encoding::Identity {
        out.put(frame(Bytes::copy_from_slice(message), encoding)?);
        return Ok(());
    }
    let length = u32::try_from(message.len()).map_err(|_| too_long())?;
    let [a, b, c, d] = length.to_be_bytes();
    out.reserve(PREFIX + message.len());
    out.extend_from_slice(&[0, a, b, c, d]);
    out.extend_from_slice(message);
    Ok(())
}

fn too_long() -> Error {
    Error::internal(id::CLIENT, "a message of more than 4 GiB cannot be sent").with_grpc_code(8)
}

/// Why the next message is not there.
#[derive(Debug)]
pub(super) enum Broken {
    /// What came is no message that is taken here.
    Message(Error),
    /// The stream or its connection failed.
    Stream(Fault),
}

/// How messages lie in a stream's bytes.
#[derive(Debug)]
enum Shape {
    /// Each behind its flag and length.
    Enveloped,
    /// The same, and all of it in base64.
    Text(Decoder),
    /// All bytes are one message.
    Whole,
    /// The message came before them, and there are to be none.
    Given,
    /// The message was taken.
    Taken,
}

/// Reads messages of one direction of a stream.
#[derive(Debug)]
pub(super) struct Messages {
    shape: Shape,
    /// Bytes that came and are not used; they lie in one piece.
    rest: Bytes,
    /// A message that has begun: its flag, and how long it is.
    begun: Option<(u8, usize)>,
    /// What is there of a prefix or a message that came in several pieces.
    partial: BytesMut,
    encoding: Encoding,
    /// The longest message, before and after decompression.
    most: usize,
    /// No bytes follow.
    ended: bool,
    /// The flag of the frame behind the last message, where the dialect has one.
    closes: u8,
    /// What is in that frame.
    closing: Option<Bytes>,
    /// The room that the message which is not all there takes, where it is counted.
    held: Option<Held>,
}

impl Messages {
    pub(super) fn new(encoding: Encoding, most: usize) -> Self {
        Self {
            shape: Shape::Enveloped,
            rest: Bytes::new(),
            begun: None,
            partial: BytesMut::new(),
            encoding,
            most,
            ended: false,
            closes: 0,
            closing: None,
            held: None,
        }
    }

    /// The same, holding no more of a message that is not all there than there is room for.
    pub(super) fn within(self, held: Held) -> Self {
        Self {
            held: Some(held),
            ..self
        }
    }

    /// The same, of a dialect that tells the end in a frame with this flag.
    pub(super) fn closed_by(self, flag: u8) -> Self {
        Self {
            closes: flag,
            ..self
        }
    }

    /// What is in the frame behind the last message, once [`poll_next`](Self::poll_next) has come to
    /// the end.
    pub(super) fn closing(&self) -> Option<&Bytes> {
        self.closing.as_ref()
    }

    /// Those of a stream whose bytes are text.
    pub(super) fn of_text(encoding: Encoding, most: usize) -> Self {
        Self {
            shape: Shape::Text(Decoder::default()),
            ..Self::new(encoding, most)
        }
    }

    /// The one that is all of a stream's bytes.
    pub(super) fn whole(encoding: Encoding, most: usize) -> Self {
        Self {
            shape: Shape::Whole,
            ..Self::new(encoding, most)
        }
    }

    /// The one that is there already, in front of a stream without bytes, whose end is waited for: a
    /// request that ends badly is none.
    pub(super) fn given(message: Bytes, encoding: Encoding, most: usize) -> Self {
        Self {
            shape: Shape::Given,
            rest: message,
            ..Self::new(encoding, most)
        }
    }

    /// The next message of `input`; `None` at the end of its bytes.
    pub(super) fn poll_next(
        &mut self,
        input: &mut Inbound,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<Bytes>, Broken>> {
        loop {
            if self.closing.is_none()
                && let Some(message) = self.take().map_err(Broken::Message)?
            {
                self.hold(0);
                return Poll::Ready(Ok(Some(message)));
            }
            if !self.hold(self.partial.capacity()) {
                return Poll::Ready(Err(Broken::Message(no_room())));
            }
            if self.closing.is_some() && !self.rest.is_empty() {
                let words = "bytes follow the frame that ends the stream";
                return Poll::Ready(Err(Broken::Message(wrong(words))));
            }
            if self.ended {
                return Poll::Ready(self.end().map_err(Broken::Message));
            }
            match ready!(input.poll_data(task)) {
                Some(Ok(data)) => self.put(data).map_err(Broken::Message)?,
                Some(Err(fault)) => return Poll::Ready(Err(Broken::Stream(fault))),
                None => self.put_end().map_err(Broken::Message)?,
            }
        }
    }

    /// Counts `bytes` as held; says whether there was room for them.
    fn hold(&mut self, bytes: usize) -> bool {
        self.held.as_mut().is_none_or(|held| held.set(bytes))
    }

    /// Takes bytes that came; those before are used.
    fn put(&mut self, data: Bytes) -> Result<(), Error> {
        match &mut self.shape {
            Shape::Enveloped => self.rest = data,
            Shape::Text(decoder) => {
                let mut bytes = BytesMut::new();
                decoder.decode(&data, &mut bytes)?;
                self.rest = bytes.freeze();
            }
            Shape::Given if data.is_empty() => {}
            Shape::Given => {
                let words = "the message is in the query, and a body came too";
                return Err(Error::bad_request(id::SERVER, words));
            }
            Shape::Whole | Shape::Taken => {
                let length = self.partial.len() + self.rest.len() + data.len();
                if length > self.most {
                    return Err(too_large(length, self.most));
                }
                if length == data.len() {
                    // Most messages come in one piece.
                    self.rest = data;
                } else {
                    let first = std::mem::take(&mut self.rest);
                    self.partial.extend_from_slice(&first);
                    self.partial.extend_from_slice(&data);
                }
            }
        }
        Ok(())
    }

    fn put_end(&mut self) -> Result<(), Error> {
        self.ended = true;
        if let Shape::Text(decoder) = &mut self.shape {
            let mut bytes = BytesMut::new();
            decoder.end(&mut bytes)?;
            self.rest = bytes.freeze();
        }
        Ok(())
    }

    /// The message that all bytes are, once.
    fn take_whole(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.ended || matches!(self.shape, Shape::Taken) {
            return Ok(None);
        }
        self.shape = Shape::Taken;
        let message = match self.partial.is_empty() {
            true => std::mem::take(&mut self.rest),
            false => self.partial.split().freeze(),
        };
        // No bytes are an empty message, whatever its head says.
        let is_packed = self.encoding != Encoding::Identity && !message.is_empty();
        match is_packed {
            true => self.encoding.unpack(message, self.most).map(Some),
            false if message.len() > self.most => Err(too_large(message.len(), self.most)),
            false => Ok(Some(message)),
        }
    }

    /// Whether it is known without asking that no message follows.
    pub(super) fn is_at_end(&self, input: &Inbound) -> bool {
        self.rest.is_empty() && self.begun.is_none() && (self.ended || input.is_at_end())
    }

    fn end(&self) -> Result<Option<Bytes>, Error> {
        if self.begun.is_some() || !self.partial.is_empty() {
            return Err(wrong("the stream ended within a message"));
        }
        Ok(None)
    }

    /// The next message, where all of it is there. Uses up what is there otherwise.
    fn take(&mut self) -> Result<Option<Bytes>, Error> {
        if matches!(self.shape, Shape::Whole | Shape::Given | Shape::Taken) {
            return self.take_whole();
        }
        let (flag, length) = match self.begun {
            Some(begun) => begun,
            None => {
                let begun = match self.rest.get(..PREFIX) {
                    Some(prefix) if self.partial.is_empty() => {
                        let begun = self.read_prefix(prefix)?;
                        self.rest.advance(PREFIX);
                        begun
                    }
                    _ => {
                        let Some(prefix) = self.pieces(PREFIX) else {
                            return Ok(None);
                        };
                        self.read_prefix(&prefix)?
                    }
                };
                self.begun = Some(begun);
                begun
            }
        };
        let Some(message) = self.pieces(length) else {
            return Ok(None);
        };
        self.begun = None;
        let closes = flag & self.closes != 0;
        let message = match flag & !self.closes {
            0 => message,
            _ => self.encoding.unpack(message, self.bound(closes))?,
        };
        if closes {
            self.closing = Some(message);
            return Ok(None);
        }
        Ok(Some(message))
    }

    /// How long a message may be, or the frame behind the last one.
    fn bound(&self, closes: bool) -> usize {
        match closes {
            true => CLOSING,
            false => self.most,
        }
    }

    fn read_prefix(&self, prefix: &[u8]) -> Result<(u8, usize), Error> {
        let &[flag, a, b, c, d] = prefix else {
            return Err(wrong("a message's length is incomplete"));
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let most = self.bound(flag & self.closes != 0);
        match (flag & !self.closes, self.encoding) {
            (0, _) | (1, Encoding::With(_)) => {}
            (1, Encoding::Identity) => {
                return Err(wrong(
                    "a message is compressed, and its stream's head does not say how",
                ));
            }
            _ => {
                return Err(wrong(format!(
                    "a message has the unknown flags {flag:#04x}"
                )));
            }
        }
        if length > most {
            return Err(too_large(length, most));
        }
        Ok((flag, length))
    }

    /// The next `length` bytes: a slice where they came in one piece.
    fn pieces(&mut self, length: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.rest.len() >= length {
            return Some(self.rest.split_to(length));
        }
        let missing = length - self.partial.len();
        let there = self.rest.split_to(missing.min(self.rest.len()));
        if self.partial.is_empty() && !there.is_empty() {
            // A length is only a claim, yet within the limit; more than that is never set aside.
            self.partial.reserve(length.min(there.len() * 8));
        }
        self.partial.extend_from_slice(&there);
        let whole = self.partial.len() == length && self.partial.remaining() > 0;
        whole.then(|| self.partial.split().freeze())
    }
}

/// A message for which there is no room beside the others.
fn no_room() -> Error {
    let words = "too many long messages are on their way to this server: try again later";
    Error::unavailable(id::SERVER, words).with_grpc_code(8)
}

/// A message that is longer than what is taken.
pub(super) fn too_large(length: usize, most: usize) -> Error {
    let words = format!("a message of {length} bytes, and at most {most} are taken");
    Error::new(id::SERVER, words, 413).with_grpc_code(8)
}

fn wrong(words: impl Into<String>) -> Error {
    Error::internal(id::SERVER, words.into()).with_grpc_code(13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::grpc::Compression;

    const GZIP: Encoding = Encoding::With(Compression::Gzip);

    /// What comes of `bytes` that arrive `step` at a time.
    fn read(bytes: &[u8], step: usize, encoding: Encoding) -> Result<Vec<Bytes>, Error> {
        let mut messages = Messages::new(encoding, 10_000);
        let mut read = Vec::new();
        for piece in bytes.chunks(step) {
            messages.rest = Bytes::copy_from_slice(piece);
            while let Some(message) = messages.take()? {
                read.push(message);
            }
            assert!(messages.rest.is_empty());
        }
        messages.end()?;
        Ok(read)
    }

    fn sent(messages: &[&[u8]], encoding: Encoding) -> Vec<u8> {
        let mut all = Vec::new();
        for message in messages {
            let mut chunk = frame(Bytes::copy_from_slice(message), encoding).unwrap();
            let length = chunk.remaining();
            all.extend_from_slice(&chunk.copy_to_bytes(length));
        }
        all
    }

    #[test]
    fn messages_are_the_same_however_their_bytes_arrive() {
        let long = vec![b'x'; 5000];
        let messages: [&[u8]; 4] = [b"one", b"", &long, b"four"];
        for encoding in [Encoding::Identity, GZIP] {
            let bytes = sent(&messages, encoding);
            assert_eq!(bytes.len() < 5000, encoding == GZIP);
            for step in [1, 2, 3, 4, 5, 6, 7, 9, 100, 6000] {
                assert_eq!(read(&bytes, step, encoding).unwrap(), messages, "{step}");
            }
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let code = |bytes: &[u8], encoding| read(bytes, 64, encoding).unwrap_err().grpc_code();
        let plain = Encoding::Identity;
        assert_eq!(code(&[0, 0, 0], plain), Some(13));
        assert_eq!(code(&[0, 0, 0, 0, 2, 1], plain), Some(13));
        assert_eq!(code(&[1, 0, 0, 0, 1, 1], plain), Some(13));
        assert_eq!(code(&[2, 0, 0, 0, 1, 1], GZIP), Some(13));
        assert_eq!(code(&[1, 0, 0, 0, 1, 1], GZIP), Some(13));
        assert_eq!(code(&[0, 0, 0, 0x27, 0x11], plain), Some(8));
        // Much out of little.
        let bomb = frame(vec![0; 20_000].into(), GZIP).unwrap();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&bomb.clone().copy_to_bytes(bomb.remaining()));
        assert!(bytes.len() < 200);
        assert_eq!(code(&bytes, GZIP), Some(8));
    }
}
