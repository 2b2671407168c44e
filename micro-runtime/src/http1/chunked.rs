//! A body in chunks (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};

use super::Malformed;
use super::head::Scan;

/// The longest line of a chunk's size, extensions included.
const LINE: usize = 256;
/// The most bytes of trailers.
const TRAILERS: usize = 8 * 1024;
/// The most trailer fields.
const TRAILER_FIELDS: usize = 32;
/// So much of one chunk is not copied, where nothing is gathered before it.
const SHARED: usize = 4 * 1024;

/// What stands behind the last chunk: names as they were sent, and values.
pub(crate) type Trailers = Vec<(Bytes, Bytes)>;

/// Puts a body together from its chunks, whole or in larger pieces.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    next: Next,
    body: BytesMut,
    scan: Scan,
}

#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    Size,
    /// So many bytes of a chunk are missing.
    Data(usize),
    /// The line end after a chunk.
    DataEnd,
    Trailers,
}

impl Chunked {
    /// Takes what is there from `inbox`; the body when it is whole.
    pub(super) fn decode(
        &mut self,
        inbox: &mut BytesMut,
        bound: usize,
    ) -> Result<Option<Bytes>, Malformed> {
        let ended = self.gather(inbox, bound, usize::MAX)?;
        Ok(ended.map(|_| self.take()))
    }

    /// What has been gathered and not been taken.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.body).freeze()
    }

    /// Gathers what is there in `inbox`, until that are `enough` bytes; the trailers when the body
    /// has ended. A body of more than `bound` bytes that nobody has taken is refused.
    pub(super) fn gather(
        &mut self,
        inbox: &mut BytesMut,
        bound: usize,
        enough: usize,
    ) -> Result<Option<Trailers>, Malformed> {
        while self.body.len() < enough {
            match self.next {
                Next::Size => {
                    let Some(line) = line(inbox)? else {
                        return Ok(None);
                    };
                    let size = size(inbox.get(..line).unwrap_or_default())?;
                    inbox.advance(line + 2);
                    if size > bound.saturating_sub(self.body.len()) {
                        return Err(Malformed::BodyTooLarge);
                    }
                    self.next = match size {
                        0 => Next::Trailers,
                        size => Next::Data(size),
                    };
                }
                Next::Data(missing) => {
                    let n = missing.min(inbox.len()).min(enough - self.body.len());
                    if n >= SHARED && self.body.is_empty() {
                        self.body = inbox.split_to(n);
                    } else {
                        self.body
                            .extend_from_slice(inbox.get(..n).unwrap_or_default());
                        inbox.advance(n);
                    }
                    if n < missing {
                        self.next = Next::Data(missing - n);
                        return Ok(None);
                    }
                    self.next = Next::DataEnd;
                }
                Next::DataEnd => match inbox.get(..2.min(inbox.len())) {
                    Some(b"\r\n") => {
                        inbox.advance(2);
                        self.next = Next::Size;
                    }
                    Some(b"" | b"\r") => return Ok(None),
                    _ => return Err(Malformed::ChunkEnd),
                },
                Next::Trailers => {
                    let end = self
                        .scan
                        .end(inbox, TRAILERS, true)
                        .map_err(|_| Malformed::Trailers)?;
                    let Some(end) = end else {
                        return Ok(None);
                    };
                    return read_trailers(&inbox.split_to(end)).map(Some);
                }
            }
        }
        Ok(None)
    }
}

fn read_trailers(block: &[u8]) -> Result<Trailers, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    match httparse::parse_headers(block, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(fields
            .iter()
            .map(|field| {
                let name = Bytes::copy_from_slice(field.name.as_bytes());
                (name, Bytes::copy_from_slice(field.value))
            })
            .collect()),
        Ok(httparse::Status::Partial) | Err(_) => Err(Malformed::Trailers),
    }
}

/// How long the line at the front of `inbox` is, without its end; `None` until that is there.
fn line(inbox: &[u8]) -> Result<Option<usize>, Malformed> {
    for (at, byte) in inbox.iter().enumerate() {
        if at >= LINE {
            return Err(Malformed::ChunkLine);
        }
        match byte {
            b'\r' => match inbox.get(at + 1) {
                Some(b'\n') => return Ok(Some(at)),
                Some(_) => return Err(Malformed::BareCr),
                None => return Ok(None),
            },
            b'\n' => return Err(Malformed::BareLf),
            _ => {}
        }
    }
    Ok(None)
}

/// The size that a chunk's line says; its extensions mean nothing to us.
fn size(line: &[u8]) -> Result<usize, Malformed> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (number, rest) = line.split_at(digits);
    let extension_begins = rest
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t'))
        .is_none_or(|byte| *byte == b';');
    // Blanks alone after the size are read differently by different parsers.
    let blanks_alone = !rest.is_empty() && !rest.contains(&b';');
    let controls = rest.iter().any(|byte| *byte < b' ' && *byte != b'\t');
    if number.is_empty() || number.len() > 16 || !extension_begins || blanks_alone || controls {
        return Err(Malformed::ChunkSize);
    }
    std::str::from_utf8(number)
        .ok()
        .and_then(|number| usize::from_str_radix(number, 16).ok())
        .ok_or(Malformed::ChunkSize)
}
