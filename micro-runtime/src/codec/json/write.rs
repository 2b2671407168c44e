//! Writes a form as JSON.

use bytes::{BufMut, BytesMut};

use super::fault::{Fault, Kind, Result};
use super::lex::{DEPTH, too_deep};
use super::number::{self, Float};
use super::{Dialect, JsonCodec, text};
use crate::codec::form::{Fields, Form, Key, Map, Meaning, Shape, View};

/// Appends JSON to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut BytesMut,
    pub(super) codec: &'a JsonCodec,
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

    pub(super) fn go(&self) -> bool {
        self.codec.dialect == Dialect::Go
    }

    pub(super) fn value(&mut self, view: View<'_>, meaning: Meaning) -> Result<()> {
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
    pub(super) fn fields(&mut self, message: &dyn Fields, some: &mut bool) -> Result<()> {
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

    /// Whether a field without presence need not be written. Minus zero is a value of its own, save
    /// to Go.
    fn is_empty(&self, view: View<'_>) -> bool {
        match view {
            View::F32(number) if self.go() => number == 0.0,
            View::F64(number) if self.go() => number == 0.0,
            view => view.is_zero(),
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

    pub(super) fn float<F: Float>(&mut self, number: F) -> Result<()> {
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

    pub(super) fn signed(&mut self, number: i64) {
        number::write_signed(self.out, number);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        text::write_base64(self.out, bytes);
    }

    pub(super) fn text(&mut self, write: impl FnOnce(&mut String) -> Result<()>) -> Result<()> {
        let mut text = String::new();
        write(&mut text)?;
        self.string(&text);
        Ok(())
    }

    pub(super) fn key(&mut self, key: &str) {
        self.string(key);
        self.out.put_u8(b':');
    }

    pub(super) fn string(&mut self, text: &str) {
        text::write_string(self.out, text, self.go());
    }

    pub(super) fn comma(&mut self, needed: bool) {
        if needed {
            self.out.put_u8(b',');
        }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn open(&mut self, bracket: u8) -> Result<()> {
        // A reader of ours would refuse it, and a message without end must not take the stack.
        if self.depth == DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        self.out.put_u8(bracket);
        Ok(())
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.put_u8(bracket);
    }
}
