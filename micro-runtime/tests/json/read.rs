//! What every dialect reads.

use prost_types::{Any, Duration, FieldMask, Timestamp, Value, value};

use super::generated::forms::{Odd, odd};
use super::generated::kitchen::{Dish, dish};
use super::support::{ORIGINAL, all, read, written};

#[test]
fn every_form_is_read_whatever_the_dialect() {
    let dish = Dish::default;
    let inner = |name: &str| dish::Inner {
        long_name: name.into(),
        ..dish::Inner::default()
    };
    let cases: Vec<(&str, Dish)> = vec![
        (
            r#"{"an_int64":5}"#,
            Dish {
                an_int64: 5,
                ..dish()
            },
        ),
        (
            r#"{"anInt64":"5"}"#,
            Dish {
                an_int64: 5,
                ..dish()
            },
        ),
        (
            r#"{"an_int32":1.0,"aUint32":1e1,"a_uint64":"1E2"}"#,
            Dish {
                an_int32: 1,
                a_uint32: 10,
                a_uint64: 100,
                ..dish()
            },
        ),
        (
            r#"{"color":"COLOR_GREEN","size":2}"#,
            Dish {
                color: 2,
                size: 2,
                ..dish()
            },
        ),
        (
            r#"{"color":-1,"size":77}"#,
            Dish {
                color: -1,
                size: 77,
                ..dish()
            },
        ),
        (
            r#"{"a_bytes":"AP/+Pj8="}"#,
            Dish {
                a_bytes: b"\x00\xff\xfe>?".into(),
                ..dish()
            },
        ),
        (
            r#"{"a_bytes":"AP_-Pj8"}"#,
            Dish {
                a_bytes: b"\x00\xff\xfe>?".into(),
                ..dish()
            },
        ),
        (
            r#"{"aBytes":"AP/+Pj8"}"#,
            Dish {
                a_bytes: b"\x00\xff\xfe>?".into(),
                ..dish()
            },
        ),
        (
            r#"{"a_double":"-Infinity","a_float":"1.5"}"#,
            Dish {
                a_double: f64::NEG_INFINITY,
                a_float: 1.5,
                ..dish()
            },
        ),
        (
            r#"{"string_choice":"t"}"#,
            Dish {
                choice: Some(dish::Choice::StringChoice("t".into())),
                ..dish()
            },
        ),
        (
            r#"{"stringChoice":"t"}"#,
            Dish {
                choice: Some(dish::Choice::StringChoice("t".into())),
                ..dish()
            },
        ),
        (
            r#"{"Choice":{"StringChoice":"t"}}"#,
            Dish {
                choice: Some(dish::Choice::StringChoice("t".into())),
                ..dish()
            },
        ),
        (
            r#"{"Choice":{"MessageChoice":{"long_name":"x"},"Nope":[]}}"#,
            Dish {
                choice: Some(dish::Choice::MessageChoice(inner("x"))),
                ..dish()
            },
        ),
        (r#"{"Choice":null,"string_choice":null}"#, dish()),
        (r#"{"Choice":{"StringChoice":null}}"#, dish()),
        (
            r#"{"int_choice":1,"string_choice":"last"}"#,
            Dish {
                choice: Some(dish::Choice::StringChoice("last".into())),
                ..dish()
            },
        ),
        (
            r#"{"an_int32":5,"anInt32":6}"#,
            Dish {
                an_int32: 6,
                ..dish()
            },
        ),
        (
            r#"{"int32_list":[1],"int32_list":[2]}"#,
            Dish {
                int32_list: vec![2],
                ..dish()
            },
        ),
        (
            r#"{"inner":{"long_name":"a"},"inner":{"count":1}}"#,
            Dish {
                inner: Some(dish::Inner {
                    count: 1,
                    ..inner("")
                }),
                ..dish()
            },
        ),
        (r#"{"inner":{"long_name":"a"},"inner":null}"#, dish()),
        (
            r#"{"int32_list":null,"string_int64_map":null,"timestamp":null,"int32_wrapper":null,"an_int32":null}"#,
            dish(),
        ),
        (
            r#"{"nope":{"deep":[1,{"x":null}]},"a_bool":true}"#,
            Dish {
                a_bool: true,
                ..dish()
            },
        ),
        (
            r#"{"timestamp":{"seconds":"7","nanos":1}}"#,
            Dish {
                timestamp: Some(Timestamp {
                    seconds: 7,
                    nanos: 1,
                }),
                ..dish()
            },
        ),
        (
            r#"{"timestamp":"1970-01-01T01:00:07.000000001+01:00"}"#,
            Dish {
                timestamp: Some(Timestamp {
                    seconds: 7,
                    nanos: 1,
                }),
                ..dish()
            },
        ),
        (
            r#"{"duration":{"seconds":1,"nanos":500000000}}"#,
            Dish {
                duration: Some(Duration {
                    seconds: 1,
                    nanos: 500_000_000,
                }),
                ..dish()
            },
        ),
        (
            r#"{"duration":"1.5s"}"#,
            Dish {
                duration: Some(Duration {
                    seconds: 1,
                    nanos: 500_000_000,
                }),
                ..dish()
            },
        ),
        (
            r#"{"int64_wrapper":{"value":"5"},"boolWrapper":{},"string_wrapper":"m"}"#,
            Dish {
                int64_wrapper: Some(5),
                bool_wrapper: Some(false),
                string_wrapper: Some("m".into()),
                ..dish()
            },
        ),
        (
            r#"{"field_mask":{"paths":["a_b"]}}"#,
            Dish {
                field_mask: Some(FieldMask {
                    paths: vec!["a_b".into()],
                }),
                ..dish()
            },
        ),
        (
            r#"{"fieldMask":"aB,c.dE"}"#,
            Dish {
                field_mask: Some(FieldMask {
                    paths: vec!["a_b".into(), "c.d_e".into()],
                }),
                ..dish()
            },
        ),
        (
            r#"{"value":null}"#,
            Dish {
                value: Some(Value {
                    kind: Some(value::Kind::NullValue(0)),
                }),
                ..dish()
            },
        ),
        (
            r#"{"inner_list":[{"count":1},null,{}]}"#,
            Dish {
                inner_list: vec![
                    dish::Inner {
                        count: 1,
                        ..inner("")
                    },
                    inner(""),
                    inner(""),
                ],
                ..dish()
            },
        ),
        (
            r#"{"a_string":"\ud83d\ude00 \ud83d \ude00\u00e9\/\b"}"#,
            Dish {
                a_string: "\u{1f600} \u{fffd} \u{fffd}é/\u{8}".into(),
                ..dish()
            },
        ),
        (
            r#"{"a_string":"\ud83d\u0041\ud83dx"}"#,
            Dish {
                a_string: "\u{fffd}A\u{fffd}x".into(),
                ..dish()
            },
        ),
        (
            r#"{"any":{"type_url":"x/y","value":"AP8="}}"#,
            Dish {
                any: Some(Any {
                    type_url: "x/y".into(),
                    value: vec![0, 255],
                }),
                ..dish()
            },
        ),
        (
            r#"{"any":{"value":"AP8","@type":"x/unknown"}}"#,
            Dish {
                any: Some(Any {
                    type_url: "x/unknown".into(),
                    value: vec![0, 255],
                }),
                ..dish()
            },
        ),
        (
            r#"{"any":{}}"#,
            Dish {
                any: Some(Any::default()),
                ..dish()
            },
        ),
    ];
    for (json, expected) in cases {
        for codec in all() {
            assert_eq!(read::<Dish>(&codec, json).unwrap(), expected, "{json}");
        }
    }
}

#[test]
fn null_is_a_value_where_the_proto_says_so() {
    let null = || Value {
        kind: Some(value::Kind::NullValue(0)),
    };
    for (json, one_of) in [
        (r#"{"value_member":null}"#, odd::OneOf::ValueMember(null())),
        (r#"{"nullMember":null}"#, odd::OneOf::NullMember(0)),
        (
            r#"{"OneOf":{"ValueMember":null}}"#,
            odd::OneOf::ValueMember(null()),
        ),
        (
            r#"{"bool_member":true,"null_member":"NULL_VALUE"}"#,
            odd::OneOf::NullMember(0),
        ),
    ] {
        let Ok(message) = read::<Odd>(&ORIGINAL, json) else {
            panic!("{json}")
        };
        assert_eq!(message.one_of, Some(one_of), "{json}");
    }
    let lists = read::<Odd>(
        &ORIGINAL,
        r#"{"value_list":[null,1],"values":{"a":null},"optional_null":null}"#,
    )
    .unwrap();
    assert_eq!(lists.value_list[0], null());
    assert_eq!(lists.values["a"], null());
    assert_eq!(lists.optional_null, Some(0));
    assert_eq!(
        written(&lists)[2],
        r#"{"optionalNull":null,"values":{"a":null},"valueList":[null,1]}"#
    );
}
