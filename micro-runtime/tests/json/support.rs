//! What the tests share: the codecs, the descriptors, and prost-reflect as the other opinion.

use std::sync::LazyLock;

use micro_runtime::codec::{self, Codec, JsonCodec, Payload, Types};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::generated::{forms, forms2, kitchen};

pub const ORIGINAL: JsonCodec = JsonCodec::original_names("application/json");
pub const GO: JsonCodec = JsonCodec::go("application/json-rpc");
pub const CANONICAL: JsonCodec = JsonCodec::canonical("application/grpc+json");

pub fn all() -> [JsonCodec; 3] {
    [ORIGINAL, GO, CANONICAL]
}

/// What the three dialects make of `message`.
pub fn written(message: &dyn Payload) -> [String; 3] {
    all().map(|codec| match write(&codec.with_types(types()), message) {
        Ok(json) => json,
        Err(error) => format!("error: {}", error.detail()),
    })
}

/// All messages of the tests.
pub fn types() -> Types {
    Types::new()
        .with::<kitchen::Dish>()
        .with::<kitchen::dish::Inner>()
        .with::<kitchen::Course>()
        .with::<forms::Odd>()
        .with::<forms2::Old>()
}

pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let mut pool = DescriptorPool::new();
        for set in [kitchen::FILE_DESCRIPTOR_SET, forms::FILE_DESCRIPTOR_SET] {
            pool.decode_file_descriptor_set(set).unwrap();
        }
        pool
    });
    &POOL
}

pub fn write(codec: &JsonCodec, message: &dyn Payload) -> micro_runtime::Result<String> {
    codec::encode(codec, message).map(|json| String::from_utf8(json.to_vec()).unwrap())
}

pub fn read<M: Payload + Default>(codec: &JsonCodec, json: &str) -> micro_runtime::Result<M> {
    codec::decode(codec as &dyn Codec, json.as_bytes().to_vec().into())
}

/// The error of reading `json`, in its own words.
pub fn refusal<M: Payload + Default>(codec: &JsonCodec, json: &str) -> String {
    let read = read::<M>(codec, json);
    read.err().map_or_else(
        || format!("{json} was read"),
        |error| error.detail().to_owned(),
    )
}

/// `message` through prost-reflect.
pub fn dynamic<M: Message>(name: &str, message: &M) -> DynamicMessage {
    let descriptor = pool().get_message_by_name(name).unwrap();
    DynamicMessage::decode(descriptor, &*message.encode_to_vec()).unwrap()
}

/// JSON as prost-reflect writes it.
pub fn other(message: &DynamicMessage, canonical: bool) -> serde_json::Result<String> {
    let options = SerializeOptions::new()
        .use_proto_field_name(!canonical)
        .stringify_64_bit_integers(canonical);
    let mut out = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut out, &options)?;
    Ok(String::from_utf8(out.into_inner()).unwrap())
}

/// Whether two documents are the same: `5` and `5.0` are, integers beyond a double's are compared
/// as they are.
pub fn same(one: &str, other: &str) -> bool {
    use serde_json::Value;
    fn same(one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::Number(one), Value::Number(other)) if one.is_f64() != other.is_f64() => {
                one.as_f64() == other.as_f64()
            }
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| same(one, other))
            }
            (Value::Object(one), Value::Object(other)) => {
                one.len() == other.len()
                    && (one.iter())
                        .all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
            }
            (one, other) => one == other,
        }
    }
    let [one, other] = [one, other]
        .map(|json| serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}")));
    same(&one, &other)
}
