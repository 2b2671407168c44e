//! Writes the well-known types as JSON.

use prost_types::{Duration, FieldMask, Struct, Timestamp, Value, value};

use super::fault::{Fault, Kind, Result};
use super::number::{self, Float as _};
use super::write::Writer;
use super::{Dialect, mask, time};
use crate::codec::form::{Known, Meaning, View};

impl Writer<'_> {
    pub(super) fn known(&mut self, known: Known<'_>) -> Result<()> {
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
    pub(super) fn mask_fields(&mut self, mask: &FieldMask, some: &mut bool) -> Result<()> {
        if mask.paths.is_empty() {
            return Ok(());
        }
        self.comma(std::mem::replace(some, true));
        self.key("paths");
        self.value(View::List(&mask.paths), Meaning::Plain)
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
}
