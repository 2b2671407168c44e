//! The table of changes: what each does to requests and to replies.

use micro_runtime::schema::Severity::{Breaks, Harmless, Loses, Risks, Text};
use micro_runtime::schema::{Difference, Direction, Severity, compare};

use crate::proto::{asking, read};

fn worst(found: &[Difference], direction: Direction) -> Option<Severity> {
    let found = found.iter().filter(|one| one.direction == direction);
    found.map(|one| one.severity).max()
}

/// What comes of a message that is written with the fields `from` and read with `to`, and the words.
fn change(syntax: &str, from: &str, to: &str, more: &str) -> (Option<Severity>, Vec<String>) {
    let (ours, theirs) = (asking(syntax, from, more), asking(syntax, to, more));
    let found = compare(&ours, &theirs, "p.S/M");
    assert_eq!(worst(&found, Direction::Reply), None);
    let words = found.iter().map(ToString::to_string).collect();
    (worst(&found, Direction::Request), words)
}

#[track_caller]
fn both_ways(
    one: &str,
    other: &str,
    there: impl Into<Option<Severity>>,
    back: impl Into<Option<Severity>>,
) {
    let more = "enum E { Z = 0; A = 1; } message M { int32 x = 1; }";
    assert_eq!(
        change("proto3", one, other, more).0,
        there.into(),
        "{one} -> {other}"
    );
    assert_eq!(
        change("proto3", other, one, more).0,
        back.into(),
        "{other} -> {one}"
    );
}

#[test]
fn fields_come_and_go() {
    both_ways("", "", None, None);
    // Whoever does not know a field drops it.
    both_ways("int32 a = 1;", "", Loses, Harmless);
    both_ways("M a = 1;", "", Loses, Harmless);
}

#[test]
fn numbers_of_fields_are_what_is_on_the_wire() {
    both_ways("int32 a = 1;", "int32 a = 2;", Breaks, Breaks);
    both_ways(
        "int32 a = 1; int32 b = 2;",
        "int32 b = 1; int32 a = 2;",
        Breaks,
        Breaks,
    );
}

#[test]
fn names_of_fields_are_of_json_alone() {
    both_ways("int32 a = 1;", "int32 b = 1;", Text, Text);
    both_ways(
        "int32 a = 1;",
        "int32 a = 1 [json_name = \"b\"];",
        Text,
        Text,
    );
}

#[test]
fn types_of_one_encoding_can_be_read_as_each_other() {
    for (one, other, there, back) in [
        ("int32", "int64", Harmless, Loses),
        ("uint32", "uint64", Harmless, Loses),
        ("uint32", "int64", Harmless, Loses),
        ("int32", "uint32", Loses, Loses),
        ("int32", "uint64", Loses, Loses),
        ("int64", "uint64", Loses, Loses),
        ("bool", "int32", Harmless, Loses),
        ("bool", "uint64", Harmless, Loses),
        ("E", "int32", Harmless, Loses),
        ("E", "int64", Harmless, Loses),
        ("E", "uint32", Loses, Loses),
        ("E", "bool", Loses, Loses),
        ("sint32", "sint64", Harmless, Loses),
        ("fixed32", "sfixed32", Loses, Loses),
        ("fixed64", "sfixed64", Loses, Loses),
        ("string", "bytes", Harmless, Risks),
        ("M", "bytes", Harmless, Risks),
        ("M", "R", Loses, Harmless),
    ] {
        both_ways(
            &format!("{one} a = 1;"),
            &format!("{other} a = 1;"),
            there,
            back,
        );
    }
}

#[test]
fn types_of_different_encodings_break() {
    let encodings: [&[&str]; 9] = [
        &["int32", "int64", "uint32", "uint64", "bool", "E"],
        &["sint32", "sint64"],
        &["fixed32", "sfixed32"],
        &["fixed64", "sfixed64"],
        &["float"],
        &["double"],
        &["string"],
        &["M"],
        &["map<string, int32>"],
    ];
    for (at, one) in encodings.iter().enumerate() {
        for other in &encodings[at + 1..] {
            let (one, other) = (one[0], other[0]);
            if (one, other) == ("M", "map<string, int32>") {
                continue;
            }
            both_ways(
                &format!("{one} a = 1;"),
                &format!("{other} a = 1;"),
                Breaks,
                Breaks,
            );
        }
    }
    for number in ["int32", "sint64", "fixed32", "double", "E", "bool"] {
        both_ways(&format!("{number} a = 1;"), "bytes a = 1;", Breaks, Breaks);
    }
}

#[test]
fn labels() {
    both_ways("int32 a = 1;", "optional int32 a = 1;", Harmless, Harmless);
    both_ways("int32 a = 1;", "repeated int32 a = 1;", Harmless, Breaks);
    both_ways(
        "int32 a = 1;",
        "repeated int32 a = 1 [packed = false];",
        Harmless,
        Loses,
    );
    both_ways(
        "repeated int32 a = 1;",
        "repeated int32 a = 1 [packed = false];",
        Harmless,
        Harmless,
    );
    both_ways("string a = 1;", "repeated string a = 1;", Harmless, Loses);
    both_ways("M a = 1;", "repeated M a = 1;", Harmless, Loses);
    both_ways(
        "repeated int32 a = 1;",
        "repeated int64 a = 1;",
        Harmless,
        Loses,
    );
    both_ways(
        "map<string, int32> a = 1;",
        "map<string, int64> a = 1;",
        Harmless,
        Loses,
    );
    both_ways(
        "map<string, int32> a = 1;",
        "map<string, string> a = 1;",
        Breaks,
        Breaks,
    );
}

#[test]
fn a_required_field_has_to_be_written() {
    let change = |from, to| change("proto2", from, to, "").0;
    assert_eq!(change("", "required int32 a = 1;"), Some(Breaks));
    assert_eq!(change("required int32 a = 1;", ""), Some(Loses));
    assert_eq!(
        change("optional int32 a = 1;", "required int32 a = 1;"),
        Some(Risks)
    );
    assert_eq!(
        change("required int32 a = 1;", "optional int32 a = 1;"),
        Some(Harmless)
    );
}

#[test]
fn oneofs() {
    // Alone in one it is as it was.
    both_ways(
        "int32 a = 1;",
        "oneof o { int32 a = 1; }",
        Harmless,
        Harmless,
    );
    // Two that were set together are one.
    both_ways(
        "int32 a = 1; int32 b = 2;",
        "oneof o { int32 a = 1; int32 b = 2; }",
        Loses,
        Harmless,
    );
    both_ways(
        "oneof o { int32 a = 1; int32 b = 2; } int32 c = 3;",
        "oneof o { int32 a = 1; int32 b = 2; int32 c = 3; }",
        Loses,
        Harmless,
    );
    both_ways(
        "oneof o { int32 a = 1; } oneof p { int32 b = 2; }",
        "oneof o { int32 a = 1; int32 b = 2; }",
        Loses,
        None,
    );
    both_ways(
        "oneof o { int32 a = 1; int32 b = 2; }",
        "oneof renamed { int32 a = 1; int32 b = 2; }",
        None,
        None,
    );
    // One in a oneof is one: several are read as otherwise.
    both_ways(
        "oneof o { int32 a = 1; }",
        "repeated int32 a = 1;",
        Harmless,
        Breaks,
    );
    both_ways(
        "oneof o { string a = 1; }",
        "repeated string a = 1;",
        Harmless,
        Loses,
    );
    both_ways(
        "oneof o { int32 a = 1; int32 b = 2; }",
        "repeated int32 a = 1; int32 b = 2;",
        Harmless,
        Breaks,
    );
    let required = |from, to| change("proto2", from, to, "").0;
    let (one, other) = ("oneof o { int32 a = 1; }", "required int32 a = 1;");
    assert_eq!(required(one, other), Some(Risks));
    assert_eq!(required(other, one), Some(Harmless));
}

#[test]
fn groups_are_no_messages() {
    let group = "optional group A = 1 { optional int32 x = 1; }";
    let (severity, _) = change("proto2", group, "optional R a = 1;", "");
    assert_eq!(severity, Some(Breaks));
    let wider = "optional group A = 1 { optional int64 x = 1; }";
    assert_eq!(change("proto2", group, wider, "").0, Some(Harmless));
    assert_eq!(change("proto2", wider, group, "").0, Some(Loses));
}

fn enums(syntax: &str, from: &str, to: &str) -> (Option<Severity>, Vec<String>) {
    let ours = asking(syntax, "optional E e = 1;", &format!("enum E {{ {from} }}"));
    let theirs = asking(syntax, "optional E e = 1;", &format!("enum E {{ {to} }}"));
    let found = compare(&ours, &theirs, "p.S");
    let words = found.iter().map(ToString::to_string).collect();
    (worst(&found, Direction::Request), words)
}

#[test]
fn values_of_enums() {
    let (less, more) = ("Z = 0;", "Z = 0; A = 1;");
    // An open enum keeps numbers that it has no name for.
    assert_eq!(enums("proto3", more, less).0, Some(Harmless));
    assert_eq!(enums("proto2", more, less).0, Some(Loses));
    assert_eq!(enums("proto2", less, more).0, Some(Harmless));
    assert_eq!(enums("proto3", more, "Z = 0; A = 2;").0, Some(Breaks));
    assert_eq!(
        enums("proto3", "Z = 0; A = 1; B = 2;", "Z = 0; B = 1; A = 2;").0,
        Some(Breaks)
    );
    assert_eq!(enums("proto3", more, "Z = 0; B = 1;").0, Some(Text));
    let alias = "option allow_alias = true; Z = 0; A = 1; B = 1;";
    assert_eq!(enums("proto3", more, alias).0, None);
}

#[test]
fn closed_enums_lose_what_open_ones_have() {
    let schema = |syntax: &str| asking(syntax, "optional E e = 1;", "enum E { Z = 0; }");
    let found = compare(&schema("proto3"), &schema("proto2"), "p.S");
    assert_eq!(worst(&found, Direction::Request), Some(Loses));
    assert_eq!(
        found[0].to_string(),
        "enum p.E is closed there and open here"
    );
    let found = compare(&schema("proto2"), &schema("proto3"), "p.S");
    assert_eq!(worst(&found, Direction::Request), Some(Harmless));
}

const THREE: &str = r#"syntax = "proto3"; package p;
    service S { rpc A(Q) returns (R); rpc B(Q) returns (stream R); rpc C(R) returns (R); }
    message Q { Shared shared = 1; }
    message R { Shared shared = 1; }
    message Shared { int32 age = 3; }
"#;

#[test]
fn methods_that_are_not_there_and_that_stream_otherwise_break() {
    let ours = read(THREE);
    let theirs = read(
        &THREE
            .replace("rpc A(Q) returns (R);", "")
            .replace("stream", ""),
    );
    let found = compare(&ours, &theirs, "p.S");
    let words: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "method A of p.S is not there",
            "method B of p.S is unary there and streams replies here"
        ]
    );
    assert!(found[0].breaks("A") && !found[0].breaks("B"));
    // What only they have we do not call.
    assert!(compare(&theirs, &ours, "p.S/C").is_empty());
    assert_eq!(
        compare(&theirs, &ours, "p.S/A")[0].to_string(),
        "method A of p.S is not here"
    );
}

#[test]
fn a_difference_is_told_once_with_the_methods_that_it_concerns() {
    let ours = read(THREE);
    let theirs = read(&THREE.replace("int32 age", "int64 age"));
    let found = compare(&ours, &theirs, "p.S");
    // Ours to theirs is wider, theirs to ours is cut.
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.direction, one.severity, one.methods.join("")))
        .collect();
    assert_eq!(
        told,
        [
            (Direction::Reply, Loses, "ABC".to_owned()),
            (Direction::Request, Harmless, "ABC".to_owned())
        ]
    );
    let one = compare(&ours, &theirs, "/p.S/B");
    assert!(one.iter().all(|one| one.methods == ["B"]));
}

#[test]
fn differences_are_told_in_words() {
    for (from, to, words) in [
        (
            "int32 age = 3;",
            "string age = 3;",
            "field 3 `age` of p.Q is string there and int32 here",
        ),
        ("int32 age = 3;", "", "field 3 `age` of p.Q is not there"),
        ("", "int32 age = 3;", "field 3 `age` of p.Q is not here"),
        (
            "int32 age = 3;",
            "int32 age = 4;",
            "field `age` of p.Q has number 4 there and 3 here",
        ),
        (
            "int32 age = 3;",
            "int32 years = 3;",
            "field 3 of p.Q is called `years` there and `age` here",
        ),
        (
            "int32 age = 3;",
            "repeated int32 age = 3;",
            "field 3 `age` of p.Q is packed there and implicit here",
        ),
        (
            "R age = 3;",
            "string age = 3;",
            "field 3 `age` of p.Q is string there and p.R here",
        ),
        (
            "int32 age = 3; int32 b = 4;",
            "oneof o { int32 age = 3; int32 b = 4; }",
            "field 3 `age` of p.Q is in oneof `o` there and in no oneof here",
        ),
    ] {
        assert_eq!(change("proto3", from, to, "").1[0], words);
    }
    let (_, words) = enums("proto3", "Z = 0; A = 1;", "Z = 0; A = 2;");
    assert_eq!(
        words,
        ["value `A` of enum p.E has number 2 there and 1 here"]
    );
    let (_, words) = enums("proto3", "Z = 0; A = 1;", "Z = 0; B = 1;");
    assert_eq!(
        words,
        ["value 1 of enum p.E is called `B` there and `A` here"]
    );
    let (_, words) = enums("proto3", "Z = 0; A = 1;", "Z = 0;");
    assert_eq!(words, ["value 1 `A` of enum p.E is not there"]);
}

#[test]
fn names_of_messages_are_not_on_the_wire() {
    let ours = read(THREE);
    let theirs = read(&THREE.replace("Shared", "Common"));
    assert_ne!(ours.hash("p.S"), theirs.hash("p.S"));
    assert!(compare(&ours, &theirs, "p.S").is_empty());
    let changed = read(
        &THREE
            .replace("Shared", "Common")
            .replace("int32 age", "string age"),
    );
    assert_eq!(
        compare(&ours, &changed, "p.S")[0].to_string(),
        "field 3 `age` of p.Shared (p.Common there) is string there and int32 here"
    );
}
