//! Forms read through serde, for codecs of other self-describing formats.

use std::fmt;

use bytes::{BufMut as _, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::lex::{DEPTH, too_deep};
use super::number::{self, Float as _};
use super::read::Reader;
use super::{Types, text};
use crate::codec::form::Form;

/// A message to be filled by any serde format that says what its values are; see [`Tree`](super::Tree).
///
/// It reads what [`JsonCodec`](super::JsonCodec) reads, and bytes, numbers and keys as they are in
/// other formats. The message is filled from a copy of the values: a format that is read often
/// deserves a codec that fills [`Slot`](crate::codec::form::Slot)s itself.
#[derive(Debug)]
pub struct Fill<'a>(&'a mut dyn Form);

impl<'a> Fill<'a> {
    /// A seed that fills `form`.
    pub fn new(form: &'a mut dyn Form) -> Self {
        Self(form)
    }
}

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let mut json = BytesMut::new();
        let copy = Copy {
            out: &mut json,
            depth: 0,
        };
        copy.deserialize(from)?;
        const TYPES: Types = Types::new();
        (Reader::new(&json, &TYPES).and_then(|mut reader| reader.document(self.0)))
            .map_err(D::Error::custom)
    }
}

/// Writes what it is given as JSON.
struct Copy<'a> {
    out: &'a mut BytesMut,
    depth: u8,
}

impl Copy<'_> {
    fn below(&mut self) -> Copy<'_> {
        Copy {
            out: self.out,
            depth: self.depth + 1,
        }
    }

    fn raw(self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.depth > DEPTH {
            return Err(D::Error::custom(too_deep()));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.raw("null");
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        self.raw("null");
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.deserialize(from)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.raw(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        number::write_signed(self.out, value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        number::write_unsigned(self.out, value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        match value.special() {
            Some(special) => text::write_string(self.out, special, false),
            None => number::write_float(self.out, value),
        }
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        text::write_string(self.out, value, false);
        Ok(())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<(), E> {
        text::write_base64(self.out, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.out.put_u8(b'[');
        let mut end = self.out.len();
        while items.next_element_seed(self.below())?.is_some() {
            self.out.put_u8(b',');
            end = self.out.len() - 1;
        }
        self.out.truncate(end);
        self.out.put_u8(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.out.put_u8(b'{');
        let mut end = self.out.len();
        while members.next_key_seed(CopyKey(self.below()))?.is_some() {
            self.out.put_u8(b':');
            members.next_value_seed(self.below())?;
            self.out.put_u8(b',');
            end = self.out.len() - 1;
        }
        self.out.truncate(end);
        self.out.put_u8(b'}');
        Ok(())
    }
}

/// Writes a key as a string.
struct CopyKey<'a>(Copy<'a>);

impl<'de> DeserializeSeed<'de> for CopyKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CopyKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that JSON has")
    }

    fn visit_bool<E>(self, key: bool) -> Result<(), E> {
        self.0.raw(if key { "\"true\"" } else { "\"false\"" });
        Ok(())
    }

    fn visit_i64<E>(self, key: i64) -> Result<(), E> {
        self.0.raw(&format!("\"{key}\""));
        Ok(())
    }

    fn visit_u64<E>(self, key: u64) -> Result<(), E> {
        self.0.raw(&format!("\"{key}\""));
        Ok(())
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        text::write_string(self.0.out, key, false);
        Ok(())
    }
}
