//! Forms written through serde, for codecs of other self-describing formats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_types::{Struct, Value, value};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::lex::{DEPTH, too_deep};
use super::number::Float as _;
use super::{mask, time};
use crate::codec::form::{Fields, Form, Key, Known, Meaning, View};

/// A message to be written by any serde format.
///
/// The tree is that of [`JsonCodec::original_names`](super::JsonCodec::original_names), with these
/// differences: an `Any` is its two fields, and formats that are not for people get bytes as bytes,
/// map keys as what they are, and floats as they are.
///
/// ```
/// use bytes::{BufMut, Bytes, BytesMut};
/// use micro_runtime::codec::{Codec, Fill, Payload, Tree};
/// use micro_runtime::{Error, Result};
/// use serde::de::DeserializeSeed;
///
/// #[derive(Debug)]
/// struct Pretty;
///
/// impl Codec for Pretty {
///     fn content_type(&self) -> &str {
///         "application/json; pretty"
///     }
///
///     fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
///         let form = message.form().ok_or_else(|| Error::internal("pretty", "raw bytes"))?;
///         serde_json::to_writer_pretty(out.writer(), &Tree::new(form))
///             .map_err(|error| Error::internal("pretty", error.to_string()))
///     }
///
///     fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
///         let form = message.form_mut().ok_or_else(|| Error::internal("pretty", "raw bytes"))?;
///         Fill::new(form)
///             .deserialize(&mut serde_json::Deserializer::from_slice(&body))
///             .map_err(|error| Error::internal("pretty", error.to_string()))
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a>(&'a dyn Form);

impl<'a> Tree<'a> {
    /// The tree of `form`.
    pub fn new(form: &'a dyn Form) -> Self {
        Self(form)
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Node(self.0.view(), Meaning::Wrapper, 0).serialize(serializer)
    }
}

/// A value, what it means, and how deep it lies.
struct Node<'a>(View<'a>, Meaning, u8);

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Node(view, meaning, depth) = *self;
        if depth == DEPTH {
            return Err(S::Error::custom(too_deep()));
        }
        match view {
            View::Absent => to.serialize_none(),
            View::Bool(value) => to.serialize_bool(value),
            View::I32(number) => match meaning {
                Meaning::Enum(names) => match names.name_of(number) {
                    Some(name) => to.serialize_str(name),
                    None => to.serialize_i32(number),
                },
                Meaning::Null => to.serialize_none(),
                _ => to.serialize_i32(number),
            },
            View::I64(number) => to.serialize_i64(number),
            View::U32(number) => to.serialize_u32(number),
            View::U64(number) => to.serialize_u64(number),
            View::F32(number) => match number.special() {
                Some(special) if to.is_human_readable() => to.serialize_str(special),
                _ => to.serialize_f32(number),
            },
            View::F64(number) => match number.special() {
                Some(special) if to.is_human_readable() => to.serialize_str(special),
                _ => to.serialize_f64(number),
            },
            View::Text(text) => to.serialize_str(text),
            View::Bytes(bytes) if to.is_human_readable() => {
                to.serialize_str(&STANDARD.encode(bytes))
            }
            View::Bytes(bytes) => to.serialize_bytes(bytes),
            View::Message(message) => message_tree(message, depth, to),
            View::List(list) => {
                let mut seq = to.serialize_seq(Some(list.len()))?;
                for view in (0..list.len()).filter_map(|index| list.get(index)) {
                    seq.serialize_element(&Node(view, meaning, depth + 1))?;
                }
                seq.end()
            }
            View::Map(map) => {
                let as_text = to.is_human_readable();
                let mut out = to.serialize_map(Some(map.len()))?;
                for (key, view) in map.entries() {
                    out.serialize_entry(
                        &KeyTree { key, as_text },
                        &Node(view, meaning, depth + 1),
                    )?;
                }
                out.end()
            }
            View::Known(known) => known_tree(known, depth, to),
        }
    }
}

fn message_tree<S: Serializer>(message: &dyn Fields, depth: u8, to: S) -> Result<S::Ok, S::Error> {
    let fields = || {
        (message.shape().fields().iter().enumerate()).filter_map(|(index, field)| {
            let view = message.field(index)?.view();
            let written =
                !matches!(view, View::Absent) && (field.has_presence() || !view.is_zero());
            written.then_some((field, view))
        })
    };
    // Some formats must know the number of entries beforehand.
    let mut out = to.serialize_map(Some(fields().count()))?;
    for (field, view) in fields() {
        out.serialize_entry(field.name(), &Node(view, field.what(), depth + 1))?;
    }
    out.end()
}

fn known_tree<S: Serializer>(known: Known<'_>, depth: u8, to: S) -> Result<S::Ok, S::Error> {
    let mut text = String::new();
    let written = match known {
        Known::Timestamp(time) => time::write_timestamp(time, &mut text),
        Known::Duration(time) => time::write_duration(time, &mut text),
        Known::FieldMask(mask) => mask::write(mask, &mut text),
        Known::Empty => return to.serialize_map(Some(0))?.end(),
        Known::Any(any) => {
            let mut out = to.serialize_map(Some(2))?;
            out.serialize_entry("type_url", &any.type_url)?;
            out.serialize_entry(
                "value",
                &Node(View::Bytes(&any.value), Meaning::Plain, depth),
            )?;
            return out.end();
        }
        Known::Struct(object) => return struct_tree(object, depth, to),
        Known::ListValue(list) => return list_tree(&list.values, depth, to),
        Known::Value(value) => {
            return match &value.kind {
                None | Some(value::Kind::NullValue(_)) => to.serialize_none(),
                Some(value::Kind::BoolValue(value)) => to.serialize_bool(*value),
                Some(value::Kind::NumberValue(number)) if !number.is_finite() => Err(
                    S::Error::custom("google.protobuf.Value.number_value: not a finite number"),
                ),
                Some(value::Kind::NumberValue(number)) => to.serialize_f64(*number),
                Some(value::Kind::StringValue(text)) => to.serialize_str(text),
                Some(value::Kind::ListValue(list)) => list_tree(&list.values, depth, to),
                Some(value::Kind::StructValue(object)) => struct_tree(object, depth, to),
            };
        }
    };
    written.map_err(S::Error::custom)?;
    to.serialize_str(&text)
}

fn struct_tree<S: Serializer>(object: &Struct, depth: u8, to: S) -> Result<S::Ok, S::Error> {
    let mut out = to.serialize_map(Some(object.fields.len()))?;
    for (key, value) in &object.fields {
        let view = View::Known(Known::Value(value));
        out.serialize_entry(key, &Node(view, Meaning::Plain, depth + 1))?;
    }
    out.end()
}

fn list_tree<S: Serializer>(values: &[Value], depth: u8, to: S) -> Result<S::Ok, S::Error> {
    let mut out = to.serialize_seq(Some(values.len()))?;
    for value in values {
        let view = View::Known(Known::Value(value));
        out.serialize_element(&Node(view, Meaning::Plain, depth + 1))?;
    }
    out.end()
}

struct KeyTree<'a> {
    key: Key<'a>,
    as_text: bool,
}

impl Serialize for KeyTree<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.key {
            Key::Text(key) => to.serialize_str(key),
            Key::Bool(key) if self.as_text => to.collect_str(&key),
            Key::Signed(key) if self.as_text => to.collect_str(&key),
            Key::Unsigned(key) if self.as_text => to.collect_str(&key),
            Key::Bool(key) => to.serialize_bool(key),
            Key::Signed(key) => to.serialize_i64(key),
            Key::Unsigned(key) => to.serialize_u64(key),
        }
    }
}
