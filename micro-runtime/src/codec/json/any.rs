//! `google.protobuf.Any`: a message in a message, unfolded where its type is known.

use bytes::BytesMut;
use prost_types::Any;

use super::Dialect;
use super::fault::{Fault, Kind, Result};
use super::lex::Token;
use super::read::{Reader, expect, quoted};
use super::write::Writer;
use crate::codec::form::{Form, Known, KnownMut, Meaning, Slot, View};

/// How many may lie in each other: each is read twice, for its type and for its content.
const ANYS: u8 = 8;

impl Writer<'_> {
    pub(super) fn go_any(&mut self, any: &Any) -> Result<()> {
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

    pub(super) fn any(&mut self, any: &Any) -> Result<()> {
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
}

impl Reader<'_> {
    pub(super) fn any(&mut self, any: &mut Any) -> Result<()> {
        let Some(url) = self.any_type()? else {
            return self.go_any(any);
        };
        if self.anys == ANYS {
            let text = format!("google.protobuf.Any: more than {ANYS} in each other");
            return Err(Fault::new(Kind::Any, text));
        }
        self.anys += 1;
        any.value = match self.types.make(&url) {
            Some(mut content) => {
                if let Some(form) = content.form_mut() {
                    self.any_content(&mut form.slot())?;
                }
                let mut value = BytesMut::with_capacity(content.proto_len());
                content.encode_proto(&mut value);
                value.into()
            }
            None => self.any_unknown(&url)?,
        };
        any.type_url = url;
        self.anys -= 1;
        Ok(())
    }

    /// Looks ahead for the type, which may stand anywhere in the object.
    fn any_type(&mut self) -> Result<Option<String>> {
        let mut url = None;
        let mut json = self.json.clone();
        let mut members = json.object()?;
        while let Some(key) = members.next(&mut json)? {
            if key == "@type" {
                expect(json.peek()?, Token::String, "type URL")?;
                url = Some(json.string()?.into_owned());
            } else {
                json.skip()?;
            }
        }
        Ok(url)
    }

    /// The content of an `Any`: fields beside `@type`, or a `value` where the type has a form of
    /// its own.
    fn any_content(&mut self, slot: &mut Slot<'_>) -> Result<()> {
        match slot {
            Slot::Message(message) => return self.message(*message),
            // Go Micro takes a field mask for a message like any other.
            Slot::Known(KnownMut::FieldMask(mask)) if !self.has_value()? => return self.mask(mask),
            _ => {}
        }
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            match &*key {
                "value" => self.value(slot, Meaning::Wrapper)?,
                _ => self.json.skip()?,
            }
        }
        Ok(())
    }

    /// Looks ahead for a key `value`.
    fn has_value(&self) -> Result<bool> {
        let mut found = false;
        let mut json = self.json.clone();
        let mut members = json.object()?;
        while let Some(key) = members.next(&mut json)? {
            found |= key == "value";
            json.skip()?;
        }
        Ok(found)
    }

    /// The content of an `Any` whose type is not known: its bytes, and nothing else.
    fn any_unknown(&mut self, url: &str) -> Result<Vec<u8>> {
        let mut value = Some(Vec::new());
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            if key == "value" && self.json.peek()? == Token::String {
                value = Some(self.bytes(Token::String)?);
                continue;
            }
            if key != "@type" {
                value = None;
            }
            self.json.skip()?;
        }
        value.ok_or_else(|| {
            let text = format!("google.protobuf.Any: unable to resolve {}", quoted(url));
            Fault::new(Kind::Any, text)
        })
    }

    /// An `Any` as Go's `encoding/json` writes it.
    fn go_any(&mut self, any: &mut Any) -> Result<()> {
        let mut some = false;
        let mut members = self.json.object()?;
        while let Some(key) = members.next(&mut self.json)? {
            some = true;
            match &*key {
                "type_url" | "typeUrl" => {
                    self.value(&mut Slot::Text(&mut any.type_url), Meaning::Plain)?;
                }
                "value" => self.value(&mut Slot::Bytes(&mut any.value), Meaning::Plain)?,
                _ => self.json.skip()?,
            }
        }
        if some && any.type_url.is_empty() {
            let text = "google.protobuf.Any: missing \"@type\" field";
            return Err(Fault::new(Kind::Any, text));
        }
        Ok(())
    }
}
