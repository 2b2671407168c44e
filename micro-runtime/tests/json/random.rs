//! Messages of any type at random, made through their descriptors.

use std::collections::HashMap;

use prost::Message as _;
use prost::bytes::Bytes;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value,
};

use super::support::pool;

/// Bytes that decide: the fewer and the smaller, the simpler the message. So proptest can shrink.
pub struct Choices<'a> {
    bytes: &'a [u8],
    /// Whether the original-names dialect differs from the canonical one on purpose.
    pub masks: bool,
    /// Whether a `google.protobuf.Value` may hold what JSON cannot.
    pub nan_values: bool,
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            masks: true,
            nan_values: false,
        }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    pub fn message(&mut self, descriptor: &MessageDescriptor, depth: u8) -> DynamicMessage {
        if let Some(known) = self.known(descriptor, depth) {
            return known;
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let required = field.cardinality() == prost_reflect::Cardinality::Required;
            let real = |oneof: &OneofDescriptor| !oneof.is_synthetic();
            if !required
                && (self.bytes.is_empty()
                    || field.containing_oneof().is_some_and(|oneof| real(&oneof)))
            {
                continue;
            }
            if required || self.one_in(4) {
                self.set(&mut message, &field, depth);
            }
        }
        for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let fields: Vec<_> = oneof.fields().collect();
            if self.one_in(2) {
                let field = fields[usize::from(self.byte()) % fields.len()].clone();
                self.set(&mut message, &field, depth);
            }
        }
        message
    }

    fn set(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, depth: u8) {
        let is_message = matches!(field.kind(), Kind::Message(_));
        let required = field.cardinality() == prost_reflect::Cardinality::Required;
        if depth == 0 && is_message && !required {
            return;
        }
        let depth = depth.saturating_sub(1);
        let value = if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let mut map = HashMap::new();
            for _ in 0..self.byte() % 4 {
                let key = self.value(&entry.map_entry_key_field(), depth);
                let value = self.value(&entry.map_entry_value_field(), depth);
                map.insert(key.into_map_key().unwrap(), value);
            }
            Value::Map(map)
        } else if field.is_list() {
            Value::List(
                (0..self.byte() % 4)
                    .map(|_| self.value(field, depth))
                    .collect(),
            )
        } else {
            self.value(field, depth)
        };
        message.set_field(field, value);
    }

    fn value(&mut self, field: &FieldDescriptor, depth: u8) -> Value {
        let wide = match self.byte() % 4 {
            0 => u64::from(self.byte()),
            1 => self.pick(&[
                0,
                1,
                u64::MAX,
                i64::MAX as u64,
                i64::MIN as u64,
                u64::from(u32::MAX),
                1 << 53,
                (1 << 53) + 1,
            ]),
            _ => self.number(),
        };
        match field.kind() {
            Kind::Bool => Value::Bool(wide % 2 == 1),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(wide as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(wide as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(wide as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(wide),
            Kind::Float => Value::F32(self.double() as f32),
            Kind::Double => Value::F64(self.double()),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(Bytes::copy_from_slice(
                &wide.to_be_bytes()[usize::from(self.byte() % 9).min(8)..],
            )),
            Kind::Enum(descriptor) => {
                let values: Vec<_> = descriptor.values().map(|value| value.number()).collect();
                let open = descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto3
                    && descriptor.full_name() != "google.protobuf.NullValue";
                Value::EnumNumber(match open && self.one_in(4) {
                    true => wide as i32,
                    false => self.pick(&values),
                })
            }
            Kind::Message(descriptor) => Value::Message(self.message(&descriptor, depth)),
        }
    }

    fn double(&mut self) -> f64 {
        match self.byte() % 3 {
            0 => f64::from(self.byte()) / 4.0,
            1 => self.pick(&[
                0.0,
                -0.0,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                5e-324,
                1e21,
                1e-7,
                0.1,
                1e20,
                123_456_789.125,
            ]),
            _ => f64::from_bits(self.number()),
        }
    }

    fn text(&mut self) -> String {
        let words = [
            "",
            "a",
            "\"quoted\"",
            "<b>&amp;</b>",
            "back\\slash",
            "\u{2028}\u{2029}",
            "\u{1f600}",
            "line\nfeed\ttab\u{1}\u{7f}",
            "é",
            "null",
            "\u{8}\u{c}\r/",
        ];
        (0..self.byte() % 3).map(|_| self.pick(&words)).collect()
    }

    /// The types whose content is not free.
    fn known(&mut self, descriptor: &MessageDescriptor, depth: u8) -> Option<DynamicMessage> {
        let mut message = DynamicMessage::new(descriptor.clone());
        let nanos = self.pick(&[0, 0, 1, 999_999_999, 500_000_000, 1_000, 1_230_000]);
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                let seconds = match self.byte() % 3 {
                    0 => i64::from(self.byte()),
                    1 => self.pick(&[-62_135_596_800, 253_402_300_799, -1]),
                    _ => self.number() as i64 % 60_000_000_000,
                };
                message.set_field_by_name("seconds", Value::I64(seconds));
                message.set_field_by_name("nanos", Value::I32(nanos));
            }
            "google.protobuf.Duration" => {
                let seconds = self.number() as i64 % 315_576_000_001;
                let sign = if seconds < 0 || (seconds == 0 && self.one_in(2)) {
                    -1
                } else {
                    1
                };
                message.set_field_by_name("seconds", Value::I64(seconds));
                message.set_field_by_name("nanos", Value::I32(sign * nanos));
            }
            "google.protobuf.FieldMask" => {
                let paths = if self.masks { self.byte() % 3 } else { 0 };
                let paths = (0..paths)
                    .map(|_| Value::String(self.pick(&["a", "a_b.c_d", "foo_bar", "x1"]).into()));
                let paths: Vec<_> = paths.collect();
                message.set_field_by_name("paths", Value::List(paths));
            }
            "google.protobuf.Value" => {
                let kind = self.byte() % if depth == 0 { 4 } else { 6 };
                match kind {
                    0 => message.set_field_by_name("null_value", Value::EnumNumber(0)),
                    1 => {
                        let number = self.double();
                        let number = if number.is_finite() || self.nan_values {
                            number
                        } else {
                            0.5
                        };
                        message.set_field_by_name("number_value", Value::F64(number));
                    }
                    2 => message.set_field_by_name("string_value", Value::String(self.text())),
                    3 => message.set_field_by_name("bool_value", Value::Bool(self.one_in(2))),
                    4 => self.set(
                        &mut message,
                        &descriptor.get_field_by_name("struct_value").unwrap(),
                        depth,
                    ),
                    _ => self.set(
                        &mut message,
                        &descriptor.get_field_by_name("list_value").unwrap(),
                        depth,
                    ),
                }
            }
            // prost-reflect writes null for what is not finite in these.
            "google.protobuf.FloatValue" => {
                message.set_field_by_name("value", Value::F32(f32::from(self.byte()) / 8.0));
            }
            "google.protobuf.DoubleValue" => {
                message.set_field_by_name("value", Value::F64(f64::from(self.byte()) / 8.0));
            }
            "google.protobuf.Any" => {
                let mut names = vec![
                    "kitchen.Dish.Inner",
                    "kitchen.Course",
                    "forms.Odd",
                    "forms2.Old",
                    "google.protobuf.Timestamp",
                    "google.protobuf.Struct",
                    "google.protobuf.Int64Value",
                    "google.protobuf.StringValue",
                    "google.protobuf.Value",
                    "google.protobuf.Any",
                ];
                if self.masks {
                    names.extend(["google.protobuf.Empty", "google.protobuf.FieldMask"]);
                }
                let name = if depth == 0 {
                    "kitchen.Dish.Inner"
                } else {
                    self.pick(&names)
                };
                let content = self.message(
                    &pool().get_message_by_name(name).unwrap(),
                    depth.saturating_sub(1),
                );
                let url = format!("type.googleapis.com/{name}");
                message.set_field_by_name("type_url", Value::String(url));
                message.set_field_by_name("value", Value::Bytes(content.encode_to_vec().into()));
            }
            _ => return None,
        }
        Some(message)
    }
}
