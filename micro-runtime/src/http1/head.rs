//! The head of a message: its start line and header fields.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};

use super::{Malformed, Role};
use crate::metadata::Text;

/// Most heads have fewer fields than this; it is what is tried without an allocation.
const FEW: usize = 48;

/// A parsed head. Field names are in the form `Title-Case-Per-Dash`, values are trimmed; both are
/// slices of the bytes received.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Bytes,
    start: StartSpans,
    /// Whether it is HTTP/1.1.
    pub(crate) http11: bool,
    fields: Vec<Field>,
}

/// A start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// Of a request.
    Request {
        /// `POST`.
        method: &'a [u8],
        /// `/`.
        target: &'a [u8],
    },
    /// Of a response.
    Status {
        /// 200.
        code: u16,
        /// `OK`.
        reason: &'a [u8],
    },
}

#[derive(Clone, Copy, Debug)]
enum StartSpans {
    Request { method: Span, target: Span },
    Status { code: u16, reason: Span },
}

/// A header field within the bytes of its head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    at: usize,
    end: usize,
}

impl Span {
    /// Where `part` lies within `whole`, of which it is a slice.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let at = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self {
            at,
            end: at + part.len(),
        }
    }

    fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.at..self.end).unwrap_or_default()
    }
}

impl Head {
    /// The start line.
    pub(crate) fn start(&self) -> Start<'_> {
        match self.start {
            StartSpans::Request { method, target } => Start::Request {
                method: method.get(&self.bytes),
                target: target.get(&self.bytes),
            },
            StartSpans::Status { code, reason } => Start::Status {
                code,
                reason: reason.get(&self.bytes),
            },
        }
    }

    /// The fields, names in canonical form.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + '_ {
        self.fields
            .iter()
            .map(|field| (field.name.get(&self.bytes), field.value.get(&self.bytes)))
    }

    /// The value of field number `index`; empty where there is none.
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        self.fields
            .get(index)
            .map_or(&[], |field| field.value.get(&self.bytes))
    }

    /// Name and value of field number `index` as shared text, without a copy.
    pub(crate) fn text(&self, index: usize) -> Option<(Text, Text)> {
        let field = self.fields.get(index)?;
        let share = |span: Span| Text::from_utf8(self.bytes.slice(span.at..span.end)).ok();
        Some((share(field.name)?, share(field.value)?))
    }

    /// Name and value of field number `index`, the value shared.
    #[cfg(feature = "grpc")]
    pub(crate) fn shared(&self, index: usize) -> Option<(&[u8], Bytes)> {
        let field = self.fields.get(index)?;
        let value = self.bytes.slice(field.value.at..field.value.end);
        Some((field.name.get(&self.bytes), value))
    }

    /// The first value of `name`, which is in canonical form.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the list of fields back for the next head.
    pub(super) fn into_spare(self) -> Vec<Field> {
        self.fields
    }

    /// Reads a whole head, its last empty line included.
    pub(super) fn parse(
        mut head: BytesMut,
        role: Role,
        most: usize,
        mut fields: Vec<Field>,
    ) -> Result<Self, Malformed> {
        // Field boundaries are ASCII, so each value is UTF-8 if the whole is.
        if std::str::from_utf8(&head).is_err() {
            return Err(Malformed::NotUtf8);
        }
        fields.clear();
        let mut few = [const { MaybeUninit::uninit() }; FEW];
        let few = few.get_mut(..most.min(FEW)).unwrap_or_default();
        let (start, http11) = match read_uninit(role, &head, few, &mut fields) {
            Err(httparse::Error::TooManyHeaders) if most > FEW => {
                fields.clear();
                let mut many = vec![MaybeUninit::uninit(); most];
                read_uninit(role, &head, &mut many, &mut fields)
            }
            read => read,
        }
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => Malformed::TooManyHeaders,
            httparse::Error::Version => Malformed::Version,
            _ => Malformed::Syntax,
        })?;
        for field in &fields {
            if let Some(name) = head.get_mut(field.name.at..field.name.end) {
                canonical(name);
            }
        }
        Ok(Self {
            bytes: head.freeze(),
            start,
            http11,
            fields,
        })
    }
}

fn read_uninit<'h>(
    role: Role,
    head: &'h [u8],
    room: &mut [MaybeUninit<httparse::Header<'h>>],
    fields: &mut Vec<Field>,
) -> Result<(StartSpans, bool), httparse::Error> {
    let span = |part: &str| Span::of(part.as_bytes(), head);
    let config = httparse::ParserConfig::default();
    let (start, version, headers) = match role {
        Role::Request => {
            let mut request = httparse::Request::new(&mut []);
            if !config
                .parse_request_with_uninit_headers(&mut request, head, room)?
                .is_complete()
            {
                return Err(httparse::Error::Status);
            }
            let start = StartSpans::Request {
                method: span(request.method.unwrap_or_default()),
                target: span(request.path.unwrap_or_default()),
            };
            (start, request.version, request.headers)
        }
        Role::Response => {
            let mut response = httparse::Response::new(&mut []);
            if !config
                .parse_response_with_uninit_headers(&mut response, head, room)?
                .is_complete()
            {
                return Err(httparse::Error::Status);
            }
            let start = StartSpans::Status {
                code: response.code.unwrap_or_default(),
                reason: span(response.reason.unwrap_or_default()),
            };
            (start, response.version, response.headers)
        }
    };
    fields.extend(headers.iter().map(|header| Field {
        name: span(header.name),
        value: Span::of(header.value, head),
    }));
    Ok((start, version == Some(1)))
}

/// Puts a field name into the form `Title-Case-Per-Dash`.
pub(crate) fn canonical(name: &mut [u8]) {
    let mut first = true;
    for byte in name {
        if first {
            byte.make_ascii_uppercase();
        } else {
            byte.make_ascii_lowercase();
        }
        first = *byte == b'-';
    }
}

/// Whether `name` may be the name of a header field (RFC 9110 section 5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Finds the empty line that ends a head, over any number of reads and each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    at: usize,
    /// Where the line at `at` begins.
    line: usize,
}

impl Scan {
    /// How long the head in `bytes` is, its last empty line included; `None` until that is there.
    ///
    /// `limit` bounds it; an empty line may come first only among trailers.
    pub(super) fn end(
        &mut self,
        bytes: &[u8],
        limit: usize,
        trailers: bool,
    ) -> Result<Option<usize>, Malformed> {
        while let Some(&byte) = bytes.get(self.at) {
            if self.at >= limit {
                return Err(Malformed::HeadTooLarge);
            }
            match byte {
                b'\r' => match bytes.get(self.at + 1) {
                    Some(b'\n') => {
                        let empty = self.at == self.line;
                        self.at += 2;
                        if empty {
                            if self.line == 0 && !trailers {
                                return Err(Malformed::Syntax);
                            }
                            return Ok(Some(self.at));
                        }
                        self.line = self.at;
                        continue;
                    }
                    Some(_) => return Err(Malformed::BareCr),
                    // Its line feed may come with the next read.
                    None => return Ok(None),
                },
                b'\n' => return Err(Malformed::BareLf),
                b' ' | b'\t' if self.at == self.line && (self.line > 0 || trailers) => {
                    return Err(Malformed::Folded);
                }
                _ => self.at += 1,
            }
        }
        Ok(None)
    }
}
