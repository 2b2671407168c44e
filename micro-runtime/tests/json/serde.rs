//! Codecs of a user's own, through serde: a text format and a binary one.

use bytes::{BufMut, Bytes, BytesMut};
use micro_runtime::codec::{self, Codec, Codecs, Fill, Payload, Tree};
use micro_runtime::{Error, Result};
use proptest::prelude::*;
use prost::Message;
use prost_types::Any;
use serde::Serialize;
use serde::de::DeserializeSeed;

use super::generated::forms::Odd;
use super::generated::forms2::Old;
use super::generated::kitchen::Dish;
use super::random::Choices;
use super::support::{ORIGINAL, dynamic, other, pool, same, write};

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal("test", error.to_string())
}

#[derive(Debug)]
struct MessagePack;

impl Codec for MessagePack {
    fn content_type(&self) -> &str {
        "application/msgpack"
    }

    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()> {
        let form = message.form().ok_or_else(|| failed("raw bytes"))?;
        let mut to = rmp_serde::Serializer::new(out.writer()).with_struct_map();
        Tree::new(form).serialize(&mut to).map_err(failed)
    }

    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()> {
        let form = message.form_mut().ok_or_else(|| failed("raw bytes"))?;
        let mut from = rmp_serde::Deserializer::from_read_ref(&*body);
        Fill::new(form).deserialize(&mut from).map_err(failed)
    }
}

fn check<M: Message + Payload + Default>(name: &str, bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let message = choices.message(&pool().get_message_by_name(name).unwrap(), 4);
    let message = M::decode(&*message.encode_to_vec()).unwrap();
    let codecs = Codecs::client().with(MessagePack);
    let codec = codecs.require("application/msgpack").unwrap();
    let packed = codec::encode(&**codec, &message).unwrap();
    let back: M = codec::decode(&**codec, packed).unwrap();
    let [one, two] = [message, back].map(|message| other(&dynamic(name, &message), true).unwrap());
    assert!(same(&one, &two), "\n{one}\n{two}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_binary_format_carries_every_message(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        check::<Dish>("kitchen.Dish", &bytes);
        check::<Odd>("forms.Odd", &bytes);
        check::<Old>("forms2.Old", &bytes);
    }
}

#[test]
fn a_text_format_gets_the_tree_of_the_original_names() {
    let dish = Dish {
        a_bytes: vec![0, 255],
        an_int64: i64::MIN,
        a_double: f64::NEG_INFINITY,
        color: 1,
        uint64_double_map: [(7, 0.5)].into(),
        string_wrapper: Some(String::new()),
        timestamp: Some(prost_types::Timestamp::default()),
        ..Dish::default()
    };
    let tree = serde_json::to_string(&Tree::new(dish.form().unwrap())).unwrap();
    assert!(same(&tree, &write(&ORIGINAL, &dish).unwrap()), "{tree}");
    let any = Dish {
        any: Some(Any {
            type_url: "t/x.Y".into(),
            value: vec![1],
        }),
        ..Dish::default()
    };
    let tree = serde_json::to_string(&Tree::new(any.form().unwrap())).unwrap();
    assert_eq!(tree, r#"{"any":{"type_url":"t/x.Y","value":"AQ=="}}"#);
    let mut back = Dish::default();
    let mut from = serde_json::Deserializer::from_str(&tree);
    Fill::new(back.form_mut().unwrap())
        .deserialize(&mut from)
        .unwrap();
    assert_eq!(back, any);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut dish = Dish::default();
    let mut from = serde_json::Deserializer::from_str("{\"an_int32\":\"x\"}");
    let error = Fill::new(dish.form_mut().unwrap()).deserialize(&mut from);
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("cannot unmarshal string into a value of type int32"),
        "{text}"
    );
    let deep = "[".repeat(120) + &"]".repeat(120);
    let mut list = prost_types::ListValue::default();
    let mut from = serde_json::Deserializer::from_str(&deep);
    Fill::new(list.form_mut().unwrap())
        .deserialize(&mut from)
        .unwrap();
    // Deeper than any reader of ours goes.
    for _ in 0..20 {
        let kind = Some(prost_types::value::Kind::ListValue(list));
        list = prost_types::ListValue {
            values: vec![prost_types::Value { kind }],
        };
    }
    let error = serde_json::to_string(&Tree::new(list.form().unwrap())).unwrap_err();
    assert!(error.to_string().contains("exceeded max depth"));
}
