//! What is refused, by whom, and in which words.

use micro_runtime::codec::{Codecs, Frame};
use prost_types::{Any, ListValue};

use super::generated::kitchen::{Course, Dish, dish};
use super::support::{CANONICAL, GO, ORIGINAL, all, read, refusal, write, written};

#[test]
fn a_client_does_not_write_what_go_cannot_read() {
    let client = Codecs::client();
    let client = client.get("application/json-rpc").unwrap();
    let mut out = bytes::BytesMut::new();
    let set = Dish {
        choice: Some(dish::Choice::IntChoice(1)),
        ..Dish::default()
    };
    let error = client.encode(&set, &mut out).unwrap_err();
    assert_eq!((error.id(), error.code()), ("go.micro.client.codec", 500));
    assert!(
        error
            .detail()
            .starts_with("application/json-rpc cannot carry a oneof that is set")
    );
    assert!(
        error
            .detail()
            .ends_with("(field int_choice of kitchen.Dish)")
    );
    client.encode(&Dish::default(), &mut out).unwrap();
    let server = Codecs::server();
    server
        .get("application/json-rpc")
        .unwrap()
        .encode(&set, &mut out)
        .unwrap();
    client
        .decode(
            "{\"Choice\":{\"IntChoice\":2}}".into(),
            &mut Dish::default(),
        )
        .unwrap();
}

#[test]
fn an_empty_body_is_an_empty_message_to_a_server_only() {
    for codec in all() {
        assert_eq!(read::<Dish>(&codec, "").unwrap(), Dish::default());
        let error = read::<Dish>(&codec.for_client(), "").unwrap_err();
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            ("go.micro.client.codec", 500, "EOF")
        );
    }
    assert_eq!(refusal::<Dish>(&ORIGINAL, " \n"), "EOF");
    assert_eq!(read::<Dish>(&ORIGINAL, "null").unwrap(), Dish::default());
}

#[test]
fn a_server_answers_a_broken_body_in_plain_words() {
    let error = read::<Dish>(&ORIGINAL, "{").unwrap_err();
    assert_eq!(
        (error.to_wire(), error.code()),
        ("unexpected EOF".to_owned(), 0)
    );
}

#[test]
fn what_follows_the_document_is_ignored_save_in_the_canonical_dialect() {
    let json = "{\"an_int32\":1} trailing";
    for codec in [ORIGINAL, GO] {
        assert_eq!(read::<Dish>(&codec, json).unwrap().an_int32, 1);
    }
    assert_eq!(
        refusal::<Dish>(&CANONICAL, json),
        "invalid character 't' after top-level value"
    );
    assert!(read::<Dish>(&CANONICAL, "{} \r\n\t").is_ok());
}

#[test]
fn what_is_wrong_is_said() {
    for (json, text) in [
        ("{\"a_bool\":tru", "unexpected EOF"),
        ("{\"a_string\":\"x", "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value"),
        (
            "{,}",
            "invalid character ',' looking for beginning of object key string",
        ),
        (
            "{\"a\":1,}",
            "invalid character '}' looking for beginning of object key string",
        ),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        (
            "{\"a\":1 \"b\"}",
            "invalid character '\"' after object key:value pair",
        ),
        ("{\"a\":[1 2]}", "invalid character '2' after array element"),
        (
            "{\"a\":trux}",
            "invalid character 'x' in literal true (expecting 'e')",
        ),
        (
            "{\"a\":\"\n\"}",
            "invalid character '\\n' in string literal",
        ),
        (
            "{\"a\":\"\\x\"}",
            "invalid character 'x' in string escape code",
        ),
        (
            "{\"a\":\"\\u12g4\"}",
            "invalid character 'g' in \\u hexadecimal character escape",
        ),
        (
            "{\"a\":01}",
            "invalid character '1' after object key:value pair",
        ),
        ("{\"a\":-x}", "invalid character 'x' in numeric literal"),
        (
            "{\"a\":\u{e9}}",
            "invalid character 'é' looking for beginning of value",
        ),
        (
            "[]",
            "json: cannot unmarshal array into a value of type kitchen.Dish",
        ),
        (
            "{\"a_bool\":\"true\"}",
            "json: cannot unmarshal string into a value of type bool (field a_bool of kitchen.Dish)",
        ),
        (
            "{\"an_int32\":\"x\"}",
            "json: cannot unmarshal string into a value of type int32 (field an_int32 of kitchen.Dish)",
        ),
        (
            "{\"an_int32\":2147483648}",
            "json: cannot unmarshal number 2147483648 into a value of type int32 (field an_int32 of kitchen.Dish)",
        ),
        (
            "{\"a_uint32\":-1}",
            "json: cannot unmarshal number -1 into a value of type uint32 (field a_uint32 of kitchen.Dish)",
        ),
        (
            "{\"an_int64\":1.5}",
            "json: cannot unmarshal number 1.5 into a value of type int64 (field an_int64 of kitchen.Dish)",
        ),
        (
            "{\"a_float\":1e39}",
            "json: cannot unmarshal number 1e39 into a value of type float (field a_float of kitchen.Dish)",
        ),
        (
            "{\"color\":\"MAUVE\"}",
            "unknown value \"MAUVE\" for enum kitchen.Color (field color of kitchen.Dish)",
        ),
        (
            "{\"int32_string_map\":{\"x\":\"\"}}",
            "json: invalid map key \"x\" of type int32 (field int32_string_map of kitchen.Dish)",
        ),
        (
            "{\"inner\":{\"count\":{}}}",
            "json: cannot unmarshal object into a value of type int64 (field count of kitchen.Dish.Inner)",
        ),
        (
            "{\"any\":{\"x\":1}}",
            "google.protobuf.Any: missing \"@type\" field (field any of kitchen.Dish)",
        ),
        (
            "{\"any\":{\"@type\":\"t/x.Y\",\"z\":1}}",
            "google.protobuf.Any: unable to resolve \"t/x.Y\" (field any of kitchen.Dish)",
        ),
        (
            "{\"timestamp\":\"now\"}",
            "google.protobuf.Timestamp: invalid value \"now\" (field timestamp of kitchen.Dish)",
        ),
    ] {
        for codec in all() {
            assert_eq!(refusal::<Dish>(&codec, json), text, "{json}");
        }
    }
}

#[test]
fn depth_is_limited_both_ways() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read::<ListValue>(&ORIGINAL, &nested(128)).is_ok());
    assert_eq!(
        refusal::<ListValue>(&ORIGINAL, &nested(129)),
        "exceeded max depth"
    );
    assert_eq!(
        refusal::<Dish>(&ORIGINAL, &format!("{{\"unknown\":{}}}", nested(100_000))),
        "exceeded max depth"
    );
    let mut course = Course::default();
    for _ in 0..200 {
        course = Course {
            next: Some(Box::new(course)),
            ..Course::default()
        };
    }
    assert_eq!(written(&course), ["error: exceeded max depth"; 3]);
    let mut any = Any::default();
    for _ in 0..200 {
        any = Any {
            type_url: "t/google.protobuf.Any".into(),
            value: prost::Message::encode_to_vec(&any),
        };
    }
    assert_eq!(written(&any)[0], "error: exceeded max depth");
}

#[test]
fn raw_bytes_pass_as_they_are() {
    let frame = Frame("not json".into());
    assert_eq!(write(&ORIGINAL, &frame).unwrap(), "not json");
    let mut out = bytes::BytesMut::new();
    let error = micro_runtime::codec::Codec::encode(&ORIGINAL, &frame, &mut out).unwrap_err();
    assert_eq!(error.detail(), "application/json cannot carry raw bytes");
}
