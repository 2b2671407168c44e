//! The recipes that set one field of a dish alone, built from its descriptor.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

use super::named;
use crate::proto::kitchen::Dish;

const PREFIX: &str = "field_";

/// The names of these recipes: `field_` and the field's name, in the order of the declaration.
pub fn field_names() -> Vec<String> {
    // Fields come by number; Go's come as they are declared, which only `last` is not.
    descriptor()
        .fields()
        .map(|field| format!("{PREFIX}{}", field.name()))
        .collect()
}

/// What `kitchen.Dish` consists of.
pub(super) fn descriptor() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
        DescriptorPool::decode(bytes.as_slice()).expect("the build has written it")
    });
    POOL.get_message_by_name("kitchen.Dish")
        .expect("kitchen.proto has a Dish")
}

/// The dish of the recipe `field_NAME`.
pub(super) fn make(name: &str) -> Option<Dish> {
    let field = descriptor().get_field_by_name(name.strip_prefix(PREFIX)?)?;
    let mut dish = DynamicMessage::new(descriptor());
    let value = if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        Value::Map([(map_key(&scalar(&key))?, content(&value))].into())
    } else if field.is_list() {
        Value::List(vec![content(&field)])
    } else {
        content(&field)
    };
    dish.set_field(&field, value);
    Some(Dish::decode(dish.encode_to_vec().as_slice()).expect("the same message"))
}

fn map_key(value: &Value) -> Option<MapKey> {
    Some(match value {
        Value::Bool(key) => MapKey::Bool(*key),
        Value::I32(key) => MapKey::I32(*key),
        Value::I64(key) => MapKey::I64(*key),
        Value::U32(key) => MapKey::U32(*key),
        Value::U64(key) => MapKey::U64(*key),
        Value::String(key) => MapKey::String(key.clone()),
        _ => return None,
    })
}

/// The content of a field, or of an item of it.
fn content(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::Message(message) => Value::Message(filled(&message)),
        _ => scalar(field),
    }
}

/// The value that a single field has in its own recipe.
fn scalar(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(-7),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(-7),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(7),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(7),
        Kind::Float => Value::F32(1.5),
        Kind::Double => Value::F64(1.5),
        Kind::Bytes => Value::Bytes(vec![0, 0xff].into()),
        Kind::String | Kind::Message(_) => Value::String("seven".to_owned()),
    }
}

/// A message with the content that it has as a single field.
fn filled(descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let merge = |message: &mut DynamicMessage, bytes: Vec<u8>| {
        message.merge(bytes.as_slice()).expect("the same message");
    };
    match descriptor.full_name() {
        "kitchen.Dish" => {
            message.set_field_by_name("a_string", Value::String("side".to_owned()));
        }
        "google.protobuf.Struct" => merge(&mut message, named::structure().encode_to_vec()),
        "google.protobuf.Value" => {
            message.set_field_by_name("string_value", Value::String("seven".to_owned()));
        }
        "google.protobuf.ListValue" => merge(&mut message, named::list().encode_to_vec()),
        "google.protobuf.Any" => merge(&mut message, named::any_inner().encode_to_vec()),
        // Both numbers must be in range and have the same sign.
        "google.protobuf.Timestamp" | "google.protobuf.Duration" => {
            message.set_field_by_name("seconds", Value::I64(7));
            message.set_field_by_name("nanos", Value::I32(7));
        }
        _ => {
            for field in descriptor.fields() {
                if field.is_map() || matches!(field.kind(), Kind::Message(_)) {
                    continue;
                }
                let value = scalar(&field);
                let value = if field.is_list() {
                    Value::List(vec![value])
                } else {
                    value
                };
                message.set_field(&field, value);
            }
        }
    }
    message
}
