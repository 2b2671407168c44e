//! One hash for what means the same on the wire.

use micro_runtime::schema::Schema;

use crate::proto::{asking, read, set_of};

/// The vector of `docs/WIRE.md`.
#[test]
fn the_greeters_hash_is_that_of_the_document() {
    let proto = include_str!("../../../proto/greeter.proto");
    let schema = read(proto);
    let service = "go.micro.srv.greeter.Say";
    assert_eq!(
        schema.canonical(service).unwrap(),
        "service go.micro.srv.greeter.Say\n\
         rpc Hello go.micro.srv.greeter.Request go.micro.srv.greeter.Response unary\n\
         message go.micro.srv.greeter.Request\n\
         1 name implicit string - name\n\
         message go.micro.srv.greeter.Response\n\
         1 msg implicit string - msg\n"
    );
    assert_eq!(
        schema.hash(service).unwrap().to_string(),
        "6ffdacca88a2e826"
    );
}

const ALL: &str = r#"syntax = "proto3"; package p;
    // A comment.
    service S {
        rpc B(Q) returns (stream R);
        rpc A(stream Q) returns (R) { option idempotency_level = IDEMPOTENT; }
        rpc C(stream Q) returns (stream R);
    }
    message Q {
        repeated int32 packed = 4;
        repeated int32 plain = 5 [packed = false];
        optional int32 set = 6 [deprecated = true];
        map<string, Color> colors = 7;
        oneof choice { string one = 8; R other = 9; }
        string odd_name = 10 [json_name = "a name"];
    }
    message R { Q again = 1; }
    enum Color { option allow_alias = true; NONE = 0; RED = 1; ROT = 1; LESS = -1; }
    message Unused { string text = 1; }
"#;

#[test]
fn all_of_the_wire_is_in_the_text() {
    assert_eq!(
        read(ALL).canonical("p.S").unwrap(),
        "service p.S\n\
         rpc A p.Q p.R client\n\
         rpc B p.Q p.R server\n\
         rpc C p.Q p.R bidi\n\
         message p.Q\n\
         4 packed packed int32 - packed\n\
         5 plain repeated int32 - plain\n\
         6 set optional int32 - set\n\
         7 colors repeated message:p.Q.ColorsEntry - colors\n\
         8 one optional string choice one\n\
         9 other optional message:p.R choice other\n\
         10 odd_name implicit string - a name\n\
         entry p.Q.ColorsEntry\n\
         1 key implicit string - key\n\
         2 value implicit enum:p.Color - value\n\
         message p.R\n\
         1 again optional message:p.Q - again\n\
         enum p.Color open\n\
         -1 LESS\n\
         0 NONE\n\
         1 RED\n\
         1 ROT\n"
    );
}

#[test]
fn files_comments_options_order_and_what_is_not_used_do_not_count() {
    let one = Schema::read(&set_of(&[("a.proto", ALL)])).unwrap();
    let messages = r#"syntax = "proto3"; package p;
        option go_package = "elsewhere";
        enum Color { option allow_alias = true; NONE = 0; ROT = 1; RED = 1; LESS = -1; }
        message R { reserved 9; Q again = 1; }
        message Q {
            oneof choice { R other = 9; string one = 8; }
            string odd_name = 10 [json_name = "a name"];
            map<string, Color> colors = 7;
            optional int32 set = 6;
            repeated int32 plain = 5 [packed = false];
            repeated int32 packed = 4 [packed = true];
        }
    "#;
    let service = r#"syntax = "proto3"; package p; import "b.proto";
        service S {
            rpc C(stream Q) returns (stream R);
            // Another comment.
            rpc A(stream Q) returns (R);
            rpc B(Q) returns (stream R);
        }
        service Other { rpc A(Q) returns (Q); }
    "#;
    let other = set_of(&[("b.proto", messages), ("c.proto", service)]);
    let other = Schema::read(&other).unwrap();
    assert_eq!(one.hash("p.S"), other.hash("p.S"));
    assert_eq!(other.services().collect::<Vec<_>>(), ["p.Other", "p.S"]);
}

#[test]
fn everything_of_the_wire_changes_the_hash() {
    let hash = |fields| {
        asking("proto3", fields, "enum E { Z = 0; }")
            .hash("p.S")
            .unwrap()
    };
    let fields = [
        "",
        "int32 a = 1;",
        "int32 a = 2;",
        "int32 b = 1;",
        "int64 a = 1;",
        "optional int32 a = 1;",
        "repeated int32 a = 1;",
        "repeated int32 a = 1 [packed = false];",
        "oneof o { int32 a = 1; }",
        "oneof p { int32 a = 1; }",
        "int32 a = 1 [json_name = \"b\"];",
        "R a = 1;",
        "E a = 1;",
        "map<int32, int32> a = 1;",
    ];
    let hashes: std::collections::BTreeSet<_> = fields.iter().map(|one| hash(one)).collect();
    assert_eq!(hashes.len(), fields.len());
}

#[test]
fn what_is_not_there_has_no_hash() {
    let schema = asking("proto3", "", "");
    assert_eq!(schema.hash("p.Other"), None);
    assert_eq!(schema.hash("S"), None);
    assert_eq!(Schema::default().hash("p.S"), None);
    assert_eq!(Schema::read(&[]).unwrap(), Schema::default());
}
