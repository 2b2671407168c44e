//! JSON: one form of each message, written in three dialects and read from all of them.
//!
//! | | [original names](JsonCodec::original_names) | [Go](JsonCodec::go) | [canonical](JsonCodec::canonical) |
//! |---|---|---|---|
//! | used by | mucp's `application/json`, every client of ours | `application/json-rpc` | gRPC, Connect, plain JSON |
//! | field names | original | original | lowerCamel |
//! | 64-bit integers | numbers | numbers | strings |
//! | enums | names | numbers | names |
//! | times, wrappers, `Any` | RFC 3339, `"1.5s"`, bare values, `@type` | objects of their fields | as original names |
//! | `FieldMask` | object with `paths` | object with `paths` | `"a,b.cD"` |
//! | a oneof | the member alone | `"Choice":{"TextChoice":"t"}`, `"Choice":null` | the member alone |
//! | NaN, infinities | strings | refused | strings |
//! | `<`, `>`, `&`, U+2028, U+2029 | as they are | escaped | as they are |
//! | ends with a line feed | yes | no: the envelope's line ends | no |
//!
//! A value of zero is left out, a set `optional` is written. What the first dialect writes, Go Micro
//! reads; the second is what Go Micro itself writes, of which it cannot read back a oneof.
//!
//! Reading takes every form above whichever the dialect, integers written as `1.0` or `1e1`, both
//! alphabets of base64 with and without padding, unknown fields (ignored), `null` for the default, and
//! half surrogate pairs (U+FFFD, as in Go). The last of two equal keys wins, and the last member of a
//! oneof. Lists and objects may lie 128 deep in each other. An enum's name that is not known is an
//! error, and in proto2 an unknown number too. proto2's `required` is not checked, as prost does not.
//! What follows the document is ignored, as Go Micro does, save by the canonical dialect.

mod any;
mod fault;
mod fill;
mod known;
mod lex;
mod mask;
mod number;
mod read;
mod text;
mod time;
mod tree;
mod types;
mod write;

pub use fill::Fill;
pub use tree::Tree;
pub use types::Types;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::form::Form;
use super::{Codec, Payload};
use crate::error::{Error, Result, id};

/// JSON in one of its dialects; see the [module](self).
#[derive(Clone, Debug)]
pub struct JsonCodec {
    content_type: &'static str,
    dialect: Dialect,
    client: bool,
    types: Types,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    OriginalNames,
    Go,
    Canonical,
}

impl JsonCodec {
    /// Canonical proto3 JSON with original field names and plain integers: mucp's `application/json`.
    pub const fn original_names(content_type: &'static str) -> Self {
        Self::new(content_type, Dialect::OriginalNames)
    }

    /// JSON as Go's `encoding/json` writes generated structs: mucp's `application/json-rpc`.
    pub const fn go(content_type: &'static str) -> Self {
        Self::new(content_type, Dialect::Go)
    }

    /// Canonical proto3 JSON: gRPC's, Connect's.
    pub const fn canonical(content_type: &'static str) -> Self {
        Self::new(content_type, Dialect::Canonical)
    }

    const fn new(content_type: &'static str, dialect: Dialect) -> Self {
        Self {
            content_type,
            dialect,
            client: false,
            types: Types::new(),
        }
    }

    /// The codec as a client has it. It refuses to write a oneof that is set in Go's dialect, which no
    /// Go server reads; an empty reply is an error; and its errors have an id and code 500.
    ///
    /// Without this it is a server's: it writes oneofs as Go does, takes an empty body for an empty
    /// message, and says what is wrong with a body in plain words, as Go Micro's server does.
    #[must_use]
    pub const fn for_client(mut self) -> Self {
        self.client = true;
        self
    }

    /// The codec with messages that it can unfold from a `google.protobuf.Any`.
    #[must_use]
    pub fn with_types(mut self, types: Types) -> Self {
        self.types = types;
        self
    }

    fn read(&self, body: &[u8], form: &mut dyn Form) -> fault::Result<()> {
        let mut reader = read::Reader::new(body, &self.types)?;
        reader.document(form)?;
        match self.dialect {
            Dialect::Canonical => reader.end(),
            Dialect::OriginalNames | Dialect::Go => Ok(()),
        }
    }
}

impl Codec for JsonCodec {
    fn content_type(&self) -> &str {
        self.content_type
    }

    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
        let form = message.form().ok_or_else(|| self.no_form())?;
        (write::Writer::new(self, out).document(form))
            .map_err(|fault| fault.into_internal(id::CLIENT_CODEC))?;
        if self.dialect == Dialect::OriginalNames {
            out.put_u8(b'\n');
        }
        Ok(())
    }

    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
        let form = message.form_mut().ok_or_else(|| self.no_form())?;
        if body.is_empty() && !self.client {
            form.clear();
            return Ok(());
        }
        self.read(&body, form).map_err(|fault| match self.client {
            true => fault.into_internal(id::CLIENT_CODEC),
            false => fault.into_plain(),
        })
    }

    fn size_hint(&self, message: &dyn Payload) -> usize {
        // Names and quotes make it about twice as long as protobuf.
        message.proto_len().saturating_mul(2).saturating_add(32)
    }
}

impl JsonCodec {
    fn no_form(&self) -> Error {
        let text = format!("{} cannot carry raw bytes", self.content_type);
        Error::internal(id::CLIENT_CODEC, text)
    }
}
