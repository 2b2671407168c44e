//! Fills a form from JSON, in whatever dialect it was written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_types::{FieldMask, ListValue, Struct, Value, value};

use super::fault::{Fault, Kind, Result, Short};
use super::lex::{Lexer, Token};
use super::number::{self, Integer};
use super::{Types, mask, time};
use crate::codec::form::{Enum, Fields, Form, Key, KnownMut, MapMut, Meaning, Shape, Slot};

/// Go's encoder pads, the URL alphabet often does not; the bits left over carry nothing.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The one enum that is null in JSON; some writers give its name.
const NULL_VALUE: Enum = Enum::new(
    "google.protobuf.NullValue",
    |number| (number == 0).then_some("NULL_VALUE"),
    |name| (name == "NULL_VALUE").then_some(0),
);

/// Reads one document.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) json: Lexer<'a>,
    pub(super) types: &'a Types,
    pub(super) anys: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], types: &'a Types) -> Result<Self> {
        Ok(Self {
            json: Lexer::new(body)?,
            types,
            anys: 0,
        })
    }

    /// Reads the whole document into `form`; `null` is an empty message.
    pub(super) fn document(&mut self, form: &mut dyn Form) -> Result<()> {
        if self.json.at_end() {
            return Err(Fault::new(Kind::Empty, "EOF"));
        }
        self.value(&mut form.slot(), Meaning::Wrapper)
    }

    /// Says that nothing follows the document.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.json.at_end() {
            Ok(())
        } else {
            Err(self.json.trailing())
        }
    }

    pub(super) fn value(&mut self, slot: &mut Slot<'_>, meaning: Meaning) -> Result<()> {
        let token = self.json.peek()?;
        if let Slot::Known(known) = slot {
            return self.known(known, token);
        }
        match token {
            // An absent value: the slot is empty as it is.
            Token::Null => self.json.null(),
            Token::Object if matches!(meaning, Meaning::Wrapper) && is_scalar(slot) => {
                self.wrapped(slot)
            }
            _ => self.plain(slot, meaning, token),
        }
    }

    /// A wrapper as Go's `encoding/json` writes it.
    fn wrapped(&mut self, slot: &mut Slot<'_>) -> Result<()> {
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            match &*key {
                "value" => self.value(slot, Meaning::Plain)?,
                _ => self.json.skip()?,
            }
        }
        Ok(())
    }

    fn plain(&mut self, slot: &mut Slot<'_>, meaning: Meaning, token: Token) -> Result<()> {
        match slot {
            Slot::Bool(value) => {
                expect(token, Token::Bool, "bool")?;
                **value = self.json.bool()?;
            }
            Slot::I32(value) => **value = self.int32(meaning, token)?,
            Slot::I64(value) => **value = self.integer(token, "int64", Integer::signed)?,
            Slot::U32(value) => {
                let narrow = |number: Integer| u32::try_from(number.unsigned()?).ok();
                **value = self.integer(token, "uint32", narrow)?;
            }
            Slot::U64(value) => **value = self.integer(token, "uint64", Integer::unsigned)?,
            Slot::F32(value) => **value = self.float(token, "float", f32::is_finite)?,
            Slot::F64(value) => **value = self.float(token, "double", f64::is_finite)?,
            Slot::Text(value) => {
                expect(token, Token::String, "string")?;
                **value = self.json.string()?.into_owned();
            }
            Slot::Bytes(value) => **value = self.bytes(token)?,
            Slot::Shared(value) => **value = self.bytes(token)?.into(),
            Slot::Message(message) => {
                expect(token, Token::Object, message.shape().name())?;
                self.message(*message)?;
            }
            Slot::List(list) => {
                expect(token, Token::List, "repeated field")?;
                let mut items = self.json.list()?;
                while items.next(&mut self.json)? {
                    self.value(&mut list.push(), meaning)?;
                }
            }
            Slot::Map(map) => {
                expect(token, Token::Object, "map field")?;
                self.map(*map, meaning)?;
            }
            Slot::Known(known) => self.known(known, token)?,
        }
        Ok(())
    }

    fn map(&mut self, map: &mut dyn MapMut, meaning: Meaning) -> Result<()> {
        let key_type = map.key_type();
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            let slot = map.entry(Key::Text(&key));
            let mut slot = slot.ok_or_else(|| {
                let text = format!("json: invalid map key {} of type {key_type}", quoted(&key));
                Fault::new(Kind::Key, text)
            })?;
            self.value(&mut slot, meaning)?;
        }
        Ok(())
    }

    pub(super) fn message(&mut self, message: &mut dyn Fields) -> Result<()> {
        let shape = message.shape();
        // Most writers keep the order of the fields.
        let mut likely = 0;
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            if let Some(index) = shape.find(&key, likely) {
                likely = index + 1;
                self.field(message, shape, index)?;
            } else if let Some(oneof) = shape.find_oneof(&key) {
                self.go_oneof(message, shape, oneof)?;
            } else {
                self.json.skip()?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        message: &mut dyn Fields,
        shape: &'static Shape,
        index: usize,
    ) -> Result<()> {
        let Some(field) = shape.fields().get(index) else {
            return self.json.skip();
        };
        if self.json.peek()? == Token::Null && !field.what().takes_null() {
            if field.oneof().is_none()
                && let Some(form) = message.field_mut(index)
            {
                form.clear();
            }
            return self.json.null();
        }
        match message.field_mut(index) {
            Some(form) => (self.value(&mut form.slot(), field.what()))
                .map_err(|fault| fault.at(shape.name(), field.name())),
            None => self.json.skip(),
        }
    }

    /// A oneof as Go's `encoding/json` writes the interface that holds it.
    fn go_oneof(
        &mut self,
        message: &mut dyn Fields,
        shape: &'static Shape,
        oneof: u16,
    ) -> Result<()> {
        if self.json.peek()? != Token::Object {
            return self.json.skip();
        }
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            match shape.find_member(oneof, &key) {
                Some(index) => self.field(message, shape, index)?,
                None => self.json.skip()?,
            }
        }
        Ok(())
    }

    fn known(&mut self, known: &mut KnownMut<'_>, token: Token) -> Result<()> {
        match (known, token) {
            (KnownMut::Value(value), _) => **value = self.json_value()?,
            (_, Token::Null) => self.json.null()?,
            (KnownMut::Struct(object), _) => {
                expect(token, Token::Object, "google.protobuf.Struct")?;
                **object = self.json_object()?;
            }
            (KnownMut::ListValue(list), _) => {
                expect(token, Token::List, "google.protobuf.ListValue")?;
                **list = self.json_list()?;
            }
            (KnownMut::Timestamp(time), Token::Object) => {
                self.go_time(&mut time.seconds, &mut time.nanos)?;
            }
            (KnownMut::Timestamp(time), _) => {
                expect(token, Token::String, "google.protobuf.Timestamp")?;
                **time = time::parse_timestamp(&self.json.string()?)?;
            }
            (KnownMut::Duration(time), Token::Object) => {
                self.go_time(&mut time.seconds, &mut time.nanos)?;
            }
            (KnownMut::Duration(time), _) => {
                expect(token, Token::String, "google.protobuf.Duration")?;
                **time = time::parse_duration(&self.json.string()?)?;
            }
            (KnownMut::FieldMask(mask), Token::Object) => self.mask(mask)?,
            (KnownMut::FieldMask(mask), _) => {
                expect(token, Token::String, "google.protobuf.FieldMask")?;
                **mask = mask::parse(&self.json.string()?)?;
            }
            (KnownMut::Empty, _) => {
                expect(token, Token::Object, "google.protobuf.Empty")?;
                self.json.skip()?;
            }
            (KnownMut::Any(any), _) => {
                expect(token, Token::Object, "google.protobuf.Any")?;
                self.any(any)?;
            }
        }
        Ok(())
    }

    fn go_time(&mut self, seconds: &mut i64, nanos: &mut i32) -> Result<()> {
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            match &*key {
                "seconds" => self.value(&mut Slot::I64(seconds), Meaning::Plain)?,
                "nanos" => self.value(&mut Slot::I32(nanos), Meaning::Plain)?,
                _ => self.json.skip()?,
            }
        }
        Ok(())
    }

    /// A field mask as a message, as Go Micro writes and reads it.
    pub(super) fn mask(&mut self, mask: &mut FieldMask) -> Result<()> {
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            match &*key {
                "paths" => self.value(&mut mask.paths.slot(), Meaning::Plain)?,
                _ => self.json.skip()?,
            }
        }
        Ok(())
    }

    fn json_value(&mut self) -> Result<Value> {
        let kind = match self.json.peek()? {
            Token::Null => {
                self.json.null()?;
                value::Kind::NullValue(0)
            }
            Token::Bool => value::Kind::BoolValue(self.json.bool()?),
            Token::Number => {
                let number = self.float(Token::Number, "google.protobuf.Value", f64::is_finite)?;
                value::Kind::NumberValue(number)
            }
            Token::String => value::Kind::StringValue(self.json.string()?.into_owned()),
            Token::List => value::Kind::ListValue(self.json_list()?),
            Token::Object => value::Kind::StructValue(self.json_object()?),
        };
        Ok(Value { kind: Some(kind) })
    }

    fn json_list(&mut self) -> Result<ListValue> {
        let mut values = Vec::new();
        let mut items = self.json.list()?;
        while items.next(&mut self.json)? {
            values.push(self.json_value()?);
        }
        Ok(ListValue { values })
    }

    fn json_object(&mut self) -> Result<Struct> {
        let mut fields = BTreeMap::new();
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            let value = self.json_value()?;
            fields.insert(key.into_owned(), value);
        }
        Ok(Struct { fields })
    }

    fn int32(&mut self, meaning: Meaning, token: Token) -> Result<i32> {
        let narrow = |number: Integer| i32::try_from(number.signed()?).ok();
        let names = match meaning {
            Meaning::Enum(names) => names,
            Meaning::Null => &NULL_VALUE,
            _ => return self.integer(token, "int32", narrow),
        };
        let unknown = |value: &str| {
            let text = format!("unknown value {value} for enum {}", names.name());
            Fault::new(Kind::Enum, text)
        };
        match token {
            Token::String => {
                let name = self.json.string()?;
                let number = names.number_of(&name);
                number.ok_or_else(|| unknown(&quoted(&name)))
            }
            _ => {
                let number = self.integer(token, names.name(), narrow)?;
                let known = names.allows(number).then_some(number);
                known.ok_or_else(|| unknown(&number.to_string()))
            }
        }
    }

    /// An integer as a number or a string.
    fn integer<T>(
        &mut self,
        token: Token,
        wanted: &str,
        narrow: impl FnOnce(Integer) -> Option<T>,
    ) -> Result<T> {
        let text = self.number_text(token, wanted)?;
        let number = Integer::parse(&text).and_then(narrow);
        number.ok_or_else(|| Fault::range(&text, wanted))
    }

    /// A float as a number or a string.
    fn float<T: FromStr + Copy>(
        &mut self,
        token: Token,
        wanted: &str,
        is_finite: fn(T) -> bool,
    ) -> Result<T> {
        let special = |text: &str| match text {
            "NaN" => "nan".parse().ok(),
            "Infinity" => "inf".parse().ok(),
            "-Infinity" => "-inf".parse().ok(),
            _ => None,
        };
        if token == Token::String {
            let mut ahead = self.json.clone();
            if let Some(number) = special(&ahead.string()?) {
                self.json = ahead;
                return Ok(number);
            }
        }
        let text = self.number_text(token, wanted)?;
        let number = text.parse().ok().filter(|number| is_finite(*number));
        number.ok_or_else(|| Fault::range(&text, wanted))
    }

    /// The text of a number, or of a string that holds one.
    fn number_text(&mut self, token: Token, wanted: &str) -> Result<Cow<'a, str>> {
        match token {
            Token::Number => Ok(self.json.number()?.into()),
            Token::String => {
                let text = self.json.string()?;
                if number::is_number(&text) {
                    Ok(text)
                } else {
                    Err(Fault::mismatch("string", wanted))
                }
            }
            other => Err(Fault::mismatch(other.name(), wanted)),
        }
    }

    pub(super) fn bytes(&mut self, token: Token) -> Result<Vec<u8>> {
        expect(token, Token::String, "bytes")?;
        let text = self.json.string()?;
        let engine = match text.contains(['-', '_']) {
            true => &URL_SAFE,
            false => &STANDARD,
        };
        engine
            .decode(text.as_bytes())
            .map_err(|error| Fault::new(Kind::Base64, format!("illegal base64 data: {error}")))
    }
}

fn is_scalar(slot: &Slot<'_>) -> bool {
    !matches!(
        slot,
        Slot::Message(_) | Slot::List(_) | Slot::Map(_) | Slot::Known(_)
    )
}

pub(super) fn expect(found: Token, wanted: Token, type_name: &str) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(Fault::mismatch(found.name(), type_name))
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", Short(text).to_string())
}
