//! What each dialect writes.

use micro_runtime::codec::Payload;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::{
    Any, Duration, FieldMask, FileDescriptorSet, ListValue, Struct, Timestamp, Value, value,
};

use super::generated::forms::{Alias, Odd, odd};
use super::generated::forms2::{Colour, Old, old};
use super::generated::kitchen::{self, Dish, dish};
use super::support::{CANONICAL, GO, ORIGINAL, other, read, refusal, same, types, write, written};

#[test]
fn each_dialect_writes_its_own() {
    let named = |name: &str| Dish {
        long_name: name.into(),
        ..Dish::default()
    };
    let cases: Vec<(Dish, [&str; 3])> = vec![
        (Dish::default(), ["{}\n", r#"{"Choice":null}"#, "{}"]),
        (
            named("<é>\u{2028}&"),
            [
                "{\"long_name\":\"<é>\u{2028}&\"}\n",
                r#"{"long_name":"\u003cé\u003e\u2028\u0026","Choice":null}"#,
                "{\"longName\":\"<é>\u{2028}&\"}",
            ],
        ),
        (
            Dish {
                an_int64: -5,
                a_uint64: u64::MAX,
                ..Dish::default()
            },
            [
                "{\"an_int64\":-5,\"a_uint64\":18446744073709551615}\n",
                r#"{"an_int64":-5,"a_uint64":18446744073709551615,"Choice":null}"#,
                r#"{"anInt64":"-5","aUint64":"18446744073709551615"}"#,
            ],
        ),
        (
            Dish {
                color: 1,
                size: 7,
                ..Dish::default()
            },
            [
                "{\"color\":\"COLOR_RED\",\"size\":7}\n",
                r#"{"color":1,"size":7,"Choice":null}"#,
                r#"{"color":"COLOR_RED","size":7}"#,
            ],
        ),
        (
            Dish {
                renamed: "x".into(),
                ..Dish::default()
            },
            [
                "{\"renamed\":\"x\"}\n",
                r#"{"renamed":"x","Choice":null}"#,
                r#"{"new-name":"x"}"#,
            ],
        ),
        (
            Dish {
                choice: Some(dish::Choice::IntChoice(0)),
                ..Dish::default()
            },
            [
                "{\"int_choice\":0}\n",
                r#"{"Choice":{"IntChoice":0}}"#,
                r#"{"intChoice":0}"#,
            ],
        ),
        (
            Dish {
                timestamp: Some(Timestamp {
                    seconds: 1,
                    nanos: 5_000_000,
                }),
                duration: Some(Duration {
                    seconds: -1,
                    nanos: -500_000_000,
                }),
                ..Dish::default()
            },
            [
                "{\"timestamp\":\"1970-01-01T00:00:01.005Z\",\"duration\":\"-1.500s\"}\n",
                r#"{"Choice":null,"timestamp":{"seconds":1,"nanos":5000000},"duration":{"seconds":-1,"nanos":-500000000}}"#,
                r#"{"timestamp":"1970-01-01T00:00:01.005Z","duration":"-1.500s"}"#,
            ],
        ),
        (
            Dish {
                int64_wrapper: Some(0),
                string_wrapper: Some("m".into()),
                ..Dish::default()
            },
            [
                "{\"int64_wrapper\":0,\"string_wrapper\":\"m\"}\n",
                r#"{"Choice":null,"int64_wrapper":{},"string_wrapper":{"value":"m"}}"#,
                r#"{"int64Wrapper":"0","stringWrapper":"m"}"#,
            ],
        ),
        (
            Dish {
                field_mask: Some(FieldMask {
                    paths: vec!["long_name".into(), "a".into()],
                }),
                ..Dish::default()
            },
            [
                "{\"field_mask\":{\"paths\":[\"long_name\",\"a\"]}}\n",
                r#"{"Choice":null,"field_mask":{"paths":["long_name","a"]}}"#,
                r#"{"fieldMask":"longName,a"}"#,
            ],
        ),
        (
            Dish {
                a_double: f64::INFINITY,
                ..Dish::default()
            },
            [
                "{\"a_double\":\"Infinity\"}\n",
                "error: json: unsupported value: +Inf (field a_double of kitchen.Dish)",
                r#"{"aDouble":"Infinity"}"#,
            ],
        ),
        (
            Dish {
                optional_int32: Some(0),
                bool_wrapper: Some(false),
                empty: Some(()),
                ..Dish::default()
            },
            [
                "{\"optional_int32\":0,\"bool_wrapper\":false,\"empty\":{}}\n",
                r#"{"Choice":null,"optional_int32":0,"bool_wrapper":{},"empty":{}}"#,
                r#"{"optionalInt32":0,"boolWrapper":false,"empty":{}}"#,
            ],
        ),
    ];
    for (dish, expected) in cases {
        assert_eq!(written(&dish), expected);
    }
}

#[test]
fn a_message_may_be_a_scalar_or_well_known_itself() {
    let nested = Value {
        kind: Some(value::Kind::ListValue(ListValue {
            values: vec![Value { kind: None }],
        })),
    };
    let cases: Vec<(&dyn Payload, [&str; 3])> = vec![
        (&(), ["{}\n", "{}", "{}"]),
        (&true, ["true\n", r#"{"value":true}"#, "true"]),
        (&0i64, ["0\n", "{}", r#""0""#]),
        (&7u64, ["7\n", r#"{"value":7}"#, r#""7""#]),
        (&1.5f32, ["1.5\n", r#"{"value":1.5}"#, "1.5"]),
        (&nested, ["[null]\n", "[null]", "[null]"]),
    ];
    for (message, expected) in cases {
        assert_eq!(written(message), expected);
    }
    let text = "m".to_owned();
    assert_eq!(written(&text), ["\"m\"\n", r#"{"value":"m"}"#, "\"m\""]);
    for json in [
        "\"m\"",
        r#"{"value":"m"}"#,
        r#"{"value":"x","value":"m","other":[1]}"#,
    ] {
        assert_eq!(read::<String>(&ORIGINAL, json).unwrap(), "m");
    }
    assert_eq!(read::<i64>(&ORIGINAL, "\"-7\"").unwrap(), -7);
    assert_eq!(read::<Vec<u8>>(&ORIGINAL, "\"AP8\"").unwrap(), [0, 255]);
    assert!(read::<()>(&ORIGINAL, "{\"anything\":1}").is_ok());
    assert_eq!(
        read::<Duration>(&ORIGINAL, "{\"seconds\":3}").unwrap(),
        Duration {
            seconds: 3,
            nanos: 0
        }
    );
}

#[test]
fn an_any_is_unfolded_where_its_type_is_known() {
    let any = |json: &str| {
        let dish = read::<Dish>(
            &CANONICAL.with_types(types()),
            &format!("{{\"any\":{json}}}"),
        );
        dish.unwrap().any.unwrap()
    };
    let inner = dish::Inner {
        long_name: "x".into(),
        ..dish::Inner::default()
    };
    let packed = Any {
        type_url: "type.googleapis.com/kitchen.Dish.Inner".into(),
        value: prost::Message::encode_to_vec(&inner),
    };
    assert_eq!(
        any(r#"{"longName":"x","@type":"type.googleapis.com/kitchen.Dish.Inner"}"#),
        packed
    );
    let mask = FieldMask {
        paths: vec!["a_b".into()],
    };
    for json in [
        r#"{"@type":"t/google.protobuf.FieldMask","value":"aB"}"#,
        r#"{"paths":["a_b"],"@type":"t/google.protobuf.FieldMask"}"#,
    ] {
        assert_eq!(any(json).value, prost::Message::encode_to_vec(&mask));
    }
    for json in [
        r#"{"@type":"t/google.protobuf.Empty"}"#,
        r#"{"@type":"t/google.protobuf.Empty","value":{}}"#,
    ] {
        assert!(any(json).value.is_empty());
    }
    // Go Micro's reader has no short form of these two.
    let dish = |any: Any| Dish {
        any: Some(any),
        ..Dish::default()
    };
    let mask = Any {
        type_url: "t/google.protobuf.FieldMask".into(),
        value: prost::Message::encode_to_vec(&mask),
    };
    assert_eq!(
        written(&dish(mask)),
        [
            "{\"any\":{\"@type\":\"t/google.protobuf.FieldMask\",\"paths\":[\"a_b\"]}}\n",
            r#"{"Choice":null,"any":{"type_url":"t/google.protobuf.FieldMask","value":"CgNhX2I="}}"#,
            r#"{"any":{"@type":"t/google.protobuf.FieldMask","value":"aB"}}"#,
        ]
    );
    let unknown = Any {
        type_url: "t/x.Y".into(),
        value: vec![255],
    };
    assert_eq!(
        written(&dish(unknown))[2],
        r#"{"any":{"@type":"t/x.Y","value":"/w=="}}"#
    );
    let broken = Any {
        type_url: "t/google.protobuf.Timestamp".into(),
        value: vec![255],
    };
    assert_eq!(
        written(&dish(broken))[2],
        "error: google.protobuf.Any: the value is not a t/google.protobuf.Timestamp (field any of kitchen.Dish)"
    );
}

#[test]
fn names_that_collide_in_go_are_gos() {
    let odd = Odd {
        string: Some(odd::String::GetReset("x".into())),
        ..Odd::default()
    };
    let [_, go, _] = written(&odd);
    assert_eq!(go, r#"{"OneOf":null,"String_":{"GetReset":"x"}}"#);
    assert_eq!(read::<Odd>(&GO, &go).unwrap(), odd);
}

#[test]
fn an_alias_is_read_and_the_first_name_written() {
    let odd = read::<Odd>(
        &ORIGINAL,
        r#"{"alias":"ALIAS_FIRST","aliases":["ALIAS_ONE",1]}"#,
    )
    .unwrap();
    assert_eq!((odd.alias(), odd.aliases.clone()), (Alias::One, vec![1, 1]));
    assert_eq!(
        written(&odd)[0],
        "{\"alias\":\"ALIAS_ONE\",\"aliases\":[\"ALIAS_ONE\",\"ALIAS_ONE\"]}\n"
    );
}

#[test]
fn keys_are_strings_of_their_type_sorted_as_go_sorts_them() {
    let odd = Odd {
        int32_keys: [(10, "a".into()), (9, "b".into()), (-1, "c".into())].into(),
        ..Odd::default()
    };
    let [original, go, _] = written(&odd);
    assert_eq!(
        original,
        "{\"int32_keys\":{\"-1\":\"c\",\"9\":\"b\",\"10\":\"a\"}}\n"
    );
    assert!(go.starts_with(r#"{"int32_keys":{"-1":"c","10":"a","9":"b"}"#));
    let odd = read::<Odd>(
        &ORIGINAL,
        r#"{"bool_keys":{"true":"t"},"uint64_keys":{"18446744073709551615":"m"}}"#,
    )
    .unwrap();
    assert_eq!(
        (
            odd.bool_keys[&true].as_str(),
            odd.uint64_keys[&u64::MAX].as_str()
        ),
        ("t", "m")
    );
}

#[test]
fn proto2_writes_what_is_set_and_closes_its_enums() {
    let old = Old {
        needed_colour: Colour::Red.into(),
        given: Some(0),
        colour: Some(Colour::Blue.into()),
        inner: Box::new(old::Inner {
            name: "n".into(),
            old: None,
        }),
        ..Old::default()
    };
    assert_eq!(
        written(&old),
        [
            "{\"needed\":0,\"given\":0,\"colour\":\"BLUE\",\"needed_colour\":\"RED\",\"inner\":{\"name\":\"n\"}}\n",
            r#"{"needed":0,"given":0,"colour":2,"needed_colour":1,"inner":{"name":"n"},"Either":null}"#,
            r#"{"needed":0,"given":0,"colour":"BLUE","neededColour":"RED","inner":{"name":"n"}}"#,
        ]
    );
    assert_eq!(
        read::<Old>(&ORIGINAL, "{\"colour\":2}").unwrap().colour(),
        Colour::Blue
    );
    assert_eq!(read::<Old>(&ORIGINAL, "{}").unwrap().given(), 7);
    assert_eq!(
        refusal::<Old>(&ORIGINAL, "{\"colour\":3}"),
        "unknown value 3 for enum forms2.Colour (field colour of forms2.Old)"
    );
}

#[test]
fn a_struct_that_json_cannot_say_is_refused() {
    let nan = Value {
        kind: Some(value::Kind::NumberValue(f64::NAN)),
    };
    let object = Struct {
        fields: [("a".to_owned(), nan)].into(),
    };
    assert_eq!(
        written(&object),
        ["error: google.protobuf.Value.number_value: invalid NaN value"; 3]
    );
}

#[test]
fn descriptors_are_messages_too() {
    let set: FileDescriptorSet = prost::Message::decode(kitchen::FILE_DESCRIPTOR_SET).unwrap();
    let name = "google.protobuf.FileDescriptorSet";
    let descriptor = DescriptorPool::global().get_message_by_name(name).unwrap();
    let bytes = prost::Message::encode_to_vec(&set);
    let theirs = other(&DynamicMessage::decode(descriptor, &*bytes).unwrap(), true).unwrap();
    let ours = write(&CANONICAL, &set).unwrap();
    assert!(same(&ours, &theirs));
    assert_eq!(
        read::<FileDescriptorSet>(&GO, &write(&GO, &set).unwrap()).unwrap(),
        set
    );
    assert_eq!(read::<FileDescriptorSet>(&CANONICAL, &theirs).unwrap(), set);
}
