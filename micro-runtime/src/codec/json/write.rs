//! Writes a form as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use prost_types::{Any, Duration, FieldMask, Struct, Timestamp, Value, value};

use super::fault::{Fault, Kind, Result};
use super::lex::{DEPTH, too_deep};
use super::number::{self, Float};
use super::{Dialect, JsonCodec, mask, time};
use crate::codec::form::{Fields, Form, Key, Known, Map, Meaning, Shape, View};

/// Appends JSON to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut BytesMut,
    codec: &'a JsonCodec,
    depth: u8,
}

impl<'a> Writer<'a> {
    pub(super) fn new(codec: &'a JsonCodec, out: &'a mut BytesMut) -> Self {
        Self {
            out,
            codec,
            depth: 0,
        }
    }

    /// A whole document: a scalar that is one is a wrapper.
    pub(super) fn document(&mut self, form: &dyn Form) -> Result<()> {
        self.value(form.view(), Meaning::Wrapper)
    }

    fn go(&self) -> bool {
        self.codec.dialect == Dialect::Go
    }

    fn value(&mut self, view: View<'_>, meaning: Meaning) -> Result<()> {
        match (view, meaning) {
            (View::List(list), _) => {
                self.open(b'[')?;
                for index in 0..list.len() {
                    self.comma(index > 0);
                    self.value(list.get(index).unwrap_or(View::Absent), meaning)?;
                }
                self.close(b']');
                Ok(())
            }
            (View::Map(map), _) => self.map(map, meaning),
            (View::Message(message), _) => self.message(message),
            (View::Known(known), _) => self.known(known),
            (View::I32(number), Meaning::Enum(names)) if !self.go() => {
                match names.name_of(number) {
                    Some(name) => self.string(name),
                    None => self.signed(number.into()),
                }
                Ok(())
            }
            (View::I32(0), Meaning::Null) if !self.go() => {
                self.raw("null");
                Ok(())
            }
            (scalar, Meaning::Wrapper) if self.go() => {
                self.open(b'{')?;
                if !self.is_empty(scalar) {
                    self.raw("\"value\":");
                    self.scalar(scalar)?;
                }
                self.close(b'}');
                Ok(())
            }
            (scalar, _) => self.scalar(scalar),
        }
    }

    fn scalar(&mut self, view: View<'_>) -> Result<()> {
        match view {
            View::Bool(value) => self.raw(if value { "true" } else { "false" }),
            View::I32(number) => self.signed(number.into()),
            View::U32(number) => number::write_unsigned(self.out, number.into()),
            View::I64(number) => self.wide(|out| number::write_signed(out, number)),
            View::U64(number) => self.wide(|out| number::write_unsigned(out, number)),
            View::F32(number) => self.float(number)?,
            View::F64(number) => self.float(number)?,
            View::Text(text) => self.string(text),
            View::Bytes(bytes) => self.bytes(bytes),
            _ => self.raw("null"),
        }
        Ok(())
    }

    fn message(&mut self, message: &dyn Fields) -> Result<()> {
        self.open(b'{')?;
        let mut some = false;
        self.fields(message, &mut some)?;
        self.close(b'}');
        Ok(())
    }

    /// The fields of a message in an object that is open; `some` says whether it has members.
    fn fields(&mut self, message: &dyn Fields, some: &mut bool) -> Result<()> {
        let shape = message.shape();
        let mut last_oneof = None;
        for (index, field) in shape.fields().iter().enumerate() {
            if self.go()
                && let Some(oneof) = field.oneof()
            {
                if last_oneof.replace(oneof) != Some(oneof) {
                    self.comma(std::mem::replace(some, true));
                    self.go_oneof(message, shape, oneof)?;
                }
                continue;
            }
            let view = message.field(index).map_or(View::Absent, Form::view);
            if matches!(view, View::Absent) || (!field.has_presence() && self.is_empty(view)) {
                continue;
            }
            self.comma(std::mem::replace(some, true));
            self.key(match self.codec.dialect {
                Dialect::Canonical => field.json_name(),
                Dialect::OriginalNames | Dialect::Go => field.name(),
            });
            (self.value(view, field.what()))
                .map_err(|fault| fault.at(shape.name(), field.name()))?;
        }
        Ok(())
    }

    /// Whether a field without presence need not be written.
    fn is_empty(&self, view: View<'_>) -> bool {
        match view {
            View::Absent => true,
            View::Bool(value) => !value,
            View::I32(number) => number == 0,
            View::I64(number) => number == 0,
            View::U32(number) => number == 0,
            View::U64(number) => number == 0,
            // Minus zero is a value of its own, save to Go.
            View::F32(number) => number.to_bits() == 0 || (self.go() && number == 0.0),
            View::F64(number) => number.to_bits() == 0 || (self.go() && number == 0.0),
            View::Text(text) => text.is_empty(),
            View::Bytes(bytes) => bytes.is_empty(),
            View::List(list) => list.is_empty(),
            View::Map(map) => map.is_empty(),
            View::Message(_) | View::Known(_) => false,
        }
    }

    /// A oneof as Go's `encoding/json` writes the interface that holds it, set or not.
    fn go_oneof(&mut self, message: &dyn Fields, shape: &'static Shape, oneof: u16) -> Result<()> {
        self.key(shape.oneof_name(oneof));
        let members = shape.fields().iter().enumerate();
        for (index, field) in members.filter(|(_, field)| field.oneof() == Some(oneof)) {
            let Some(form) = message.field(index) else {
                continue;
            };
            if self.codec.client {
                let text = format!(
                    "{} cannot carry a oneof that is set, since Go's encoding/json does not read \
                     it: use application/json or application/protobuf",
                    self.codec.content_type
                );
                return Err(Fault::new(Kind::Oneof, text).at(shape.name(), field.name()));
            }
            self.open(b'{')?;
            self.key(field.go_name().unwrap_or_default());
            (self.value(form.view(), field.what()))
                .map_err(|fault| fault.at(shape.name(), field.name()))?;
            self.close(b'}');
            return Ok(());
        }
        self.raw("null");
        Ok(())
    }

    fn map(&mut self, map: &dyn Map, meaning: Meaning) -> Result<()> {
        self.open(b'{')?;
        let mut some = false;
        // Go sorts keys as the strings that they become.
        let mut later: Vec<(String, View<'_>)> = Vec::new();
        for (key, view) in map.entries() {
            let number = match key {
                Key::Text(text) => {
                    self.comma(std::mem::replace(&mut some, true));
                    self.key(text);
                    self.value(view, meaning)?;
                    continue;
                }
                Key::Bool(_) if self.go() => {
                    let text = "json: unsupported type: map with bool keys";
                    return Err(Fault::new(Kind::Unsupported, text));
                }
                Key::Bool(key) => key.to_string(),
                Key::Signed(key) => key.to_string(),
                Key::Unsigned(key) => key.to_string(),
            };
            later.push((number, view));
        }
        if self.go() {
            later.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        for (key, view) in later {
            self.comma(std::mem::replace(&mut some, true));
            self.key(&key);
            self.value(view, meaning)?;
        }
        self.close(b'}');
        Ok(())
    }

    fn known(&mut self, known: Known<'_>) -> Result<()> {
        match known {
            Known::Struct(object) => self.object(object),
            Known::ListValue(list) => self.list(&list.values),
            Known::Value(value) => self.json(value),
            Known::Empty => self.nothing(),
            Known::Timestamp(Timestamp { seconds, nanos }) if self.go() => {
                self.go_time(*seconds, *nanos)
            }
            Known::Duration(Duration { seconds, nanos }) if self.go() => {
                self.go_time(*seconds, *nanos)
            }
            Known::Timestamp(time) => self.text(|out| time::write_timestamp(time, out)),
            Known::Duration(time) => self.text(|out| time::write_duration(time, out)),
            Known::FieldMask(mask) if self.codec.dialect == Dialect::Canonical => {
                self.text(|out| mask::write(mask, out))
            }
            Known::FieldMask(mask) => {
                self.open(b'{')?;
                self.mask_fields(mask, &mut false)?;
                self.close(b'}');
                Ok(())
            }
            Known::Any(any) if self.go() => self.go_any(any),
            Known::Any(any) => self.any(any),
        }
    }

    fn nothing(&mut self) -> Result<()> {
        self.open(b'{')?;
        self.close(b'}');
        Ok(())
    }

    fn go_time(&mut self, seconds: i64, nanos: i32) -> Result<()> {
        self.open(b'{')?;
        let mut some = false;
        for (key, number) in [("seconds", seconds), ("nanos", nanos.into())] {
            if number != 0 {
                self.comma(std::mem::replace(&mut some, true));
                self.key(key);
                self.signed(number);
            }
        }
        self.close(b'}');
        Ok(())
    }

    /// A field mask's field: Go Micro's reader does not know the short form.
    fn mask_fields(&mut self, mask: &FieldMask, some: &mut bool) -> Result<()> {
        if mask.paths.is_empty() {
            return Ok(());
        }
        self.comma(std::mem::replace(some, true));
        self.key("paths");
        self.value(View::List(&mask.paths), Meaning::Plain)
    }

    fn go_any(&mut self, any: &Any) -> Result<()> {
        self.open(b'{')?;
        if !any.type_url.is_empty() {
            self.key("type_url");
            self.string(&any.type_url);
        }
        if !any.value.is_empty() {
            self.comma(!any.type_url.is_empty());
            self.key("value");
            self.bytes(&any.value);
        }
        self.close(b'}');
        Ok(())
    }

    fn any(&mut self, any: &Any) -> Result<()> {
        self.open(b'{')?;
        if any.type_url.is_empty() && any.value.is_empty() {
            self.close(b'}');
            return Ok(());
        }
        self.key("@type");
        self.string(&any.type_url);
        let Some(mut content) = self.codec.types.make(&any.type_url) else {
            // A type that is not known here goes on as it came.
            self.raw(",\"value\":");
            self.bytes(&any.value);
            self.close(b'}');
            return Ok(());
        };
        let unreadable = |_| {
            let text = format!("google.protobuf.Any: the value is not a {}", any.type_url);
            Fault::new(Kind::Any, text)
        };
        content
            .merge_proto(any.value.clone().into())
            .map_err(unreadable)?;
        let canonical = self.codec.dialect == Dialect::Canonical;
        match content.form().map_or(View::Absent, Form::view) {
            View::Message(message) => self.fields(message, &mut true)?,
            // Go Micro's reader takes these for messages like any other.
            View::Known(Known::Empty) if !canonical => {}
            View::Known(Known::FieldMask(mask)) if !canonical => {
                self.mask_fields(mask, &mut true)?
            }
            view => {
                self.raw(",\"value\":");
                self.value(view, Meaning::Wrapper)?;
            }
        }
        self.close(b'}');
        Ok(())
    }

    fn object(&mut self, object: &Struct) -> Result<()> {
        self.open(b'{')?;
        for (index, (key, value)) in object.fields.iter().enumerate() {
            self.comma(index > 0);
            self.key(key);
            self.json(value)?;
        }
        self.close(b'}');
        Ok(())
    }

    fn list(&mut self, values: &[Value]) -> Result<()> {
        self.open(b'[')?;
        for (index, value) in values.iter().enumerate() {
            self.comma(index > 0);
            self.json(value)?;
        }
        self.close(b']');
        Ok(())
    }

    fn json(&mut self, value: &Value) -> Result<()> {
        match &value.kind {
            None | Some(value::Kind::NullValue(_)) => self.raw("null"),
            Some(value::Kind::BoolValue(value)) => self.raw(if *value { "true" } else { "false" }),
            Some(value::Kind::StringValue(text)) => self.string(text),
            Some(value::Kind::ListValue(list)) => self.list(&list.values)?,
            Some(value::Kind::StructValue(object)) => self.object(object)?,
            Some(value::Kind::NumberValue(number)) => match number.special() {
                None => number::write_float(self.out, *number),
                Some(special) => {
                    let text =
                        format!("google.protobuf.Value.number_value: invalid {special} value");
                    return Err(Fault::new(Kind::Unsupported, text));
                }
            },
        }
        Ok(())
    }

    fn float<F: Float>(&mut self, number: F) -> Result<()> {
        match number.special() {
            None => number::write_float(self.out, number),
            Some(special) if self.go() => {
                let name = match special {
                    "Infinity" => "+Inf",
                    "-Infinity" => "-Inf",
                    nan => nan,
                };
                let text = format!("json: unsupported value: {name}");
                return Err(Fault::new(Kind::Unsupported, text));
            }
            Some(special) => self.string(special),
        }
        Ok(())
    }

    /// A 64-bit integer: a number, or a string where readers keep numbers as doubles.
    fn wide(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let quoted = self.codec.dialect == Dialect::Canonical;
        if quoted {
            self.out.put_u8(b'"');
        }
        write(self.out);
        if quoted {
            self.out.put_u8(b'"');
        }
    }

    fn signed(&mut self, number: i64) {
        number::write_signed(self.out, number);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_u8(b'"');
        let start = self.out.len();
        let length = base64::encoded_len(bytes.len(), true).unwrap_or_default();
        self.out.resize(start + length, 0);
        let written = STANDARD.encode_slice(bytes, &mut self.out[start..]);
        self.out
            .truncate(start + written.expect("there is room for what encoded_len said"));
        self.out.put_u8(b'"');
    }

    fn text(&mut self, write: impl FnOnce(&mut String) -> Result<()>) -> Result<()> {
        let mut text = String::new();
        write(&mut text)?;
        self.string(&text);
        Ok(())
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.out.put_u8(b':');
    }

    fn string(&mut self, text: &str) {
        self.out.put_u8(b'"');
        let (bytes, html) = (text.as_bytes(), self.go());
        let mut plain = 0;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let length = escaped(*byte, bytes, at, html);
            if length > 0 {
                self.out.extend_from_slice(&bytes[plain..at]);
                self.escape(text, at);
                plain = at + length;
            }
            at += length.max(1);
        }
        self.out.extend_from_slice(&bytes[plain..]);
        self.out.put_u8(b'"');
    }

    fn escape(&mut self, text: &str, at: usize) {
        use std::fmt::Write as _;
        let c = text.get(at..).and_then(|rest| rest.chars().next());
        let short = match c {
            Some('"') => "\\\"",
            Some('\\') => "\\\\",
            Some('\u{8}') => "\\b",
            Some('\u{c}') => "\\f",
            Some('\n') => "\\n",
            Some('\r') => "\\r",
            Some('\t') => "\\t",
            c => {
                let code = c.map_or(0, u32::from);
                // Writing to a buffer that grows cannot fail.
                let _ = write!(self.out, "\\u{code:04x}");
                return;
            }
        };
        self.raw(short);
    }

    fn comma(&mut self, needed: bool) {
        if needed {
            self.out.put_u8(b',');
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn open(&mut self, bracket: u8) -> Result<()> {
        // A reader of ours would refuse it, and a message without end must not take the stack.
        if self.depth == DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        self.out.put_u8(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.put_u8(bracket);
    }
}

/// How many bytes at `at` need an escape; 0 for none.
fn escaped(byte: u8, bytes: &[u8], at: usize, html: bool) -> usize {
    match byte {
        b'"' | b'\\' | 0..=0x1f => 1,
        b'<' | b'>' | b'&' if html => 1,
        // U+2028 and U+2029.
        0xe2 if html && matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => 3,
        _ => 0,
    }
}
